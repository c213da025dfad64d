package erase

import (
	"bytes"
	"context"
	"fmt"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
)

// readBack looks at the disk after the erase: at everything, or at the sample. What was remembered is compared in
// either case.
func (r *run) readBack(ctx context.Context) (*erasure.ReadBack, error) {
	b := &erasure.ReadBack{Scope: r.spec.ReadBack, FirstBad: -1}
	if r.memory != nil {
		b.Witnesses = r.memory.witnesses
	}
	look := r.sample
	switch b.Scope {
	case erasure.ReadNone:
		return b, nil
	case erasure.ReadAll:
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
		if b.Scope == erasure.ReadAll {
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
	b    *erasure.ReadBack
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
				return fmt.Errorf("%w, when it is read back (%d; the first at offset %d: %w)", errTooBad,
					v.b.Unreadable,
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
