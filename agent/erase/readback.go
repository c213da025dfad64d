package erase

import (
	"bytes"
	"context"
	"fmt"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/session"
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
		{b.Wrong, "are NOT WHAT WAS WRITTEN"}, {b.Kept, "STILL HOLD WHAT WAS THERE BEFORE"}, {b.Unreadable, "CANNOT BE READ"},
	} {
		if c.n > 0 {
			w += fmt.Sprintf("; %d of %d blocks %s", c.n, b.Blocks, c.what)
		}
	}
	if b.FirstBad >= 0 {
		w += fmt.Sprintf("; the first such block is at offset %d", b.FirstBad)
	}
	return w
}

// readBack looks at the disk after the erase: at everything, or at the sample. What was remembered is compared in
// either case.
func (r *run) readBack(ctx context.Context) (*ReadBack, error) {
	b := &ReadBack{Scope: r.spec.ReadBack, FirstBad: -1}
	if r.memory != nil {
		b.Witnesses = r.memory.witnesses
	}
	look := r.sample
	switch b.Scope {
	case ReadNone:
		return b, nil
	case ReadAll:
		look = nil
		for off := int64(0); off < r.dev.Size(); off += chunk {
			look = append(look, place{off, min(chunk, r.dev.Size()-off)})
		}
	}
	var want filler
	if r.method.content != nil {
		want = r.method.content(r)
	}
	v := &viewer{b: b, r: r, want: want, buf: buffer(chunk), made: make([]byte, block)}
	if n := r.blockSize(); n > block {
		v.made = make([]byte, n)
	}
	for i, p := range look {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := v.look(p); err != nil {
			return b, err
		}
		if b.Scope == ReadAll {
			r.o.Report.Progress("reading back: "+percent(b.Bytes, r.dev.Size()), session.Progress{Read: b.Bytes,
				ToRead: r.dev.Size()})
		} else {
			r.say(i, len(look), "reading back a sample")
		}
	}
	return b, nil
}

// viewer reads and judges.
type viewer struct {
	b    *ReadBack
	r    *run
	want filler
	buf  []byte
	made []byte
}

func (v *viewer) look(p place) error {
	b := v.buf[:p.n]
	step := v.r.blockSize()
	if n, err := v.r.dev.ReadAt(b, p.off); err == nil && int64(n) == p.n {
		v.b.Bytes += p.n
		for at := int64(0); at < p.n; at += step {
			v.judge(b[at:min(at+step, p.n)], p.off+at)
		}
		return nil
	}
	// One by one, to know which.
	for at := int64(0); at < p.n; at += step {
		part := b[at:min(at+step, p.n)]
		if n, err := v.r.dev.ReadAt(part, p.off+at); err != nil || n < len(part) {
			v.b.Blocks++
			v.b.Unreadable++
			v.found(p.off + at)
			if v.b.Unreadable >= maxBad {
				return fmt.Errorf("%w, when it is read back (%d; the first at offset %d: %w)", errTooBad, v.b.Unreadable,
					v.b.FirstBad, err)
			}
			continue
		}
		v.b.Bytes += int64(len(part))
		v.judge(part, p.off+at)
	}
	return nil
}

func (v *viewer) found(off int64) {
	if v.b.FirstBad < 0 {
		v.b.FirstBad = off
	}
}

// judge counts a block once.
func (v *viewer) judge(p []byte, off int64) {
	v.b.Blocks++
	if v.want != nil {
		made := v.made[:len(p)]
		v.want.fill(made, off)
		if bytes.Equal(p, made) {
			v.b.Wanted++
			return
		}
		v.found(off)
		if v.r.memory.has(p, off) {
			v.b.Kept++
		} else {
			v.b.Wrong++
		}
		return
	}
	one, same := uniform(p)
	switch {
	case v.r.memory.has(p, off):
		v.b.Kept++
		v.found(off)
	case same && one == 0:
		v.b.Zeros++
	case same:
		v.b.Same++
	default:
		v.b.Other++
	}
}
