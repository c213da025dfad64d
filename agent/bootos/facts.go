package bootos

import (
	"fmt"
	"io"
	"os"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// Facts returns what is known of a partition's file system.
func (v *Volumes) Facts(dev int) (grub.Facts, bool) {
	vol, is := v.byNumber[dev]
	return grub.Facts{FS: vol.Type, UUID: vol.UUID, Label: vol.Label}, is
}

// Blocks reads sectors of 512 bytes of a partition, as GRUB's block lists name them: SUSE keeps the environment block of a btrfs so.
func (v *Volumes) Blocks(dev int, first, count int64) ([]byte, error) {
	vol, is := v.byNumber[dev]
	if !is {
		return nil, fmt.Errorf("partition %d is not mounted: %w", dev, os.ErrNotExist)
	}
	f, err := os.Open(vol.Device)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := v.budget.spend(spent{bytes: count * 512}); err != nil {
		return nil, err
	}
	b := make([]byte, count*512)
	if _, err := io.ReadFull(io.NewSectionReader(f, first*512, count*512), b); err != nil {
		return nil, fmt.Errorf("sectors %d+%d of %s: %w", first, count, vol.Device, err)
	}
	return b, nil
}
