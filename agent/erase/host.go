package erase

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/session"
)

const (
	// piece is what one request of discard and zeroing covers, chunk what one write and one read move, block what is
	// compared, in bytes.
	piece = 64 << 20
	chunk = 4 << 20
	block = 4096
	// maxBad is how many places of a disk may refuse before the rest is not tried.
	maxBad = 256
)

// errTooBad ends the work on a disk that refuses everywhere.
var errTooBad = errors.New("the disk refuses in too many places")

func discard(ctx context.Context, r *run) error {
	return r.each(ctx, "discarding", piece, 0, r.dev.Size(), r.dev.Discard)
}

func secureDiscard(ctx context.Context, r *run) error {
	return r.each(ctx, "discarding securely", piece, 0, r.dev.Size(), r.dev.SecureDiscard)
}

func zero(ctx context.Context, r *run) error {
	return r.each(ctx, "zeroing", piece, 0, r.dev.Size(), r.dev.Zero)
}

// fillOf is what a pass of overwrite writes. The last pass writes the pattern; those before it by turns what is
// inverted.
func (r *run) fillOf(pass int) filler {
	if r.spec.Pattern == "" {
		return newStream(r.seed, fmt.Sprintf("overwrite, pass %d", pass))
	}
	b, err := hex.DecodeString(r.spec.Pattern)
	if err != nil {
		panic(err) // Check has decoded it
	}
	if (r.spec.Passes-pass)%2 == 1 {
		return pattern(b).inverted()
	}
	return pattern(b)
}

func (r *run) lastFill() filler { return r.fillOf(r.spec.Passes) }

func overwrite(ctx context.Context, r *run) error {
	buf := buffer(chunk)
	size := r.dev.Size()
	for pass := 1; pass <= r.spec.Passes; pass++ {
		f := r.fillOf(pass)
		words := fmt.Sprintf("overwriting, pass %d of %d", pass, r.spec.Passes)
		err := r.each(ctx, words, chunk, int64(pass-1)*size, int64(r.spec.Passes)*size, func(off, n int64) error {
			p := buf[:n]
			f.fill(p, off)
			got, err := r.dev.WriteAt(p, off)
			if err == nil && got < len(p) {
				err = fmt.Errorf("%d of %d bytes were written", got, len(p))
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := r.dev.Flush(); err != nil {
			return fmt.Errorf("flushing the disk's cache after pass %d: %w", pass, err)
		}
	}
	return nil
}

// each does the whole disk, step bytes at a time; before and all are for the progress. Where the disk refuses, smaller
// and smaller parts are tried, so that a bad sector keeps nothing but itself from being erased; what is left is in
// r.bad.
func (r *run) each(ctx context.Context, words string, step, before, all int64, do func(off, n int64) error) error {
	size := r.dev.Size()
	for off := int64(0); off < size; off += step {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := r.part(off, min(step, size-off), do); err != nil {
			return err
		}
		done := before + min(off+step, size)
		r.o.Report.Progress(fmt.Sprintf("%s: %s", words, percent(done, all)),
			session.Progress{Written: done, ToWrite: all})
	}
	return nil
}

func (r *run) part(off, n int64, do func(off, n int64) error) error {
	err := do(off, n)
	if err == nil {
		return nil
	}
	smallest := int64(max(block, r.dev.SectorSize()))
	if n <= smallest {
		r.bad = append(r.bad, bad{off, n, err})
		if len(r.bad) >= maxBad {
			return fmt.Errorf("%w (%d; the first at offset %d: %w)", errTooBad, len(r.bad), r.bad[0].off, r.bad[0].err)
		}
		return nil
	}
	half := max(n/2/smallest*smallest, smallest)
	if err := r.part(off, half, do); err != nil {
		return err
	}
	return r.part(off+half, n-half, do)
}

// bad is a place that could not be erased.
type bad struct {
	off, n int64
	err    error
}

func percent(done, total int64) string {
	if total <= 0 {
		return "100 %"
	}
	return fmt.Sprintf("%d %% of %s", int64(float64(done)/float64(total)*100), diskrule.Bytes(total))
}
