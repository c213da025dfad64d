package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/diskcast/diskcast/internal/convert"
	"github.com/diskcast/diskcast/internal/volume/esp"
	"github.com/diskcast/diskcast/internal/volume/table"
	"github.com/diskcast/diskcast/mkimage/machine"
)

// look says what format the file of --disk has and, where nobody named one, the firmware that can start it. Files that
// are no disk, and those by whose words QEMU would open others, are refused.
func (o *runOptions) look(m *machine.Options) error {
	st, err := os.Stat(o.disk)
	if err != nil {
		return err
	}
	device := st.Mode()&fs.ModeDevice != 0 && st.Mode()&fs.ModeCharDevice == 0
	if !st.Mode().IsRegular() && !device {
		return fmt.Errorf("%s is neither a file nor a block device", o.disk)
	}
	f, err := os.Open(o.disk)
	if err != nil {
		return err
	}
	var disk io.ReaderAt = f
	var size int64
	sector := 512
	m.Format = "raw"
	if device {
		defer f.Close()
		if size, err = f.Seek(0, io.SeekEnd); err != nil {
			return err
		}
	} else {
		d, err := convert.InPlace(f)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", o.disk, err), f.Close())
		}
		defer d.Close()
		disk, size, sector, m.Format = d, d.Size(), d.SectorSize(), d.Format()
	}
	if size < 512 {
		return fmt.Errorf("%s: %d bytes are too short for a disk", o.disk, size)
	}
	if o.firmware != "" {
		return nil
	}
	t, err := table.Read(disk, size, sector)
	if err != nil {
		return fmt.Errorf("%s: %w", o.disk, err)
	}
	if bios, uefi := esp.Firmware(t); uefi && !bios {
		o.firmware = "uefi"
	}
	return nil
}
