// Package convert reads the disk images of other programs, and writes some of them, so that a site can bring its images along and
// take them away again. docs/convert.md describes the formats as far as they are read.
//
// Open tells formats by their content, not by their names. What can be read at any place is read in place: raw files and qcow2. All
// else is a stream, compressed as a rule, and is unpacked into an unlinked sparse file first. Every image then is a Disk: bytes at
// any offset, and a list of the runs that hold any. A partition's image (partclone, ntfsclone) is a Disk without a partition table.
//
// qcow2 is read by this package and not by qemu-img, because an import then needs no program on the server, sees which clusters are
// allocated, and does not hand a file from outside to a large C program that follows the paths written in it. Backing files are refused.
package convert

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

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
	// Scratch is the directory for the unpacked form of a stream; empty means os.TempDir(). It needs room for the used part of the disk.
	Scratch string
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
		f, err := os.Open(pieces[0])
		if err != nil {
			return nil, err
		}
		d, err := openFile(f)
		if d != nil || err != nil {
			if d == nil {
				f.Close()
			}
			return d, err
		}
		f.Close()
	}
	s, err := openStream(pieces)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return unpack(ctx, s, o)
}

// openFile opens what is read in place. Both results are nil for a stream.
func openFile(f *os.File) (Disk, error) {
	head := make([]byte, sniffSize)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	switch kind := sniff(head[:n]); kind {
	case "qcow2":
		return openQcow2(f)
	case "":
		return openRaw(f)
	default:
		return nil, refuse(kind)
	}
}

const sniffSize = 64

// sniff names the format of a file that begins with head. The empty string is a raw disk, which may begin with anything.
func sniff(head []byte) string {
	for _, m := range []struct{ magic, name string }{
		{"\x1f\x8b", "gz"}, {"\x28\xb5\x2f\xfd", "zst"}, {"\xfd7zXZ\x00", "xz"}, {"\x04\x22\x4d\x18", "lz4"}, {"BZh", "bz2"},
		{"LZIP", "lzip"}, {"\x89LZO\x00", "lzo"}, {"LRZI", "lrz"},
		{"QFI\xfb", "qcow2"}, {"partclone-image", "partclone"}, {"\x00ntfsclone-image", "ntfsclone"},
		{"\x69\x69\x69\x69", "imagezip"}, {"\x6a\x69\x69\x69", "imagezip"}, {"\x6b\x69\x69\x69", "imagezip"}, {"\x6c\x69\x69\x69", "imagezip"},
		{"KDMV", "vmdk"}, {"# Disk DescriptorFile", "vmdk"}, {"vhdxfile", "vhdx"}, {"conectix", "vhd"}, {"<<< ", "vdi"}, {"PaRtImAgE-VoLuMe", "partimage"},
	} {
		if len(head) >= len(m.magic) && string(head[:len(m.magic)]) == m.magic {
			return m.name
		}
	}
	return ""
}

// refuse is nil for the formats that are streams.
func refuse(kind string) error {
	switch kind {
	case "gz", "zst", "xz", "lz4", "bz2", "partclone", "ntfsclone", "imagezip":
		return nil
	case "lzip", "lzo", "lrz":
		return fmt.Errorf("%w: it is compressed with %s; unpack it with that program first", ErrFormat, kind)
	case "partimage":
		return fmt.Errorf("%w: it is a partimage volume; restore it with partimage and capture the result", ErrFormat)
	}
	return fmt.Errorf("%w: it is a %s file; convert it with `qemu-img convert -O qcow2` first", ErrFormat, kind)
}

// unpack reads a stream into a scratch file.
func unpack(ctx context.Context, s io.Reader, o Options) (Disk, error) {
	d, err := newScratch(o)
	if err != nil {
		return nil, err
	}
	if d.format, err = unpackTo(&cancelReader{ctx, s}, d); err != nil {
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
	kind := sniff(head)
	switch kind {
	case "partclone":
		err = readPartclone(in, d)
	case "ntfsclone":
		err = readNtfsclone(in, d)
	case "imagezip":
		err = readImagezip(in, d)
	case "":
		kind = "raw"
		err = fill(in, d)
	default:
		err = refuse(kind)
		if err == nil || kind == "qcow2" {
			err = fmt.Errorf("%w: %s inside of %s; unpack it first", ErrFormat, kind, compressed)
		}
	}
	if compressed != "" {
		kind += "+" + compressed
	}
	return kind, err
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

// splitPieces lists the files of an image cut by split(1): NAME.aa, NAME.ab and on, or with three letters.
func splitPieces(path string) ([]string, error) {
	base := path
	if suffix := filepath.Ext(path); isFirst(suffix) {
		base = path[:len(path)-len(suffix)]
	} else if _, err := os.Stat(path); err == nil {
		return []string{path}, nil
	}
	for _, width := range []int{2, 3} {
		var pieces []string
		suffix := slices.Repeat([]byte{'a'}, width)
		for {
			name := base + "." + string(suffix)
			if _, err := os.Stat(name); err != nil {
				break
			}
			pieces = append(pieces, name)
			i := width - 1
			for ; i >= 0 && suffix[i] == 'z'; i-- {
				suffix[i] = 'a'
			}
			if i < 0 {
				break
			}
			suffix[i]++
		}
		if len(pieces) > 0 {
			return pieces, nil
		}
	}
	_, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return []string{path}, nil
}

func isFirst(suffix string) bool { return suffix == ".aa" || suffix == ".aaa" }

// openStream opens pieces as one stream.
func openStream(pieces []string) (io.ReadCloser, error) {
	var files multiFile
	var readers []io.Reader
	for _, name := range pieces {
		f, err := os.Open(name)
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
