// Package convert reads the disk images of other programs, and writes some of them, so that a site can bring its images
// along and take them away again. docs/convert.md describes the formats as far as they are read.
//
// Open tells formats by their content, not by their names. What can be read at any place is read in place: raw files
// and qcow2. All else is a stream, compressed as a rule, and is unpacked into an unlinked sparse file first. Every
// image then is a Disk: bytes at any offset, and a list of the runs that hold any. A partition's image (partclone,
// ntfsclone) is a Disk without a partition table.
//
// qcow2 is read by this package and not by qemu-img, because an import then needs no program on the server, sees which
// clusters are allocated, and does not hand a file from outside to a large C program that follows the paths written in
// it. Backing files are refused.
package convert

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/diskcast/diskcast/internal/regular"
	"github.com/diskcast/diskcast/internal/volume"
)

// Disk is a foreign image as a disk. It is safe for use by several goroutines.
type Disk interface {
	io.ReaderAt // what no run holds reads as zeros
	// Size is the disk's size in bytes.
	Size() int64
	// SectorSize is the unit of the partition table's addresses: 512 or 4096.
	SectorSize() int
	// Format names what the file is: "raw", "qcow2", "partclone", ...
	Format() string
	// Allocated returns the runs that the image has data for: sorted, merged, within Size.
	Allocated() []volume.Extent
	// Notes are sentences for the operator.
	Notes() []string
	Close() error
}

// Options change how an image is opened. The zero value is ready.
type Options struct {
	// Scratch is the directory for the unpacked form of a stream; empty means os.TempDir(). It needs room for the used
	// part of the disk.
	Scratch string
	// Cut takes a raw disk that ends before its own partition table does, which is a *CutError otherwise.
	Cut bool
	// MaxSize bounds the disk in bytes; 0 means DefaultMaxSize.
	MaxSize int64
}

// DefaultMaxSize is larger than the disks of today. A stream that unpacks to more is refused.
const DefaultMaxSize = 64 << 40

// ErrFormat is wrapped by the errors for files that are of a format, or a kind of it, that is not read.
var ErrFormat = errors.New("this kind of image is not read")

// Open opens an image file, the first piece of a split one, or a Clonezilla directory.
func Open(path string) (Disk, error) { return OpenContext(context.Background(), path, Options{}) }

// OpenContext is Open with options. Unpacking a stream ends early, with its error, when ctx does.
func OpenContext(ctx context.Context, path string, o Options) (Disk, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	d, err := open(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	if d.Size() > o.MaxSize {
		d.Close()
		return nil, fmt.Errorf("image %s: its disk has %d bytes, more than the limit of %d", path, d.Size(), o.MaxSize)
	}
	return d, nil
}

func open(ctx context.Context, path string, o Options) (Disk, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return openClonezilla(ctx, path, o)
	}
	pieces, err := splitPieces(path)
	if err != nil {
		return nil, err
	}
	if len(pieces) == 1 && (info == nil || !info.Mode().IsRegular()) {
		return nil, fmt.Errorf("%w: it is not a regular file", ErrFormat)
	}
	if len(pieces) == 1 {
		f, err := regular.Open(pieces[0])
		if err != nil {
			return nil, err
		}
		d, err := openFile(f)
		switch {
		case err != nil:
			f.Close()
			return nil, err
		case d == nil:
			f.Close()
		default:
			if r, ok := d.(*rawDisk); ok {
				err = notCut(r, func(s string) { r.notes = append(r.notes, s) }, o)
			}
			if err != nil {
				d.Close()
				return nil, err
			}
			return d, nil
		}
	}
	s, err := openStream(pieces)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	d, err := unpack(ctx, s, o)
	if err != nil {
		return nil, err
	}
	if err := notCut(d, d.note, o); err != nil {
		d.Close()
		if len(pieces) > 1 {
			err = fmt.Errorf("%w; pieces are missing at its end, of which there are %d", err, len(pieces))
		}
		return nil, err
	}
	if len(pieces) > 1 && strings.HasSuffix(pieces[0], ".001") {
		d.note(fmt.Sprintf("%s was taken for the first piece, as there is no .000.", pieces[0]))
	}
	return d, nil
}

// InPlace opens a regular file that is read in place: a raw disk, or a qcow2 file that names no other file. All else is
// refused with ErrFormat and how to get at the disk in it, and a disk that was cut with a *CutError. The disk closes f;
// without one f stays open.
func InPlace(f *os.File) (Disk, error) {
	d, err := openFile(f)
	if err == nil && d == nil {
		err = fmt.Errorf("%w: it is neither a raw disk nor a qcow2 file; `diskcast image import` takes it, or unpack "+
			"it first", ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	if want := tableEnd(d, DefaultMaxSize); want > d.Size() { // d has nothing but f
		return nil, fmt.Errorf("%w; if they are zeros, `truncate -s %d %s` adds them", &CutError{d.Size(), want}, want,
			f.Name())
	}
	return d, nil
}

// openFile opens what is read in place. Both results are nil for a stream.
func openFile(f *os.File) (Disk, error) {
	head := make([]byte, sniffSize)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	switch k := sniff(head[:n]); {
	case k.stream():
		return nil, nil
	case k.way != "":
		return nil, k.refuse()
	case k.name == "qcow2":
		return openQcow2(f)
	case k.name == "squashfs":
		return openRaw(f, noteSquashfs)
	}
	return openRaw(f)
}

const noteSquashfs = "It is a squashfs file system without a partition table: no disk boots by it alone."

// unpack reads a stream into a scratch file.
func unpack(ctx context.Context, s io.Reader, o Options) (*scratch, error) {
	d, err := newScratch(o)
	if err != nil {
		return nil, err
	}
	if d.format, err = unpackTo(&cancelReader{ctx, s}, d); err == nil {
		err = d.trim()
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	d.done()
	return d, nil
}

// unpackTo reads a stream of any format, compressed or not, and names the format.
func unpackTo(stream io.Reader, d sink) (format string, err error) {
	packed := &counter{r: stream}
	r, compressed, err := decompress(packed)
	if err != nil {
		return "", err
	}
	defer r.Close()
	in := bufio.NewReaderSize(&bombGuard{r: r, packed: packed}, 1<<20)
	head, err := in.Peek(sniffSize)
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("unpacking: %w", err)
	}
	switch k := sniff(head); {
	case k.name == "tar":
		format, err = untar(in, d)
	case k.name == "qcow2" && compressed == "":
		err = fmt.Errorf("%w: it is a qcow2 file in pieces; join them first with `cat IN.* > OUT`, and take OUT",
			ErrFormat)
	case k.name == "qcow2" || k.stream() && decompressors[k.name] != nil:
		err = fmt.Errorf("%w: its format is %s inside of %s; %s", ErrFormat, k.what, compressed,
			unpackBy(unpackers[compressed]))
	default:
		format, err = unpackKind(k, in, d)
	}
	if compressed != "" {
		format += "+" + compressed
	}
	return format, err
}

// unpackKind reads a stream that is not compressed.
func unpackKind(k kind, in io.Reader, d sink) (format string, err error) {
	switch {
	case k.name == "partclone":
		err = readPartclone(in, d)
	case k.name == "ntfsclone":
		err = readNtfsclone(in, d)
	case k.name == "imagezip":
		err = readImagezip(in, d)
	case k.way != "":
		err = k.refuse()
	default:
		if k.name == "squashfs" {
			d.note(noteSquashfs)
		}
		return "raw", fill(in, d)
	}
	return k.name, err
}

// cancelReader ends a long stream when ctx does.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// openStream opens pieces as one stream.
func openStream(pieces []string) (io.ReadCloser, error) {
	var files multiFile
	var readers []io.Reader
	for _, name := range pieces {
		f, err := regular.Open(name)
		if err != nil {
			files.Close()
			return nil, err
		}
		files = append(files, f)
		readers = append(readers, f)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(readers...), &files}, nil
}

type multiFile []*os.File

func (m *multiFile) Close() error {
	var err error
	for _, f := range *m {
		err = errors.Join(err, f.Close())
	}
	return err
}
