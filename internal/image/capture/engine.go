package capture

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
)

// joinGap is the longest gap between two extents that is read along with them: one long read is cheaper than two.
const joinGap = 64 << 10

// job is one cell on its way. Jobs are used again, with their buffers.
type job struct {
	cell  cell
	buf   []byte // the cell, every byte at its place; then the stored bytes at the front
	data  []byte // of buf
	chunk image.ChunkData
	out   []byte // the frame
	err   error
	ready chan struct{} // capacity 1: the worker is done
}

// Chunks reads the allocated bytes of the disk and hands its chunks to the sink.
func Chunks(ctx context.Context, src io.ReaderAt, d *Disk, sink Sink, o Options, res *Result) error {
	o.defaults()
	workers, jobs := budget(o)
	e := &engine{src: src, d: d, sink: sink, o: o, res: res, total: volume.Bytes(d.Extents),
		free: make(chan *job, jobs), work: make(chan *job, jobs), order: make(chan *job, jobs)}
	for range jobs {
		e.free <- &job{ready: make(chan struct{}, 1)}
	}
	encs := make([]*image.Encoder, workers)
	for i := range encs {
		var err error
		if encs[i], err = image.NewEncoder(o.Level); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { // ends when the disk is read
		defer close(e.work)
		defer close(e.order)
		return e.read(ctx)
	})
	for _, enc := range encs {
		g.Go(func() error { // ends when the reader has closed work
			for j := range e.work {
				e.compress(enc, j)
				j.ready <- struct{}{}
			}
			return nil
		})
	}
	g.Go(func() error { return e.collect(ctx) }) // ends when the reader has closed order
	return g.Wait()
}

type engine struct {
	src   io.ReaderAt
	d     *Disk
	sink  Sink
	o     Options
	res   *Result
	total int64
	free  chan *job
	work  chan *job // to the workers
	order chan *job // the same jobs, to the collector
}

// budget says how many workers and cells under way fit the memory. A cell needs its size for the disk's bytes and mostly less than half of that for the frame.
func budget(o Options) (workers, jobs int) {
	enc, job := image.EncoderMemory(o.Level, o.Grid), o.Grid*3/2
	for workers = o.Workers; workers > 1; workers-- {
		if int64(workers)*enc+int64(workers+2)*job <= o.Memory {
			break
		}
	}
	jobs = int((o.Memory - int64(workers)*enc) / job)
	return workers, max(3, min(jobs, 3*workers+2))
}

func (e *engine) read(ctx context.Context) error {
	return cells(e.d.Extents, e.o.Grid, func(c cell) error {
		var j *job
		select {
		case j = <-e.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if j.buf == nil {
			j.buf = make([]byte, e.o.Grid)
		}
		j.cell, j.err = c, nil
		if err := readCell(e.src, c, e.o.Grid, j.buf); err != nil {
			return err
		}
		// Neither can block: both hold all jobs there are.
		e.order <- j
		e.work <- j
		return nil
	})
}

// readCell reads the extents of a cell to their places in buf, with few and long reads.
func readCell(src io.ReaderAt, c cell, grid int64, buf []byte) error {
	base := c.number * grid
	for i := 0; i < len(c.extents); {
		from, to := c.extents[i].Offset, c.extents[i].End()
		for i++; i < len(c.extents) && c.extents[i].Offset-to <= joinGap; i++ {
			to = c.extents[i].End()
		}
		n, err := src.ReadAt(buf[from-base:to-base], from)
		if int64(n) < to-from {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the disk at byte %d: %w; the disk or file may be failing or was cut short: check it (smartctl, dmesg)", from+int64(n), err)
		}
	}
	return nil
}

func (e *engine) compress(enc *image.Encoder, j *job) {
	j.chunk = image.ChunkData{Cell: j.cell.number}
	j.chunk.Extents, j.chunk.Zeros, j.data = split(j.cell, e.o.Grid, j.buf)
	if len(j.data) == 0 {
		return
	}
	j.chunk.Sum = enc.Sum(j.data)
	if !e.sink.Has(j.chunk.Sum, int64(len(j.data))) {
		j.encode(enc)
	}
}

func (j *job) encode(enc *image.Encoder) {
	if j.out == nil {
		j.out = make([]byte, 0, len(j.buf)/2)
	}
	j.out = enc.Encode(j.out[:0], j.data)
	j.chunk.Stored = j.out
}

// collect hands the chunks on in the order of the disk.
func (e *engine) collect(ctx context.Context) error {
	var spare *image.Encoder
	var done int64
	for j := range e.order {
		select {
		case <-j.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := e.sink.Add(j.chunk)
		if errors.Is(err, image.ErrNeedStored) {
			if spare == nil {
				if spare, err = image.NewEncoder(e.o.Level); err != nil {
					return err
				}
			}
			j.encode(spare)
			err = e.sink.Add(j.chunk)
		}
		if err != nil {
			return err
		}
		n := volume.Bytes(j.cell.extents)
		done += n
		e.res.Read += n
		e.res.Zeros += volume.Bytes(j.chunk.Zeros)
		if e.o.Progress != nil {
			e.o.Progress(done, e.total)
		}
		e.free <- j // cannot block: it holds all jobs there are
	}
	return ctx.Err()
}
