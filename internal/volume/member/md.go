package member

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume/field"
)

const raidMagic = 0xa92b4efc

// raid looks where each version of md keeps its superblock: 1.1 at the start, 1.2 at 4 KiB, 1.0 and 0.90 at the end.
func raid(r io.ReaderAt, size int64) (*Found, error) {
	for _, c := range []struct {
		version string
		at      int64
	}{{"1.1", 0}, {"1.2", 4096}, {"1.0", (size/512 - 16) &^ 7 * 512}} {
		p, err := peek(r, size, c.at, 256)
		if err != nil {
			return nil, err
		}
		if p == nil || le.Uint32(p) != raidMagic || le.Uint32(p[4:]) != 1 || int64(le.Uint64(p[144:]))*512 != c.at {
			continue
		}
		f := raidFound(c.version, int32(le.Uint32(p[72:])), le.Uint32(p[92:]))
		f.Label, f.UUID, f.At, f.Placed = field.Text(p[32:64]), field.UUID(p[16:32]), c.at, true
		return f, nil
	}
	at := size&^(64<<10-1) - 64<<10
	p, err := peek(r, size, at, 256)
	if p == nil || err != nil {
		return nil, err
	}
	for _, order := range []binary.ByteOrder{le, binary.BigEndian} {
		if order.Uint32(p) == raidMagic && order.Uint32(p[4:]) == 0 {
			var id [16]byte
			copy(id[:4], p[20:24])
			copy(id[4:], p[52:64])
			f := raidFound("0.90", int32(order.Uint32(p[28:])), order.Uint32(p[40:]))
			f.UUID, f.At = field.UUID(id[:]), at
			return f, nil
		}
	}
	return nil, nil
}

// raidFound describes a set. With version 1.0 and 0.90 the superblock is at the end, and a mirror's members read like
// the set itself.
func raidFound(version string, level int32, disks uint32) *Found {
	name := fmt.Sprintf("RAID%d", level)
	if level < 0 {
		name = "a linear set or the like"
	}
	what := fmt.Sprintf("a member of an md set (%s, %d devices, metadata %s)", name, disks, version)
	return &Found{Type: "linux_raid_member", What: what, Mirror: level == 1 && (version == "1.0" || version == "0.90"),
		Advice: wholeSet}
}
