package member

import (
	"encoding/binary"
	"io"
)

const (
	uberMagic = 0x00bab10c
	zfsLabel  = 256 << 10 // bytes of a vdev label
)

// zfs looks for uberblocks: 128 slots of 1 KiB in the second half of each vdev label of 256 KiB. Two labels are at the
// start, and two at the end, counted from the last multiple of a label's size.
func zfs(r io.ReaderAt, size int64) (*Found, error) {
	const label, half, slot = zfsLabel, 128 << 10, 1 << 10
	end := size &^ (label - 1)
	for _, at := range []int64{0, label, end - 2*label, end - label} {
		p, err := peek(r, size, at+half, half)
		if err != nil {
			return nil, err
		}
		for ; len(p) >= slot; p = p[slot:] {
			if le.Uint64(p) == uberMagic || binary.BigEndian.Uint64(p) == uberMagic {
				return &Found{Type: "zfs_member", What: "a member of a ZFS pool", At: at,
					Advice: "Export the pool before the capture, and capture all its members together. Restored " +
						"pools have the same identity: do not put two " +
						"of them into one machine."}, nil
			}
		}
	}
	return nil, nil
}
