package swap

import (
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestRecordSeeds makes the seeds for FuzzOpen.
func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, page := range map[string]string{"4k": "4096", "64k": "65536"} {
		image := volumetest.Sparse(t, mib)
		volumetest.Run(t, "mkswap", "-p", page, image)
		volumetest.Record(t, name, image, volumetest.Reads(Open))
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }
