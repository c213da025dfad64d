package fat

import (
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestRecordSeeds makes the seeds for FuzzOpen.
func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, args := range map[string]string{"fat12": "-F 12 -s 2", "fat16": "-F 16 -s 1", "fat32": "-F 32 -s 1"} {
		volumetest.Record(t, name, mkfs(t, 4*mib, args), volumetest.Reads(Open))
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }
