// Package diskview reads an image as the disk that it was captured from: partition table, stored bytes, and zeros
// everywhere else. Nothing is unpacked into a file for it.
package diskview

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Disk is an image as a disk. ReadAt decodes and hashes what it reads; what does not pass, or is too short, is a
// *image.DamageError, and no other error is one. It keeps the last frame, so reading in the order of the disk decodes
// every chunk once.
type Disk struct {
	im     restore.Source
	chunks []int // with stored bytes, in the order of the disk
	pieces []table.Piece

	mu   sync.Mutex
	dec  *image.Decoder
	have int    // frame in out, -1 for none
	out  []byte // its bytes, in buf
	raw  []byte
	buf  []byte
}

var _ io.ReaderAt = (*Disk)(nil)

// New returns the disk of the image, of a store here or of a server's, which must stay open. Close must be called.
func New(im restore.Source) (*Disk, error) {
	c := im.Config()
	d := &Disk{im: im, have: -1}
	var err error
	if d.pieces, err = table.Layout(c.Table, c.DiskSize, c.SectorSize); err != nil {
		return nil, fmt.Errorf("image %s: its partition table: %w", im.Name(), err)
	}
	for i := range im.Index().Chunks {
		if im.Index().Chunks[i].Frame >= 0 {
			d.chunks = append(d.chunks, i)
		}
	}
	if d.dec, err = image.NewDecoder(); err != nil {
		return nil, err
	}
	return d, nil
}

// Close frees the decoder.
func (d *Disk) Close() { d.dec.Close() }

// Size is the disk's size in bytes.
func (d *Disk) Size() int64 { return d.im.Config().DiskSize }

// Stored returns the runs that can hold something else than zeros: the table's own and what frames hold.
func (d *Disk) Stored() []volume.Extent {
	var own, data []volume.Extent
	for _, p := range d.pieces {
		own = append(own, volume.Extent{Offset: p.Offset, Length: int64(len(p.Data))})
	}
	for _, i := range d.chunks {
		data = append(data, d.im.Index().Chunks[i].Extents...)
	}
	return volume.Merge(d.Size(), own, data)
}

// Allocated returns the runs in [start, start+size) that the image holds, zeros included, relative to start.
func (d *Disk) Allocated(start, size int64) []volume.Extent {
	var out []volume.Extent
	add := func(e volume.Extent) {
		from, to := max(e.Offset, start), min(e.End(), start+size)
		if from < to {
			out = append(out, volume.Extent{Offset: from - start, Length: to - from})
		}
	}
	for i := range d.im.Index().Chunks {
		c := &d.im.Index().Chunks[i]
		for _, e := range c.Extents {
			add(e)
		}
		for _, e := range c.Zeros {
			add(e)
		}
	}
	return volume.Merge(size, out)
}

// ReadAt implements io.ReaderAt.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d", off)
	}
	var short error
	if left := d.Size() - off; int64(len(p)) > left {
		p, short = p[:max(left, 0)], io.EOF
	}
	clear(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	index := d.im.Index()
	end := off + int64(len(p))
	first := sort.Search(len(d.chunks), func(i int) bool { return (index.Chunks[d.chunks[i]].Cell+1)*index.Grid > off })
	for _, i := range d.chunks[first:] {
		c := &index.Chunks[i]
		if c.Cell*index.Grid >= end {
			break
		}
		if err := d.chunk(c, p, off); err != nil {
			return 0, err
		}
	}
	for _, x := range d.pieces {
		overlay(p, off, x.Data, x.Offset)
	}
	return len(p), short
}

// chunk puts those stored bytes of c into p that lie in it.
func (d *Disk) chunk(c *image.Chunk, p []byte, off int64) error {
	end, touched := off+int64(len(p)), false
	for _, e := range c.Extents {
		touched = touched || (e.Offset < end && e.End() > off)
	}
	if !touched {
		return nil
	}
	data, err := d.frame(int(c.Frame))
	if err != nil {
		return err
	}
	for _, e := range c.Extents {
		overlay(p, off, data[:e.Length], e.Offset)
		data = data[e.Length:]
	}
	return nil
}

// frame returns the decoded bytes of a frame, valid until the next call.
func (d *Disk) frame(n int) ([]byte, error) {
	f := &d.im.Index().Frames[n]
	if d.have == n {
		return d.out, nil
	}
	d.have = -1
	if int64(cap(d.raw)) < f.Length {
		d.raw = make([]byte, f.Length)
	}
	if d.buf == nil {
		d.buf = make([]byte, d.im.Index().Grid+image.Slack)
	}
	raw := d.raw[:f.Length]
	_, err := d.im.Object().ReadAt(raw, f.Object)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, d.im.Damage(n, "it ends too early: "+err.Error())
	case err != nil: // what was not read may be sound
		at := d.im.Damage(n, "")
		return nil, fmt.Errorf("%s: chunk %d (disk offset %d) could not be read: %w", d.im.Name(), at.Chunk, at.Disk,
			err)
	}
	out, err := d.dec.Decode(f, raw, d.buf)
	if err != nil {
		return nil, d.im.Damage(n, err.Error())
	}
	d.out, d.have = out, n
	return out, nil
}

// overlay copies src, which belongs at byte at, over the part of p, which begins at byte off, that it covers.
func overlay(p []byte, off int64, src []byte, at int64) {
	switch {
	case at+int64(len(src)) <= off || at >= off+int64(len(p)):
	case at >= off:
		copy(p[at-off:], src)
	default:
		copy(p, src[off-at:])
	}
}
