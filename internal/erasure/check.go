package erasure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/plain"
)

// Bounds on the strings of a Result, in bytes.
const (
	maxName  = 512 // as of an inventory, so that both say a disk's name alike
	maxWords = 4096
)

// ParseResult reads what a node says of its erase. All its strings are made plain lines: they are signed and shown. An
// erase that failed needs to say why; one that did not is held against what was asked for by Result.Holds.
func ParseResult(raw []byte) (*Result, error) {
	r := &Result{}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(r); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows it")
	}
	plain.Strings(r, maxWords)
	plain.AllWords(&r.Disk, maxName)
	switch {
	case r.V != Version:
		return nil, fmt.Errorf("it has version %d, this server reads version %d", r.V, Version)
	case r.Disk.Size <= 0:
		return nil, errors.New("its disk has no size")
	case r.Term != None && r.Term != Clear && r.Term != Purge, r.Term != None && plain.Blank(r.Reason):
		return nil, fmt.Errorf("it claims %q of NIST SP 800-88, with the reason %q", r.Term, r.Reason)
	case !r.OK && plain.Blank(r.Failure):
		return nil, errors.New("it failed and does not say why")
	}
	return r, nil
}

// Holds says why a Result that is OK is not what was asked for, or contradicts itself; nil when it holds.
func (r *Result) Holds(asked Spec) error {
	switch {
	case asked.Method != r.Method:
		return fmt.Errorf("the node was asked for the method %s and says that it used %q", asked.Method, r.Method)
	case Passes(r.Method) && r.Passes != asked.Passes, r.Passes < 0, !Passes(r.Method) && r.Passes > 1:
		return fmt.Errorf("the node was asked for %d passes and says that it made %d", asked.Passes, r.Passes)
	case !plain.Blank(r.Failure):
		return fmt.Errorf("the node says that it is done, and that it failed: %s", r.Failure)
	}
	if err := r.ReadBack.holds(r, asked.ReadBack); err != nil {
		return err
	}
	most := Reached(Most(r.Method, r.Disk.Rotates), r.Unreached)
	if rank(r.Term) > rank(most) {
		if most == None {
			most = "none"
		}
		return fmt.Errorf("the node claims the term %s of NIST SP 800-88 for %s, and with what was not reached it is "+
			"%s at most", r.Term, r.Method, most)
	}
	for _, a := range r.Unreached {
		if a.Kind == AreaRefused {
			return fmt.Errorf("the node says that it is done, and that the disk took nothing at some places: %s",
				a.Words)
		}
	}
	return nil
}

// leastSample is how much of a disk a sample has, in bytes, if the disk is not smaller: one place of 64 KiB in each of
// a thousand parts, where rounding lets two places fall together.
const leastSample = 1000 * 64 << 10

// holds says why what was read back is not what was asked for, or not what should be there.
func (b *ReadBack) holds(r *Result, asked string) error {
	counts := []int64{b.Bytes, b.Blocks, b.Zeros, b.Same, b.Wanted, b.Other, b.Kept, b.Wrong, b.Unreadable}
	var sum int64
	for i, n := range counts {
		if n < 0 || n > r.Disk.Size {
			return fmt.Errorf("what the node says of reading back counts %d, on a disk of %d bytes", n, r.Disk.Size)
		}
		if i >= 2 {
			sum += n
		}
	}
	least := min(r.Disk.Size, leastSample)
	if asked == ReadAll {
		least = r.Disk.Size
	}
	made := Passes(r.Method) || r.Method == Zero // what must be read back is known to the byte
	switch {
	case b.Scope != asked:
		return fmt.Errorf("the node was asked to read back %q and says that it read back %q", asked, b.Scope)
	case !b.OK():
		return fmt.Errorf("the node says that it is done, and what it read back is not so: %s", b.Words())
	case sum != b.Blocks || (b.Blocks == 0) != (b.Bytes == 0):
		return fmt.Errorf("the node says that it read back %d bytes in %d blocks, and tells of %d", b.Bytes, b.Blocks,
			sum)
	case asked == ReadNone && b.Bytes != 0:
		return fmt.Errorf("the node says that it read nothing back, and %d bytes", b.Bytes)
	case asked != ReadNone && b.Bytes < least:
		return fmt.Errorf("the node was asked to read back %q, which is %d bytes of this disk at least, and says "+
			"that it read %d", asked, least, b.Bytes)
	case made && b.Wanted != b.Blocks:
		return fmt.Errorf("the node read back %d blocks, of which %d are what %s writes", b.Blocks, b.Wanted, r.Method)
	}
	return nil
}
