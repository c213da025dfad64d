package ext

import (
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestRecordSeeds makes the seeds for FuzzOpen that have a journal to replay. They have no checksums, so that a change
// is not noticed before it can do harm.
func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, args := range map[string]string{
		"crashed":          "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg -g 512",
		"crashed-indirect": "-t ext3 -b 1024",
	} {
		image, _ := crashWith(t, mkfs(t, 8*mib, args, ""), 10, func(p []byte) { clear(p) }, "")
		volumetest.Record(t, "testdata/"+name+".seed", image, volumetest.Reads(Open))
	}
}

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }
