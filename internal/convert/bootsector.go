package convert

import (
	"bytes"
	"fmt"
	"io"
)

// bootSector makes the backup of an NTFS volume's boot sector anew from the first one, where the image does not have
// it. The backup lies in the sector behind the volume, which no cluster holds, so that programs which save clusters
// leave it out; without it, Windows and ntfsfix call the volume damaged. The image's disk, of size bytes, grows by that
// sector if it ends before it and there is room.
func bootSector(d sink, size int64) error {
	var first [512]byte
	if n, err := d.ReadAt(first[:], 0); n < len(first) || err != nil && err != io.EOF {
		return nil // too small for a volume
	}
	sector := int64(le.Uint16(first[11:]))
	sectors := int64(le.Uint64(first[40:]))
	if string(first[3:11]) != "NTFS    " || first[510] != 0x55 || first[511] != 0xaa ||
		sector < 512 || sector > 4096 || sector&(sector-1) != 0 || sectors < 1 || sectors > (d.limit()-sector)/sector {
		return nil
	}
	at := sectors * sector
	boot := make([]byte, sector)
	if _, err := d.ReadAt(boot, 0); err != nil && err != io.EOF {
		return err
	}
	if size < at+sector {
		if err := d.setSize(at + sector); err != nil {
			return err
		}
	}
	there := make([]byte, sector)
	if _, err := d.ReadAt(there, at); err != nil && err != io.EOF {
		return err
	}
	if len(bytes.Trim(there, "\x00")) > 0 {
		return nil
	}
	d.note(fmt.Sprintf("The backup of NTFS's boot sector (at byte %d) is not in the image; it was made anew from the "+
		"first.", at))
	return d.write(boot, at)
}
