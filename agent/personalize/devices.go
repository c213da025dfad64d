package personalize

import (
	"fmt"
	"os"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/internal/volume/grow"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Devices are the partitions of a disk that was restored. A disk that is a file has none, so they are made of it, until
// detach.
func Devices(r *imaging.Result) (devices []bootos.Device, detach func(), err error) {
	detach = func() {}
	if devices, err = bootos.Devices(r); err != nil {
		return nil, detach, err
	}
	fi, err := os.Stat(r.Disk.Path)
	if err != nil || !fi.Mode().IsRegular() {
		return devices, detach, err
	}
	f, err := os.Open(r.Disk.Path)
	if err != nil {
		return nil, detach, err
	}
	defer f.Close()
	// Not the image's table: the last partition may have grown.
	t, err := table.Read(f, fi.Size(), r.Config.Table.SectorSize)
	if err != nil {
		return nil, detach, fmt.Errorf("%s: %w", r.Disk.Path, err)
	}
	var open []*os.File
	detach = func() {
		for _, l := range open {
			l.Close()
		}
	}
	for i := range devices {
		start, size := int64(0), fi.Size()
		for _, p := range t.Partitions {
			if p.Number == devices[i].Number {
				start, size = p.Start, p.Size
			}
		}
		l, err := grow.Loop(r.Disk.Path, start, size, t.SectorSize)
		if err != nil {
			detach()
			return nil, func() {}, err
		}
		open, devices[i].Path = append(open, l), l.Name()
	}
	return devices, detach, nil
}
