// Package field decodes the small things that on-disk structures of many file systems have in common.
package field

import (
	"fmt"
	"math/bits"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/volume"
)

// UUID writes 16 bytes the way blkid does. Sixteen zero bytes are no UUID.
func UUID(p []byte) string {
	if len(p) != 16 || [16]byte(p) == [16]byte{} {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", p[0:4], p[4:6], p[6:8], p[8:10], p[10:16])
}

// Text is a string in a field of fixed size: it ends at the first zero byte, and blanks at its end do not count.
func Text(p []byte) string {
	for i, c := range p {
		if c == 0 {
			p = p[:i]
			break
		}
	}
	for len(p) > 0 && p[len(p)-1] == ' ' {
		p = p[:len(p)-1]
	}
	return string(p)
}

// UTF16 is Text for little-endian 16-bit units.
func UTF16(p []byte) string {
	var units []uint16
	for i := 0; i+1 < len(p); i += 2 {
		u := uint16(p[i]) | uint16(p[i+1])<<8
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// Flip inverts every bit of a bitmap in place, and returns it.
func Flip(bitmap []byte) []byte {
	for i := range bitmap {
		bitmap[i] = ^bitmap[i]
	}
	return bitmap
}

// Gaps turns free runs, told in ascending order, into the used runs between them. Collecting the free runs in a
// volume.Runs and inverting them would be wrong: where a Runs is full it closes gaps, and there a gap is somebody's
// data.
type Gaps struct {
	Used *volume.Runs
	at   int64
}

// From starts at offset: what follows is used until Free says otherwise.
func (g *Gaps) From(offset int64) { g.at = offset }

// Free says that n bytes from offset are free.
func (g *Gaps) Free(offset, n int64) {
	if offset > g.at {
		g.Used.Add(g.at, offset-g.at)
	}
	g.at = max(g.at, offset+n)
}

// To ends the walk at offset.
func (g *Gaps) To(offset int64) { g.Free(offset, 0) }

// Zeros counts the bits that are 0 among the first n of a bitmap, the lowest bit of a byte first; a shorter bitmap is
// read as far as it goes.
func Zeros(bitmap []byte, n int64) int64 {
	n = min(n, 8*int64(len(bitmap)))
	free := n
	for _, c := range bitmap[:n/8] {
		free -= int64(bits.OnesCount8(c))
	}
	if left := n % 8; left > 0 {
		free -= int64(bits.OnesCount8(bitmap[n/8] & (1<<left - 1)))
	}
	return free
}
