package restore

import (
	"fmt"
	"sort"

	"github.com/diskcast/diskcast/internal/span"
)

// States of a frame.
const (
	absent  = iota // needed, and not complete
	queued         // complete: a worker has it or will have it
	settled        // on the disk, or never needed
)

// part is a frame of which some bytes came.
type part struct {
	frame int32
	buf   []byte
	got   span.Set
	n     int64 // bytes in got
	busy  int   // goroutines that copy into buf
}

// claim marks n bytes from off as taken and appends to fresh what of them was not taken before.
func (p *part) claim(off, n int64, fresh []span.Span) []span.Span {
	p.got, fresh = p.got.Take(off, n, fresh)
	for _, s := range fresh {
		p.n += s.Length
	}
	return fresh
}

// Block takes object bytes, in any order, from any goroutine. It copies p. It blocks while the workers are behind.
// Bytes that it has seen before, or that nobody needs, do no harm. After an error that ends the restore it returns that
// error.
func (w *Writer) Block(off int64, p []byte) error {
	if off < 0 || off > w.p.ObjectSize() || int64(len(p)) > w.p.ObjectSize()-off {
		return fmt.Errorf("object bytes %d+%d are beyond the object of %d bytes", off, len(p), w.p.ObjectSize())
	}
	frames := w.p.idx.Frames
	i := sort.Search(len(frames), func(i int) bool { return frames[i].Object+frames[i].Length > off })
	for ; len(p) > 0; i++ {
		f := &frames[i]
		from := off - f.Object
		n := min(int64(len(p)), f.Length-from)
		if err := w.take(int32(i), from, p[:n]); err != nil {
			return err
		}
		off += n
		p = p[n:]
	}
	return nil
}

// take takes bytes of one frame.
func (w *Writer) take(frame int32, from int64, b []byte) error {
	var few [4]span.Span
	w.mu.Lock()
	t, err := w.partFor(frame, from, int64(len(b)))
	if t == nil {
		w.mu.Unlock()
		w.tell()
		return err
	}
	fresh := t.claim(from, int64(len(b)), few[:0])
	for _, s := range fresh {
		w.stats.Received += s.Length
	}
	t.busy++
	w.mu.Unlock()

	for _, s := range fresh {
		copy(t.buf[s.Offset:s.End()], b[s.Offset-from:s.End()-from])
	}

	w.mu.Lock()
	t.busy--
	if t.busy == 0 {
		if t.n == int64(len(t.buf)) {
			delete(w.parts, frame)
			w.state[frame] = queued
			w.queue = append(w.queue, t)
			w.work.Signal()
		} else {
			w.room.Broadcast() // it may be evicted now
		}
	}
	w.mu.Unlock()
	w.tell()
	return nil
}

// partFor returns the part that the bytes go to, nil when they are not wanted. It waits for memory. w.mu is held.
func (w *Writer) partFor(frame int32, from, n int64) (*part, error) {
	for {
		switch {
		case w.err != nil:
			return nil, w.err
		case w.closing:
			return nil, errClosed
		case w.state[frame] != absent:
			return nil, nil
		}
		if t := w.parts[frame]; t != nil {
			return t, nil
		}
		f := &w.p.idx.Frames[frame]
		need := class(f.Length)
		switch {
		case w.held+need <= w.o.Memory || w.held == 0:
			w.held += need
			t := &part{frame: frame, buf: w.pool.get(f.Length, w.o.Memory-w.held)}
			w.parts[frame] = t
			return t, nil
		case len(w.queue)+w.decoding > 0:
			w.room.Wait() // the workers will free some
		case !w.evict(n):
			w.dropped(f.Object+from, n)
			return nil, nil
		}
	}
}

// evict gives up the part of which the fewest bytes are there, if that are fewer than n: whoever brings more takes its
// place. So the parts that are nearly complete stay, every round of repeats completes some of them, and a restore makes
// progress in any memory. w.mu is held.
func (w *Writer) evict(n int64) bool {
	var victim *part
	busy := false
	for _, t := range w.parts {
		switch {
		case t.busy > 0:
			busy = true
		case victim == nil || t.n < victim.n || t.n == victim.n && t.frame > victim.frame:
			victim = t
		}
	}
	if victim == nil || victim.n >= n {
		if busy && victim == nil {
			w.room.Wait()
			return true // look again
		}
		return false
	}
	object := w.p.idx.Frames[victim.frame].Object
	for _, s := range victim.got {
		w.dropped(object+s.Offset, s.Length)
	}
	w.stats.Received -= victim.n
	delete(w.parts, victim.frame)
	w.release(victim)
	return true
}

// release frees a part's memory. w.mu is held.
func (w *Writer) release(t *part) {
	w.held -= int64(cap(t.buf))
	w.pool.put(t.buf, w.o.Memory-w.held)
	t.buf = nil
	w.room.Broadcast()
}

// dropped notes object bytes that must come again. w.mu is held.
func (w *Writer) dropped(off, n int64) {
	w.stats.Evicted += n
	w.again = append(w.again, Range{Offset: off, Length: n})
}

// tell passes on what was noted while the lock was held.
func (w *Writer) tell() {
	w.mu.Lock()
	again, bad := w.again, w.bad
	w.again, w.bad = nil, nil
	w.mu.Unlock()
	for _, d := range bad {
		if w.o.Rejected != nil {
			w.o.Rejected(d)
		}
	}
	for _, r := range again {
		if w.o.Again != nil {
			w.o.Again(r.Offset, r.Length)
		}
	}
}
