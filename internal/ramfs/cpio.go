package ramfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/cavaliercoder/go-cpio"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

const (
	trailer = "TRAILER!!!"
	maxName = 4096 // PATH_MAX, the limit of init/initramfs.c in the kernel
)

// Write writes the archive. modTime is the time of every record; the zero time stands for 1970.
func (a *Archive) Write(w io.Writer, modTime time.Time) error {
	var seconds int64
	if !modTime.IsZero() {
		seconds = modTime.Unix()
	}
	if seconds < 0 || seconds > math.MaxUint32 {
		return fmt.Errorf("time %v does not fit into a cpio record", modTime)
	}
	cw := cpio.NewWriter(w)
	for i, r := range a.Records() {
		if err := writeRecord(cw, r, int64(i+1), time.Unix(seconds, 0)); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return cw.Close()
}

func writeRecord(cw *cpio.Writer, r Record, inode int64, modTime time.Time) error {
	h := &cpio.Header{Name: r.Name, Mode: cpio.FileMode(r.Perm), Inode: inode, Links: 1, ModTime: modTime}
	switch r.Kind {
	case Dir:
		h.Mode |= cpio.ModeDir
		h.Links = 2
		return cw.WriteHeader(h)
	case Symlink:
		h.Mode |= cpio.ModeSymlink
		h.Size = int64(len(r.Target))
		if err := cw.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.WriteString(cw, r.Target)
		return err
	}
	h.Mode |= cpio.ModeRegular
	h.Size = r.Size
	if err := cw.WriteHeader(h); err != nil {
		return err
	}
	f, err := r.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(cw, f)
	if err == nil && n != r.Size {
		err = fmt.Errorf("%d bytes instead of %d", n, r.Size)
	}
	return err
}

// The compressor cuts its input into blocks of this size, in bytes, and compresses them in parallel. The result depends
// on the size, so neither it nor the number of blocks under way may follow the machine.
const (
	blockSize = 1 << 20
	blocks    = 8
)

// Packing is how an archive is compressed.
type Packing int

// What kernels unpack. Every one has gzip.
const (
	Gzip Packing = iota
	Zstd
	LZ4
)

// PackBy is Pack, PackZstd or PackLZ4.
func (a *Archive) PackBy(p Packing, w io.Writer, modTime time.Time) (unpacked int64, err error) {
	switch p {
	case Zstd:
		return a.PackZstd(w, modTime)
	case LZ4:
		return a.PackLZ4(w, modTime)
	}
	return a.Pack(w, modTime)
}

// Pack writes the archive compressed with gzip, which every kernel can unpack, and returns its size before compression.
// The level is the default one: the best makes a Debian kernel's modules 1.5 % smaller and takes many times as long.
func (a *Archive) Pack(w io.Writer, modTime time.Time) (unpacked int64, err error) {
	zw, err := pgzip.NewWriterLevel(w, 6)
	if err != nil {
		return 0, err
	}
	if err := zw.SetConcurrency(blockSize, blocks); err != nil {
		return 0, err
	}
	return a.through(zw, modTime)
}

// PackZstd is Pack with zstd, for kernels that have CONFIG_RD_ZSTD: they unpack it in a quarter of the time, and it is
// smaller. One encoder works at a time, so that the result does not depend on the machine.
func (a *Archive) PackZstd(w io.Writer, modTime time.Time) (unpacked int64, err error) {
	zw, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		return 0, err
	}
	return a.through(zw, modTime)
}

// PackLZ4 is Pack with lz4, for kernels that have CONFIG_RD_LZ4: they unpack it in less time than zstd takes.
func (a *Archive) PackLZ4(w io.Writer, modTime time.Time) (unpacked int64, err error) {
	return a.through(newLZ4Writer(w), modTime)
}

// through writes the archive by a compressor and closes that; it returns the size before compression.
func (a *Archive) through(zw io.WriteCloser, modTime time.Time) (unpacked int64, err error) {
	count := &counter{w: zw}
	if err := a.Write(count, modTime); err != nil {
		return 0, err
	}
	return count.n, zw.Close()
}

// zstdWindow is how far back, in bytes, the kernel must remember what it has unpacked.
const zstdWindow = 8 << 20

// zstdMagic begins a frame (RFC 8878, 3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Unpack reads an archive that is compressed with gzip, zstd or lz4.
func Unpack(r io.Reader) (*Archive, error) {
	b := bufio.NewReader(r)
	// What is shorter than the magic number is for gzip to refuse.
	head, _ := b.Peek(len(zstdMagic))
	switch {
	case bytes.Equal(head, lz4Magic):
		_, _ = b.Discard(len(lz4Magic)) // it was there
		return Read(newLZ4Reader(b))
	case bytes.Equal(head, zstdMagic):
		zr, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(16*zstdWindow))
		if err != nil {
			return nil, err
		}
		defer zr.Close()
		return Read(zr)
	}
	zr, err := pgzip.NewReader(b)
	if err != nil {
		return nil, err
	}
	defer zr.Close()
	return Read(zr)
}

// Limits of Read: an archive beyond them is refused, whatever its headers claim.
const (
	maxRecords = 200_000
	maxTotal   = 4 << 30 // bytes of content
)

// Read reads an archive, uncompressed, into memory. Records that an Archive cannot hold (device nodes, sockets, pipes,
// names that are not clean) are errors.
func Read(r io.Reader) (*Archive, error) {
	a := &Archive{}
	cr := cpio.NewReader(r)
	var total int64
	for n := 0; ; n++ {
		h, err := cr.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cpio record %d: %w", n, err)
		}
		if total += h.Size; n >= maxRecords || h.Size < 0 || total > maxTotal {
			return nil, fmt.Errorf("cpio record %d: the archive is larger than %d records or %d bytes", n, maxRecords,
				int64(maxTotal))
		}
		rec, err := readRecord(cr, h)
		if err == nil {
			err = a.Add(rec)
		}
		if err != nil {
			return nil, fmt.Errorf("cpio record %d: %w", n, err)
		}
	}
}

func readRecord(cr *cpio.Reader, h *cpio.Header) (Record, error) {
	perm := uint32(h.Mode) & 0o7777
	switch h.Mode & cpio.ModeType {
	case cpio.ModeDir:
		return NewDir(h.Name, perm), nil
	case cpio.ModeSymlink:
		return NewSymlink(h.Name, h.Linkname), nil
	case cpio.ModeRegular:
		// ReadAll grows with what is there, not with what the header claims.
		data, err := io.ReadAll(io.LimitReader(cr, h.Size))
		if err == nil && int64(len(data)) != h.Size {
			err = io.ErrUnexpectedEOF
		}
		return NewFile(h.Name, perm, data), err
	}
	return Record{}, fmt.Errorf("%s: mode %v is not a file, directory or symbolic link", h.Name, h.Mode)
}
