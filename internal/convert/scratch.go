package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/volume"
)

// scratch is a Disk in an unlinked sparse file.
type scratch struct {
	f      *os.File
	max    int64
	size   int64
	sector int
	format string
	runs   *volume.Runs
	extent []volume.Extent
	notes  []string
}

func newScratch(o Options) (*scratch, error) {
	f, err := sparse.Nameless(o.Scratch, "unpacked", "diskcast-convert-*")
	if err != nil {
		return nil, fmt.Errorf("file to unpack into: %w", err)
	}
	return &scratch{f: f, max: o.MaxSize, sector: 512, runs: volume.NewRuns(o.MaxSize)}, nil
}

// setSize says how large the disk is. Writes beyond it are errors.
func (s *scratch) setSize(n int64) error {
	if n < 0 || n > s.max {
		return fmt.Errorf("its disk has %d bytes, more than the limit of %d", n, s.max)
	}
	s.size = n
	return nil
}

// sink takes what a stream unpacks to: a whole disk (scratch) or a part of one (window).
type sink interface {
	io.ReaderAt // what was written so far
	setSize(n int64) error
	limit() int64
	write(p []byte, off int64) error
	note(s string)
}

func (s *scratch) limit() int64  { return s.max }
func (s *scratch) note(n string) { s.notes = append(s.notes, n) }

const grain = 4096

var zeros [64 << 10]byte

// write puts data at off. Zeros are neither written nor count as allocated: the file has none at the start, and a
// format's data come once.
func (s *scratch) write(p []byte, off int64) error {
	if off < 0 || off > s.size || int64(len(p)) > s.size-off {
		return fmt.Errorf("it has %d bytes for offset %d of a disk of %d bytes", len(p), off, s.size)
	}
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if !bytes.Equal(p[:n], zeros[:n]) {
			s.runs.Add(off, int64(n))
			if _, err := s.f.WriteAt(p[:n], off); err != nil {
				return fmt.Errorf("unpacking: %w", err)
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// fill takes a raw disk of unknown size from a stream. Runs of zeros do not count as allocated.
func fill(r io.Reader, s sink) error {
	buf := make([]byte, 1<<20)
	for at := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		if err := s.setSize(at + int64(n)); err != nil {
			return err
		}
		for p := buf[:n]; len(p) > 0; {
			k := min(len(p), grain)
			if !bytes.Equal(p[:k], zeros[:k]) {
				if err := s.write(p[:k], at); err != nil {
					return err
				}
			}
			p, at = p[k:], at+int64(k)
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF: // the last piece; of a truncated stream decompress says so
			return nil
		case err != nil:
			return fmt.Errorf("unpacking: %w", err)
		}
	}
}

// trim cuts off what is behind the disk in a raw file that was unpacked.
func (s *scratch) trim() error {
	if !strings.HasPrefix(s.format, "raw") {
		return nil
	}
	size, note, err := footer(s.f, s.size)
	if err == nil && note != "" {
		s.size = size
		s.note(note)
	}
	return err
}

func (s *scratch) done() { s.extent = clip(s.runs.Extents(), s.size) }

// clip cuts a list of runs off at size.
func clip(list []volume.Extent, size int64) []volume.Extent { return volume.Merge(size, list) }

func (s *scratch) ReadAt(p []byte, off int64) (int, error) { return readSparse(s.f, s.size, p, off) }
func (s *scratch) Size() int64                             { return s.size }
func (s *scratch) SectorSize() int                         { return s.sector }
func (s *scratch) Format() string                          { return s.format }
func (s *scratch) Allocated() []volume.Extent              { return slices.Clone(s.extent) }
func (s *scratch) Notes() []string                         { return slices.Clone(s.notes) }
func (s *scratch) Close() error                            { return s.f.Close() }

// readSparse reads from a file that may be shorter than the disk it holds.
func readSparse(r io.ReaderAt, size int64, p []byte, off int64) (int, error) {
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	var tail error
	if int64(len(p)) > size-off {
		p, tail = p[:size-off], io.EOF
	}
	n, err := r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	clear(p[n:])
	return len(p), tail
}

// rawDisk is a file that is a disk as it is.
type rawDisk struct {
	f     *os.File
	size  int64 // of the disk; the file may have a footer
	notes []string
	once  sync.Once
	runs  []volume.Extent
}

func openRaw(f *os.File, notes ...string) (Disk, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, errors.New("it is empty")
	}
	size, note, err := footer(f, info.Size())
	if err != nil {
		return nil, err
	}
	if note != "" {
		notes = append(notes, note)
	}
	return &rawDisk{f: f, size: size, notes: notes}, nil
}

func (d *rawDisk) ReadAt(p []byte, off int64) (int, error) { return readSparse(d.f, d.size, p, off) }
func (d *rawDisk) Size() int64                             { return d.size }
func (d *rawDisk) SectorSize() int                         { return 512 }
func (d *rawDisk) Format() string                          { return "raw" }
func (d *rawDisk) Notes() []string                         { return slices.Clone(d.notes) }
func (d *rawDisk) Close() error                            { return d.f.Close() }

// Allocated asks the file system for the holes of a sparse file.
func (d *rawDisk) Allocated() []volume.Extent {
	d.once.Do(func() { d.runs = sparse.Data(d.f, d.size) })
	return slices.Clone(d.runs)
}
