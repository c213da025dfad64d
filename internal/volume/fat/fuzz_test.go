package fat

import (
	"flag"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

var update = flag.Bool("update", false, "make the samples in testdata again")

// TestSamples makes the samples for FuzzOpen, when asked, and reads them.
func TestSamples(t *testing.T) {
	if *update {
		for name, args := range map[string]string{"fat12": "-F 12 -s 2", "fat16": "-F 16 -s 1", "fat32": "-F 32 -s 1"} {
			volumetest.SaveSample(t, name, mkfs(t, 4*mib, args))
		}
	}
	for name, sample := range volumetest.Samples(t) {
		fs, err := Open(volumetest.Patch(sample, nil), int64(len(sample)))
		if err == nil {
			_, err = fs.Extents()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	volumetest.Fuzz(f, Open, 11, 13, 14, 16, 17, 19, 21, 22, 32, 36, 40, 42, 44, 48, 50, 66, 512, 514, 16384)
}
