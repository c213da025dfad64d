package restore

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/diskcast/diskcast/internal/image"
)

// worker decodes frames and writes their chunks. Its buffers are used for every frame.
type worker struct {
	w    *Writer
	dec  *image.Decoder
	in   []byte // stored bytes, in a local restore
	out  []byte // decoded bytes
	iov  [][]byte
	runs []run
}

// run is a part of a chunk that is written: n bytes of the disk at off, from data or, when that is nil, zeros.
type run struct {
	off, n int64
	data   []byte
}

// run takes frames from the queue until the writer is closed or fails.
func (w *Writer) run(k *worker) {
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && w.err == nil && !w.closing {
			w.work.Wait()
		}
		if w.err != nil || len(w.queue) == 0 {
			w.mu.Unlock()
			return
		}
		t := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.decoding++
		w.mu.Unlock()

		damage, err := k.frame(t.frame, t.buf)

		w.mu.Lock()
		w.decoding--
		w.release(t)
		w.mu.Unlock()
		w.outcome(t.frame, damage, err)
	}
}

// outcome settles a frame, or has it come again.
func (w *Writer) outcome(frame int32, damage, err error) {
	f := &w.p.idx.Frames[frame]
	switch {
	case err != nil:
		w.fail(err)
	case damage == nil:
		w.mu.Lock()
		w.state[frame] = settled
		w.left--
		if w.left == 0 {
			close(w.done)
		}
		w.mu.Unlock()
	default:
		d := w.p.idx.Damage(int(frame), damage.Error())
		d.Image = w.o.Name
		doubtful := w.o.Doubtful != nil && w.o.Doubtful()
		w.mu.Lock()
		if !doubtful {
			w.tries[frame]++
		}
		last := w.tries[frame] >= maxTries
		w.state[frame] = absent
		w.stats.FramesBad++
		w.stats.Received -= f.Length
		w.bad = append(w.bad, d)
		if !last {
			w.again = append(w.again, Range{Offset: f.Object, Length: f.Length})
		}
		w.mu.Unlock()
		if last {
			w.fail(fmt.Errorf("%w; it came %d times like this, so the server's copy is damaged: run `diskcast image "+
				"verify` there", d, maxTries))
		}
		w.tell()
	}
}

// frame decodes, checks and writes one frame. damage says what is wrong with its bytes; err that the disk failed.
// Nothing is written before the whole frame has passed the checks that WriterOptions.ReadBack leaves to it.
func (k *worker) frame(i int32, stored []byte) (damage, err error) {
	w := k.w
	f := &w.p.idx.Frames[i]
	if k.out == nil {
		k.out = alignedBuffer(w.p.idx.Grid + image.Slack)
	}
	begin := time.Now()
	decode := k.dec.Decode
	if w.o.ReadBack {
		decode = k.dec.DecodeUnsummed
	}
	data, damage := decode(f, stored, k.out)
	decoded := time.Now()
	if damage != nil {
		return damage, nil
	}
	var n int64
	for _, c := range f.Chunks {
		if w.skip(c) {
			continue
		}
		if err := k.write(&w.p.idx.Chunks[c], data); err != nil {
			return nil, fmt.Errorf("chunk %d: %w; %s", c, err, writeHint(err))
		}
		n += f.Size
		for _, r := range k.runs {
			if r.data == nil {
				n += w.p.zeroBytes(r)
			}
		}
	}
	w.mu.Lock()
	w.stats.Written += n
	w.stats.Busy.Decode += decoded.Sub(begin)
	w.stats.Busy.Write += time.Since(decoded)
	w.mu.Unlock()
	return nil, nil
}

// Limits of what is written along with the stored bytes of a chunk on a target that wants it (see vectorTarget.Inline).
const (
	inlineZero = 256 << 10 // a run of zeros between two stored extents
	inlineGap  = 32 << 10  // unallocated bytes between two of them
	maxVector  = 512       // buffers a call; IOV_MAX is 1024
)

// write puts the bytes of a chunk to their places.
func (k *worker) write(c *image.Chunk, data []byte) error {
	k.plan(c, data)
	for i := 0; i < len(k.runs); {
		off := k.runs[i].off
		at := off
		k.iov = k.iov[:0]
		for ; i < len(k.runs) && k.runs[i].off == at && len(k.iov) < maxVector; i++ {
			r := k.runs[i]
			at += r.n
			if r.data != nil {
				k.iov = append(k.iov, r.data)
				continue
			}
			for r.n > 0 {
				m := min(r.n, int64(len(zeroBuffer)))
				k.iov = append(k.iov, zeroBuffer[:m])
				r.n -= m
			}
		}
		if err := writeAll(k.w.t, k.iov, off); err != nil {
			return fmt.Errorf("writing the target at byte %d: %w", off, err)
		}
	}
	return nil
}

// plan lists what is written for a chunk, in the order of the disk.
func (k *worker) plan(c *image.Chunk, data []byte) {
	k.runs = k.runs[:0]
	for _, e := range c.Extents {
		if e.Offset < k.w.p.size { // else it is what Plan.beyond lets go
			k.runs = append(k.runs, run{off: e.Offset, n: e.Length, data: data[:e.Length]})
		}
		data = data[e.Length:]
	}
	if v, ok := k.w.t.(vectorTarget); !ok || !v.Inline() {
		return
	}
	n := len(k.runs)
	k.w.p.fills(c, func(gap image.Extent) { k.runs = append(k.runs, run{off: gap.Offset, n: gap.Length}) })
	if len(k.runs) > n {
		slices.SortFunc(k.runs, func(a, b run) int { return cmp.Compare(a.off, b.off) })
	}
}

// fills calls f with every gap between two stored extents of a chunk that can be written as zeros along with them: it
// is zeros of the image, or nothing that matters, and short.
func (p *Plan) fills(c *image.Chunk, f func(gap image.Extent)) {
	z, t := c.Zeros, p.tables
	for i := 1; i < len(c.Extents) && c.Extents[i].Offset < p.size; i++ {
		gap := image.Extent{Offset: c.Extents[i-1].End()}
		gap.Length = c.Extents[i].Offset - gap.Offset
		free := gap.Length
		for len(z) > 0 && z[0].Offset < gap.End() {
			if z[0].Offset >= gap.Offset {
				free -= z[0].Length
			}
			z = z[1:]
		}
		for len(t) > 0 && t[0].End() <= gap.Offset {
			t = t[1:]
		}
		if gap.Length <= inlineZero && free <= inlineGap && (len(t) == 0 || t[0].Offset >= gap.End()) {
			f(gap)
		}
	}
}

// zeroBytes is how many bytes of a run that was filled were on the list of what must be made zero.
func (p *Plan) zeroBytes(r run) int64 {
	i := sort.Search(len(p.zeros), func(i int) bool { return p.zeros[i].End() > r.off })
	var n int64
	for ; i < len(p.zeros) && p.zeros[i].Offset < r.off+r.n; i++ {
		n += min(p.zeros[i].End(), r.off+r.n) - max(p.zeros[i].Offset, r.off)
	}
	return n
}
