package restore

import (
	"errors"
	"fmt"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
)

// WriterOptions of NewWriter. The zero value of a field is its default.
type WriterOptions struct {
	Name string // of the image, for messages
	// Workers is the number of goroutines that decode, hash and write, each with buffers of a bit more than a cell;
	// by default two more than CPUs, so that some can wait for the disk.
	Workers int
	// Memory bounds, in bytes, partial and queued frames; 96 MiB by default. One frame is always let in.
	Memory int64
	// Again is called, without any lock held, when object bytes that Block took were dropped: ask for them again. It
	// may be called from Block.
	Again func(off, n int64)
	// Rejected is told of each frame whose bytes were not what the index says, before Again. No lock is held.
	Rejected func(*image.DamageError)
	// Doubtful reports whether what comes now may be of another hand than the server's, as by multicast, whose key many
	// have. A frame that is wrong then says nothing of the server's copy, and is asked for as often as it takes; nil:
	// all comes from the server.
	Doubtful func() bool
	Have     []Range // of the object: frames that lie wholly within are not needed
	// ReadBack says that Verify is called afterwards, which hashes every chunk on the disk. Then a frame is held only
	// against its lengths and CRC-32C before it is written, not hashed twice.
	ReadBack bool
}

// Stats of a Writer. Bytes of the disk, unless said otherwise.
type Stats struct {
	Written   int64 // on the target, zeros included
	ToWrite   int64
	Needed    int64 // object bytes
	Received  int64 // object bytes of needed frames that are held or done
	FramesBad int64 // frames whose hash failed, each time
	Evicted   int64 // object bytes that Block took, or could not take, for want of memory
	Busy      Busy
}

// Busy is the time that all workers together spent on each thing.
type Busy struct{ Decode, Write time.Duration }

// maxTries is how often a frame may come with a wrong hash. The transport is authenticated, so that already the second
// time means that the server's blob is damaged.
const maxTries = 3

var errClosed = errors.New("the restore was ended")

// Writer takes the bytes of the object and puts them on the disk.
type Writer struct {
	p *Plan
	t Target
	o WriterOptions

	mu       sync.Mutex
	work     sync.Cond // a frame is queued, or no more will be
	room     sync.Cond // memory was freed, or the restore ended
	state    []uint8   // of each frame
	tries    map[int32]int
	parts    map[int32]*part
	queue    []*part
	decoding int
	held     int64 // bytes of parts, queued and decoding frames, in classes of the pool
	pool     pool
	left     int // frames that are not settled
	closing  bool
	err      error
	again    []Range              // to be told without the lock
	bad      []*image.DamageError // the same
	stats    Stats
	zeros    []image.Extent // what the workers do not write along with the chunks

	done    chan struct{}
	failed  chan struct{}
	workers sync.WaitGroup
	zeroing sync.WaitGroup
}

// NewWriter starts the workers and begins to write zeros. Close must be called.
func NewWriter(p *Plan, t Target, o WriterOptions) (*Writer, error) {
	w, err := newWriter(p, t, o)
	if err != nil {
		return nil, err
	}
	if err := w.start(w.run); err != nil {
		return nil, err
	}
	return w, nil
}

func newWriter(p *Plan, t Target, o WriterOptions) (*Writer, error) {
	if err := p.matches(t); err != nil {
		return nil, err
	}
	if o.Memory <= 0 {
		o.Memory = 96 << 20
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0) + 2
		// A machine with many CPUs need not have memory for all of them.
		o.Workers = min(o.Workers, max(2, int(2*o.Memory/p.idx.Grid)))
	}
	w := &Writer{p: p, t: t, o: o, state: make([]uint8, len(p.idx.Frames)), tries: map[int32]int{},
		parts: map[int32]*part{},
		done:  make(chan struct{}), failed: make(chan struct{})}
	w.work.L, w.room.L = &w.mu, &w.mu
	w.need(o.Have)
	return w, nil
}

// need marks the frames that are not needed and counts the others.
func (w *Writer) need(have []Range) {
	frames := w.p.idx.Frames
	for _, r := range have {
		i := sort.Search(len(frames), func(i int) bool { return frames[i].Object >= r.Offset })
		for ; i < len(frames) && frames[i].Object+frames[i].Length <= r.Offset+r.Length; i++ {
			w.state[i] = settled
		}
	}
	for i := range frames {
		if w.state[i] == settled {
			continue
		}
		w.left++
		w.stats.Needed += frames[i].Length
		for _, c := range frames[i].Chunks {
			if !w.skip(c) {
				w.stats.ToWrite += frames[i].Size
			}
		}
	}
	w.stats.ToWrite += bytesOf(w.p.zeros)
	w.zeros = w.p.zeros
	if v, ok := w.t.(vectorTarget); ok && v.Inline() {
		w.zeros = volume.Subtract(w.zeros, w.inlined())
	}
	if w.left == 0 {
		close(w.done)
	}
}

// skip reports whether a chunk is in place, though its frame is needed for another one.
func (w *Writer) skip(chunk int32) bool { return w.p.have != nil && w.p.have[chunk] }

// inlined are the zeros that the workers write along with the chunks.
func (w *Writer) inlined() []image.Extent {
	var out []image.Extent
	for i := range w.p.idx.Chunks {
		c := &w.p.idx.Chunks[i]
		if c.Frame >= 0 && w.state[c.Frame] != settled && !w.skip(int32(i)) {
			w.p.fills(c, func(gap image.Extent) { out = append(out, gap) })
		}
	}
	return out
}

// start runs the workers and the writer of zeros.
func (w *Writer) start(run func(*worker)) error {
	all := make([]*worker, w.o.Workers)
	for i := range all {
		d, err := image.NewDecoder()
		if err != nil {
			return err
		}
		all[i] = &worker{w: w, dec: d}
	}
	for _, k := range all {
		w.workers.Go(func() { // ends when the writer is closed and the queue is empty, or has failed
			defer k.dec.Close()
			run(k)
		})
	}
	w.zeroing.Go(w.zero) // ends when all zeros are written or the writer has failed
	return nil
}

// zeroStep is how much is zeroed in one call: a device that has no command for it writes, and that must not hold up an
// error for long.
const zeroStep = 64 << 20

func (w *Writer) zero() {
	for _, e := range w.zeros {
		for e.Length > 0 {
			if w.Err() != nil {
				return
			}
			n := min(e.Length, zeroStep)
			if err := w.t.Zero(e.Offset, n); err != nil {
				w.fail(fmt.Errorf("zeroing %d bytes of the target at byte %d: %w", n, e.Offset, err))
				return
			}
			e.Offset += n
			e.Length -= n
			w.mu.Lock()
			w.stats.Written += n
			w.mu.Unlock()
		}
	}
}

// fail ends the restore. The first error stays.
func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	close(w.failed)
	w.work.Broadcast()
	w.room.Broadcast()
}

// Done is closed when every needed chunk is on the target. Close is still to be called.
func (w *Writer) Done() <-chan struct{} { return w.done }

// Failed is closed when the restore cannot go on; Err says why.
func (w *Writer) Failed() <-chan struct{} { return w.failed }

// Err is the first error, nil while there is none.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Stats may be called at any time.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// IncompleteError says that Close came before all of the object.
type IncompleteError struct {
	Frames int   // that did not come whole
	Bytes  int64 // of the object that did not come
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("the restore is not complete: %d frames (%d bytes of the image) did not come", e.Frames, e.Bytes)
}

// Close ends the restore: it waits for the complete frames and the zeros to be written, flushes, and returns the first
// error. Frames that never came are an *IncompleteError; what was written of the others stays, and Present will find
// it.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closing = true
	w.work.Broadcast()
	w.room.Broadcast()
	w.mu.Unlock()
	w.workers.Wait()
	w.mu.Lock()
	var incomplete error
	if w.left > 0 {
		incomplete = &IncompleteError{Frames: w.left, Bytes: w.stats.Needed - w.stats.Received}
	}
	w.mu.Unlock()
	if incomplete != nil {
		w.fail(incomplete) // unless there is an earlier error
	}
	w.zeroing.Wait()
	if err := w.t.Sync(); err != nil {
		w.fail(err)
	}
	return w.Err()
}
