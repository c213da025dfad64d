package swap

import (
	"flag"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

var update = flag.Bool("update", false, "make the samples in testdata again")

// TestSamples makes the samples for FuzzOpen, when asked, and reads them.
func TestSamples(t *testing.T) {
	if *update {
		for name, page := range map[string]string{"4k": "4096", "64k": "65536"} {
			path := volumetest.Sparse(t, "swap", mib)
			volumetest.Run(t, "mkswap", "-p", page, path)
			volumetest.SaveSample(t, name, path)
		}
	}
	for name, sample := range volumetest.Samples(t) {
		if _, err := Open(volumetest.Patch(sample, nil), int64(len(sample))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	volumetest.Fuzz(f, Open, 1024, 1028, 1032, 4086, 65526)
}
