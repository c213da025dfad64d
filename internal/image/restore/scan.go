package restore

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
)

// joinGap is the longest gap between two runs of a chunk that is read along with them.
const joinGap = 64 << 10

// scanner compares the disk with the image, chunk by chunk. One goroutine uses it.
type scanner struct {
	p    *Plan
	t    Target
	dec  *image.Decoder // for its hash
	hole []image.Extent // where the target says that it is zero
	buf  []byte         // a cell, every byte at its place
	runs []image.Extent
}

func newScanner(p *Plan, t Target) (*scanner, error) {
	dec, err := image.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &scanner{p: p, t: t, dec: dec, buf: alignedBuffer(p.idx.Grid)}, nil
}

// read brings the runs, which lie in the cell that begins at base, to their places in buf.
func (s *scanner) read(base int64, runs []image.Extent) error {
	for i := 0; i < len(runs); {
		from, to := runs[i].Offset, runs[i].End()
		for i++; i < len(runs) && runs[i].Offset-to <= joinGap; i++ {
			to = max(to, runs[i].End())
		}
		// Whole pages, so that the read can be direct.
		from &^= pageSize - 1
		to = min((to+pageSize-1)&^(pageSize-1), base+s.p.idx.Grid, s.p.size)
		n, err := s.t.ReadAt(s.buf[from-base:to-base], from)
		if int64(n) < to-from {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the target at byte %d: %w", from+int64(n), err)
		}
	}
	return nil
}

// chunk reports whether the stored bytes of a chunk are on the disk, and calls notZero for each of its zeros that is
// not.
func (s *scanner) chunk(i int, notZero func(image.Extent)) (same bool, err error) {
	c := &s.p.idx.Chunks[i]
	if c.Frame < 0 && len(volume.Subtract(c.Zeros, s.hole)) == 0 {
		return true, nil
	}
	base := c.Cell * s.p.idx.Grid
	s.runs = inOrder(s.runs[:0], c)
	// What the target has no room for is the copy of a boot sector, which the config has too.
	for n := len(s.runs) - 1; n >= 0 && s.runs[n].Offset >= s.p.size; n-- {
		e := s.runs[n]
		copy(s.buf[e.Offset-base:e.End()-base], s.p.inside(e.Offset).BootCopy)
		s.runs = s.runs[:n]
	}
	if err := s.read(base, s.runs); err != nil {
		return false, err
	}
	for _, z := range c.Zeros {
		if !image.IsZero(s.buf[z.Offset-base : z.End()-base]) {
			notZero(z)
		}
	}
	if c.Frame < 0 {
		return true, nil
	}
	return s.dec.SumExtents(s.buf, base, c.Extents) == s.p.idx.Frames[c.Frame].Sum, nil
}

// inOrder appends the stored and zero extents of c in the order of the disk.
func inOrder(runs []image.Extent, c *image.Chunk) []image.Extent {
	e, z := c.Extents, c.Zeros
	for len(e) > 0 || len(z) > 0 {
		if len(z) == 0 || len(e) > 0 && e[0].Offset < z[0].Offset {
			runs, e = append(runs, e[0]), e[1:]
		} else {
			runs, z = append(runs, z[0]), z[1:]
		}
	}
	return runs
}

// finding is what a scan tells of one chunk, or of one piece of a wipe when chunk is -1.
type finding struct {
	chunk   int
	same    bool
	notZero []image.Extent
}

// scan reads all chunks and wipes in parallel. found is called from one goroutine at a time; an error of its ends the
// scan.
func (p *Plan) scan(ctx context.Context, t Target, progress image.Progress, found func(finding) error) error {
	if u, ok := t.(uncached); ok {
		u.dropCache()
	}
	var holes []image.Extent
	if h, ok := t.(holey); ok {
		holes = h.Holes()
	}
	wipes := pieces(p.wipe, p.idx.Grid)
	total := bytesOf(p.wipe)
	for i := range p.idx.Chunks {
		total += bytesOf(p.idx.Chunks[i].Extents) + bytesOf(p.idx.Chunks[i].Zeros)
	}
	var next, done int64
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) + 1 { // one more than CPUs, so that the disk is not idle while all of them hash
		s, err := newScanner(p, t)
		if err != nil {
			return err
		}
		s.hole = holes
		g.Go(func() error {
			defer s.dec.Close()
			for ctx.Err() == nil {
				i := int(atomic.AddInt64(&next, 1)) - 1
				f := finding{chunk: i}
				var n int64
				var err error
				switch {
				case i < len(p.idx.Chunks):
					f.same, err = s.chunk(i, func(z image.Extent) { f.notZero = append(f.notZero, z) })
					n = bytesOf(p.idx.Chunks[i].Extents) + bytesOf(p.idx.Chunks[i].Zeros)
				case i-len(p.idx.Chunks) < len(wipes):
					w := wipes[i-len(p.idx.Chunks)]
					f.chunk, f.same, n = -1, true, w.Length
					base := w.Offset / p.idx.Grid * p.idx.Grid
					if err = s.read(base, []image.Extent{w}); err == nil &&
						!image.IsZero(s.buf[w.Offset-base:w.End()-base]) {
						f.notZero = append(f.notZero, w)
					}
				default:
					return nil
				}
				if err != nil {
					return err
				}
				mu.Lock()
				err = found(f)
				done += n
				if progress != nil && err == nil {
					progress(done, total)
				}
				mu.Unlock()
				if err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// pieces cuts extents along the grid.
func pieces(ext []image.Extent, grid int64) []image.Extent {
	var out []image.Extent
	for _, e := range ext {
		for e.Length > 0 {
			n := min(e.Length, grid-e.Offset%grid)
			out = append(out, image.Extent{Offset: e.Offset, Length: n})
			e.Offset += n
			e.Length -= n
		}
	}
	return out
}

// Present hashes what is on the disk and returns the ranges of the object that are in place already. A Writer made
// afterwards writes only the chunks, and zeros, that are not: nobody else may write to the disk between.
func (p *Plan) Present(ctx context.Context, t Target, progress image.Progress) (have []Range, err error) {
	if err := p.matches(t); err != nil {
		return nil, err
	}
	here := make([]bool, len(p.idx.Chunks))
	var zeros []image.Extent
	err = p.scan(ctx, t, progress, func(f finding) error {
		if f.chunk >= 0 {
			here[f.chunk] = f.same
		}
		zeros = append(zeros, f.notZero...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("hashing what is on the disk: %w", err)
	}
	p.have, p.zeros = here, merged(zeros)
	for i := range p.idx.Frames {
		f := &p.idx.Frames[i]
		if !p.inPlace(f) {
			continue
		}
		if n := len(have); n > 0 && have[n-1].Offset+have[n-1].Length == f.Object {
			have[n-1].Length += f.Length
		} else {
			have = append(have, Range{Offset: f.Object, Length: f.Length})
		}
	}
	return have, nil
}

func (p *Plan) inPlace(f *image.Frame) bool {
	for _, c := range f.Chunks {
		if p.have == nil || !p.have[c] {
			return false
		}
	}
	return true
}

// MismatchError says where a disk that was read back is not what the image says.
type MismatchError struct {
	Chunk  int   // -1 when it is not in a chunk
	Offset int64 // of the disk, where the part that is wrong begins
	Length int64
	What   string
}

func (e *MismatchError) Error() string {
	where := ""
	if e.Chunk >= 0 {
		where = fmt.Sprintf("chunk %d, ", e.Chunk)
	}
	return fmt.Sprintf("the disk did not keep what was written (%s%d bytes at byte %d): %s; the disk, its cable or "+
		"the memory may be failing",
		where, e.Length, e.Offset, e.What)
}

// Verify reads the disk back and checks the table, every chunk and every zero. The first difference in the order of the
// disk is returned as a *MismatchError.
func (p *Plan) Verify(ctx context.Context, t Target, progress image.Progress) error {
	if err := p.matches(t); err != nil {
		return err
	}
	x, err := p.otherTable(t)
	if err != nil {
		return err
	}
	if x != nil {
		return &MismatchError{Chunk: -1, Offset: x.Offset, Length: int64(len(x.Data)),
			What: "the partition table is another"}
	}
	var first *MismatchError
	note := func(e MismatchError) {
		if first == nil || e.Offset < first.Offset {
			first = &e
		}
	}
	err = p.scan(ctx, t, progress, func(f finding) error {
		for _, z := range f.notZero {
			note(MismatchError{f.chunk, z.Offset, z.Length, "these bytes should be zero"})
		}
		if !f.same {
			ext := p.idx.Chunks[f.chunk].Extents
			note(MismatchError{f.chunk, ext[0].Offset, ext[len(ext)-1].End() - ext[0].Offset,
				"its BLAKE3 sum is not the image's"})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the disk back: %w", err)
	}
	if first != nil {
		return first
	}
	return nil
}
