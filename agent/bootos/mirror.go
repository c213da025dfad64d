package bootos

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
)

// mirror is one half of a RAID 1 of md's: all of its contents are in it, from start on.
type mirror struct {
	id          string   // of the set, in hexadecimal
	name        string   // without the host's
	words       string   // "RAID 1 boot"
	grub        []string // GRUB's names of the set
	start, size int64    // of its contents on the partition, bytes
	events      uint64   // counts the set's changes of state: halves that agree have the same
	devices     uint32   // how many halves there are
}

const mdMagic = 0xa92b4efc

// mdName is what a set's name must be, so that it is one word to GRUB.
var mdName = rx.New(`^[0-9A-Za-z_.-]{1,32}$`)

// errNoMirror says that a partition belongs to no set with metadata of version 1.
var errNoMirror = errors.New("no superblock of md's")

// readMirror reads the superblock of a partition of size bytes (Linux, md_p.h, mdp_superblock_1), of which version 1.1
// keeps it at the start, 1.2 at 4 KiB and 1.0 before the end. What is not one half of a clean RAID 1 is an error that
// says why. Version 0.90 is not read.
func readMirror(r io.ReaderAt, size int64) (*mirror, error) {
	var m *mirror
	for _, at := range mdPlaces(size) {
		p := make([]byte, 4096)
		if _, err := r.ReadAt(p, at); err != nil {
			return nil, fmt.Errorf("reading its superblock: %w", err)
		}
		if binary.LittleEndian.Uint32(p) != mdMagic || binary.LittleEndian.Uint32(p[4:]) != 1 ||
			binary.LittleEndian.Uint64(p[144:]) != uint64(at/512) {
			continue
		}
		if m != nil {
			return nil, errors.New("it has two superblocks of md's")
		}
		var err error
		if m, err = mirrorOf(p, size); err != nil {
			return nil, err
		}
	}
	if m == nil {
		return nil, errNoMirror
	}
	return m, nil
}

func mirrorOf(p []byte, size int64) (*mirror, error) {
	le := binary.LittleEndian
	const header, roles = 256, 1920 // bytes, and the most roles that fit behind them into 4 KiB
	count := le.Uint32(p[220:])
	if count > roles {
		return nil, fmt.Errorf("its superblock has %d roles", count)
	}
	var sum uint64
	covered := p[:header+2*count]
	for i := 0; i < len(covered); i += 4 {
		if i == 216 {
			continue // the sum itself
		}
		if len(covered)-i < 4 {
			sum += uint64(le.Uint16(covered[i:]))
			break
		}
		sum += uint64(le.Uint32(covered[i:]))
	}
	if uint32(sum)+uint32(sum>>32) != le.Uint32(p[216:]) {
		return nil, errors.New("the checksum of its superblock is wrong")
	}
	level, member := int32(le.Uint32(p[72:])), le.Uint32(p[160:])
	m := &mirror{id: hex.EncodeToString(p[16:32]), events: le.Uint64(p[200:]), devices: le.Uint32(p[92:])}
	start, length := le.Uint64(p[128:]), le.Uint64(p[80:])
	const bitmap = 1 // the only feature that leaves a half as it is
	switch features := le.Uint32(p[8:]); {
	case level != 1:
		return nil, fmt.Errorf("it belongs to a RAID of level %d, and this agent reads level 1", level)
	case features&^bitmap != 0:
		return nil, fmt.Errorf("its RAID is being changed, or has bad blocks or a journal (features %#x)", features)
	case le.Uint64(p[208:]) != 1<<64-1:
		return nil, errors.New("its RAID was not shut down in order, or its halves were not yet the same")
	case member >= count || uint32(le.Uint16(p[header+2*member:])) >= m.devices:
		return nil, errors.New("it is a spare or a faulty part of its RAID")
	case length == 0 || start > uint64(size)/512 || length > uint64(size)/512-start:
		return nil, errors.New("its RAID's contents do not fit into it")
	}
	m.start, m.size = int64(start)*512, int64(length)*512
	m.name, m.words = setName(p[32:64]), "RAID 1 "+m.id
	if mdName().MatchString(m.name) {
		m.words, m.grub = "RAID 1 "+m.name, []string{"md/" + m.name}
	}
	m.grub = append(m.grub, "mduuid/"+m.id)
	return m, nil
}

// mdPlaces are where a superblock of version 1 may begin.
func mdPlaces(size int64) (out []int64) {
	for _, at := range []int64{0, 4096, (size/512 - 16) &^ 7 * 512} {
		if at >= 0 && at+4096 <= size {
			out = append(out, at)
		}
	}
	return out
}

// setName is a set's name as GRUB has it: without the host's, which mdadm puts before it.
func setName(field []byte) string {
	name := text(field)
	if _, own, given := strings.Cut(name, ":"); given {
		return own
	}
	return name
}
