package capture

import (
	"context"
	"fmt"
	"sync"

	"github.com/diskcast/diskcast/internal/image"
)

// Remote is a store on another machine. Its methods are called from several goroutines.
type Remote interface {
	// Has reports whether bytes with this sum and length need not be sent.
	Has(ctx context.Context, sum [32]byte, size int64) (bool, error)
	// Put sends the frame of these bytes. stored is valid only during the call.
	Put(ctx context.Context, sum [32]byte, size int64, stored []byte) error
}

// Recorder is the Sink of a capture into a Remote: it sends the frames that are not there, several at a time, and
// records what the index must say. A capture that was broken off is simply run again: what the remote has already is
// hashed and neither compressed nor sent.
type Recorder struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	remote Remote
	index  image.Index
	bufs   chan []byte // one for each upload that may be under way
	sends  sync.WaitGroup

	mu   sync.Mutex
	mine map[key]int32
	sent int64
}

type key struct {
	sum  [32]byte
	size int64
}

// NewRecorder records a capture of a disk. uploads is how many frames may be on their way at the same time.
func NewRecorder(ctx context.Context, r Remote, diskSize, grid int64, uploads int) *Recorder {
	ctx, cancel := context.WithCancelCause(ctx)
	rec := &Recorder{ctx: ctx, cancel: cancel, remote: r, index: image.Index{DiskSize: diskSize, Grid: grid},
		bufs: make(chan []byte, max(1, uploads)), mine: map[key]int32{}}
	for range cap(rec.bufs) {
		rec.bufs <- nil
	}
	return rec
}

// Has implements Sink.
func (r *Recorder) Has(sum [32]byte, size int64) bool {
	r.mu.Lock()
	_, ok := r.mine[key{sum, size}]
	r.mu.Unlock()
	if ok {
		return true
	}
	ok, err := r.remote.Has(r.ctx, sum, size)
	if err != nil {
		r.cancel(fmt.Errorf("asking for a frame: %w", err))
		return false
	}
	return ok
}

// Add implements Sink.
func (r *Recorder) Add(c image.ChunkData) error {
	if err := context.Cause(r.ctx); err != nil {
		return err
	}
	chunk := image.Chunk{Cell: c.Cell, Frame: -1, Extents: c.Extents, Zeros: c.Zeros}
	var size int64
	for _, e := range c.Extents {
		size += e.Length
	}
	if size > 0 {
		n, err := r.frame(key{c.Sum, size}, c.Stored)
		if err != nil {
			return err
		}
		chunk.Frame = n
	}
	return r.index.AddChunk(chunk)
}

// AddZeros implements Sink.
func (r *Recorder) AddZeros(first, n int64) error {
	grid := r.index.Grid
	zeros := make([]image.Extent, n)
	for i := range zeros {
		cell := first + int64(i)
		zeros[i] = image.Extent{Offset: cell * grid, Length: grid}
		if err := r.Add(image.ChunkData{Cell: cell, Zeros: zeros[i : i+1 : i+1]}); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recorder) frame(k key, stored []byte) (int32, error) {
	r.mu.Lock()
	n, ok := r.mine[k]
	r.mu.Unlock()
	if ok {
		return n, nil
	}
	// Where the frame will be stored is for the remote to say; a length of 1 stands for it.
	f := image.Frame{Object: r.index.ObjectSize(), Length: 1, Offset: r.index.ObjectSize(), Size: k.size, Sum: k.sum}
	if stored != nil {
		if err := r.send(k, stored); err != nil {
			return 0, err
		}
	}
	n = r.index.AddFrame(f)
	r.index.Blobs = 1
	r.mu.Lock()
	r.mine[k] = n
	r.mu.Unlock()
	return n, nil
}

// send starts to send a frame. It waits while too many are on their way.
func (r *Recorder) send(k key, stored []byte) error {
	var buf []byte
	select {
	case buf = <-r.bufs:
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
	buf = append(buf[:0], stored...)
	r.sends.Go(func() { // ends when the remote has it or has failed
		if err := r.remote.Put(r.ctx, k.sum, k.size, buf); err != nil {
			r.cancel(fmt.Errorf("sending a frame: %w", err))
		} else {
			r.mu.Lock()
			r.sent += int64(len(buf))
			r.mu.Unlock()
		}
		r.bufs <- buf
	})
	return nil
}

// Index waits until everything was sent and returns the index for the remote's Finish (image.Stage). Lengths and places
// of frames in it mean nothing.
func (r *Recorder) Index() (*image.Index, error) {
	r.sends.Wait()
	if err := context.Cause(r.ctx); err != nil {
		return nil, err
	}
	return &r.index, nil
}

// Sent is the number of bytes of frames that the remote took.
func (r *Recorder) Sent() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent
}

// Close ends what is still on its way. It must be called.
func (r *Recorder) Close() {
	r.cancel(context.Canceled)
	r.sends.Wait()
}
