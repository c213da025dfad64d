package erase

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
)

const (
	// subsections and perSubsection make a sample of places all over the disk, at random within their part; a place is
	// in bytes.
	subsections   = 1000
	perSubsection = 2
	placeSize     = 64 << 10
)

// place is a part of the disk that is looked at.
type place struct{ off, n int64 }

// places chooses a sample from a seed: both ends of the disk, and two places in each of a thousand parts of it. A small
// disk is taken whole.
func places(size int64, seed [32]byte) []place {
	if size <= 2*subsections*perSubsection*placeSize {
		return cut(0, size)
	}
	rng := rand.New(rand.NewChaCha8(seed))
	out := cut(0, 1<<20)
	for i := range int64(subsections) {
		from, to := size/subsections*i, size/subsections*(i+1)
		half := (to - from) / perSubsection
		for j := range int64(perSubsection) {
			at := from + j*half + rng.Int64N(half-placeSize)
			out = append(out, place{at &^ (placeSize - 1), placeSize})
		}
	}
	end := (size - 1<<20) &^ (placeSize - 1)
	out = append(out, cut(end, size)...)
	slices.SortFunc(out, func(a, b place) int { return int(a.off/placeSize - b.off/placeSize) })
	return slices.Compact(out)
}

func cut(from, to int64) (out []place) {
	for ; from < to; from += placeSize {
		out = append(out, place{from, min(placeSize, to-from)})
	}
	return out
}

// memory is what stood on the disk before it was erased, at the places of the sample, without what was the same byte
// throughout.
type memory struct {
	seed  maphash.Seed
	marks map[int64]uint64 // by offset of the block
	// witnesses is how many blocks were written for the purpose, so that there is something that the erase must take
	// away.
	witnesses int
}

// remember looks at the sample before the erase, and writes random bytes into the first block of each place. A disk
// that says that it has erased itself, and did nothing, still has them.
func (r *run) remember(ctx context.Context) (*memory, error) {
	m := &memory{seed: maphash.MakeSeed(), marks: map[int64]uint64{}}
	witness := newStream(r.seed, "witness")
	buf, step := buffer(placeSize), r.blockSize()
	for i, p := range r.sample {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b := buf[:p.n]
		if _, err := r.dev.ReadAt(b, p.off); err != nil {
			return nil, fmt.Errorf("reading the disk at offset %d: %w", p.off, err)
		}
		first := b[:min(step, p.n)]
		witness.fill(first, p.off)
		if _, err := r.dev.WriteAt(first, p.off); err != nil {
			return nil, fmt.Errorf("writing to the disk at offset %d: %w", p.off, err)
		}
		m.keep(b, p.off, step)
		r.say(i, len(r.sample), "noting what is on the disk")
	}
	if err := r.dev.Flush(); err != nil {
		return nil, fmt.Errorf("flushing the disk's cache: %w", err)
	}
	// Only what the disk holds can bear witness.
	for _, p := range r.sample {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b := buf[:min(step, p.n)]
		if _, err := r.dev.ReadAt(b, p.off); err != nil {
			return nil, fmt.Errorf("reading the disk at offset %d: %w", p.off, err)
		}
		if m.has(b, p.off) {
			m.witnesses++
		}
	}
	if m.witnesses == 0 {
		return nil, fmt.Errorf("the disk holds nothing of what was written to it")
	}
	return m, nil
}

func (m *memory) keep(p []byte, off, step int64) {
	for at := int64(0); at < int64(len(p)); at += step {
		b := p[at:min(at+step, int64(len(p)))]
		if _, same := uniform(b); !same {
			m.marks[off+at] = maphash.Bytes(m.seed, b)
		}
	}
}

// has reports whether the block is what stood there before.
func (m *memory) has(b []byte, off int64) bool {
	if m == nil {
		return false
	}
	mark, ok := m.marks[off]
	return ok && mark == maphash.Bytes(m.seed, b)
}
