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
	holes int64    // bytes of the cell that need not be read
	empty []hollow // instead of a cell: those that are all hole, in a row
	buf   []byte   // the cell, every byte at its place; then the stored bytes at the front
	data  []byte   // of buf
	chunk image.ChunkData
	out   []byte        // the frame
	ready chan struct{} // capacity 1: the worker is done
}

// hollow is one cell that is all hole, or, without extents, a row of whole ones.
type hollow struct {
	row
	extents []volume.Extent
}

// Chunks reads the allocated bytes of the disk and hands its chunks to the sink.
func Chunks(ctx context.Context, src io.ReaderAt, d *Disk, sink Sink, o Options, res *Result) error {
	o.defaults(d.Config.DiskSize)
	workers, jobs := budget(o)
	e := &engine{src: src, d: d, sink: sink, o: o, res: res, total: volume.Bytes(d.Extents),
		holes: holesOf(src, d.Config.DiskSize),
		free:  make(chan *job, jobs), work: make(chan *job, jobs), order: make(chan *job, jobs)}
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
	if err := g.Wait(); err != nil {
		return err
	}
	if n := volume.Bytes(e.unread); n > 0 {
		d.Table.Notes = append(d.Table.Notes,
			fmt.Sprintf("%d bytes, from byte %d on, could not be read. A file system calls the place bad and has no "+
				"file there; "+
				"in the image it is zero. The disk is failing: replace it.", n, e.unread[0].Offset))
	}
	return nil
}

type engine struct {
	src   io.ReaderAt
	d     *Disk
	sink  Sink
	o     Options
	res   *Result
	total int64
	holes []volume.Extent // of the source
	// unread are bytes that could not be read where a file system calls the disk bad. Only the reader writes to it.
	unread []volume.Extent
	free   chan *job
	work   chan *job // to the workers
	order  chan *job // the same jobs, to the collector
}

// budget says how many workers and cells under way fit the memory. A cell needs its size for the disk's bytes and
// mostly less than half of that for the frame.
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
	var empty []hollow
	flush := func() error {
		if len(empty) == 0 {
			return nil
		}
		j, err := e.job(ctx)
		if err != nil {
			return err
		}
		j.empty, empty = empty, nil
		j.ready <- struct{}{} // cannot block: nobody else has the job
		e.order <- j
		return nil
	}
	nothing := func(h hollow) error {
		if empty = append(empty, h); len(empty) < maxEmpty {
			return nil
		}
		return flush()
	}
	some := func(c cell) error {
		data := volume.Subtract(c.extents, e.holes)
		if len(data) == 0 {
			return nothing(hollow{row{c.number, 1}, c.extents})
		}
		if err := flush(); err != nil {
			return err
		}
		j, err := e.job(ctx)
		if err != nil {
			return err
		}
		if j.buf == nil {
			j.buf = make([]byte, e.o.Grid)
		}
		j.cell, j.holes = c, volume.Bytes(c.extents)-volume.Bytes(data)
		if err := e.readCell(c, data, j.buf); err != nil {
			return err
		}
		// Neither can block: both hold all jobs there are.
		e.order <- j
		e.work <- j
		return nil
	}
	if err := cells(e.d.Extents, e.holes, e.o.Grid, some,
		func(r row) error { return nothing(hollow{row: r}) }); err != nil {
		return err
	}
	return flush()
}

// job waits for one that is free.
func (e *engine) job(ctx context.Context) (*job, error) {
	select {
	case j := <-e.free:
		j.empty = nil
		return j, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// readCell brings the extents of a cell to their places in buf: data, the part of them that is not hole, with few and
// long reads.
func (e *engine) readCell(c cell, data []volume.Extent, buf []byte) error {
	base := c.number * e.o.Grid
	for i := 0; i < len(data); {
		first := i
		from, to := data[i].Offset, data[i].End()
		for i++; i < len(data) && data[i].Offset-to <= joinGap; i++ {
			to = data[i].End()
		}
		err := e.readAt(buf[from-base:to-base], from)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			err = e.readAround(buf[from-base:to-base], from, data[first:i])
		}
		if err != nil {
			return fmt.Errorf("reading the disk %w; the disk or file may be failing or was cut short: check it "+
				"(smartctl, dmesg)", err)
		}
	}
	for _, hole := range volume.Subtract(c.extents, data) {
		clear(buf[hole.Offset-base : hole.End()-base])
	}
	return nil
}

func (e *engine) readAt(p []byte, off int64) error {
	n, err := e.src.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("at byte %d: %w", off+int64(n), err)
}

// badPiece is how much of a bad place is given up at once: a sector of most disks.
const badPiece = 4096

// readAround reads the wanted bytes of what could not be read in one go. Pieces in bad places that cannot be read
// become zero. An error elsewhere stays one.
func (e *engine) readAround(p []byte, off int64, wanted []volume.Extent) error {
	sound := volume.Subtract(wanted, e.d.Bad)
	for _, s := range sound {
		if err := e.readAt(p[s.Offset-off:s.End()-off], s.Offset); err != nil {
			return err
		}
	}
	for _, b := range volume.Subtract(wanted, sound) {
		for at := b.Offset; at < b.End(); {
			next := min(b.End(), (at/badPiece+1)*badPiece)
			if piece := p[at-off : next-off]; e.readAt(piece, at) != nil {
				clear(piece)
				e.unread = append(e.unread, volume.Extent{Offset: at, Length: next - at})
			}
			at = next
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
	for j := range e.order {
		select {
		case <-j.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := e.add(j, &spare); err != nil {
			return err
		}
		if e.o.Progress != nil {
			e.o.Progress(e.res.Read+e.res.Holes, e.total)
		}
		e.free <- j // cannot block: it holds all jobs there are
	}
	return ctx.Err()
}

// add gives the sink the chunks of a job and counts them.
func (e *engine) add(j *job, spare **image.Encoder) error {
	for _, h := range j.empty {
		if err := e.addHollow(h); err != nil {
			return err
		}
	}
	if j.empty != nil {
		return nil
	}
	err := e.sink.Add(j.chunk)
	if errors.Is(err, image.ErrNeedStored) {
		if *spare == nil {
			if *spare, err = image.NewEncoder(e.o.Level); err != nil {
				return err
			}
		}
		j.encode(*spare)
		err = e.sink.Add(j.chunk)
	}
	e.res.Read += volume.Bytes(j.cell.extents) - j.holes
	e.res.Holes += j.holes
	e.res.Zeros += volume.Bytes(j.chunk.Zeros)
	return err
}

// addHollow gives the sink cells of zeros that were not read.
func (e *engine) addHollow(h hollow) error {
	if h.extents == nil {
		e.res.Holes += h.n * e.o.Grid
		e.res.Zeros += h.n * e.o.Grid
		return e.sink.AddZeros(h.first, h.n)
	}
	zeros := h.extents
	if len(zeros) > 1 {
		zeros = volume.Merge(e.d.Config.DiskSize, zeros) // some may touch, and in an index no two runs of zeros do
	}
	n := volume.Bytes(zeros)
	e.res.Holes += n
	e.res.Zeros += n
	return e.sink.Add(image.ChunkData{Cell: h.first, Zeros: zeros})
}
