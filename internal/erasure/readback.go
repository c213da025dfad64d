package erasure

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/diskrule"
)

// ReadBack is what was found on the disk after it was erased. Blocks are of 4096 bytes, or of a sector where that is
// larger.
type ReadBack struct {
	Scope string `json:"scope"` // all, sample or none
	Bytes int64  `json:"bytes"`
	// Blocks counts what was read: of zeros, of any other one byte, of what the method was to write, and of anything
	// else.
	Blocks int64 `json:"blocks"`
	Zeros  int64 `json:"zeros"`
	Same   int64 `json:"same"`
	Wanted int64 `json:"wanted"`
	Other  int64 `json:"other"`
	// Kept are blocks that are what they were before; Wrong are not what the method was to write; Unreadable the disk
	// did not give.
	Kept       int64 `json:"kept"`
	Wrong      int64 `json:"wrong"`
	Unreadable int64 `json:"unreadable"`
	// Witnesses is how many blocks were written before the erase so that it had something to take away.
	Witnesses int `json:"witnesses"`
	// FirstBad is the offset of the first block that is kept, wrong or unreadable; -1: none.
	FirstBad int64 `json:"first_bad"`
}

// OK reports whether nothing was found that should not be there.
func (b *ReadBack) OK() bool { return b.Kept == 0 && b.Wrong == 0 && b.Unreadable == 0 }

// Words say it to an operator.
func (b *ReadBack) Words() string {
	if b.Scope == ReadNone {
		return "nothing was read back"
	}
	w := fmt.Sprintf("read back %s (%s)", diskrule.Bytes(b.Bytes), map[string]string{ReadAll: "everything",
		ReadSample: "a sample"}[b.Scope])
	if b.OK() {
		w += ": nothing is left of what was there"
	}
	for _, c := range []struct {
		n    int64
		what string
	}{
		{b.Wanted, "are what was written"}, {b.Zeros, "are zeros"}, {b.Same, "are one byte throughout"}, {b.Other,
			"are anything else"},
		{b.Wrong, "are NOT WHAT WAS WRITTEN"}, {b.Kept, "STILL HOLD WHAT WAS THERE BEFORE"},
		{b.Unreadable, "CANNOT BE READ"},
	} {
		if c.n > 0 {
			w += fmt.Sprintf("; %d of %d blocks %s", c.n, b.Blocks, c.what)
		}
	}
	if b.FirstBad >= 0 && !b.OK() {
		w += fmt.Sprintf("; the first such block is at offset %d", b.FirstBad)
	}
	return w
}
