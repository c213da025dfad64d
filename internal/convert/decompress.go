package convert

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
)

// maxWindow bounds the memory that a compressed stream may ask for.
const maxWindow = 256 << 20

// decompress peels off one layer of compression, and says which it was.
func decompress(r io.Reader) (io.ReadCloser, string, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	head, err := in.Peek(sniffSize)
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	kind := sniff(head)
	switch kind {
	case "gz":
		z, err := pgzip.NewReaderN(in, 1<<20, 4)
		if err != nil {
			return nil, "", fmt.Errorf("gzip: %w", err)
		}
		return struct {
			io.Reader
			io.Closer
		}{whole{z}, z}, kind, nil
	case "zst":
		z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, "", fmt.Errorf("zstd: %w", err)
		}
		c := z.IOReadCloser()
		return struct {
			io.Reader
			io.Closer
		}{whole{c}, c}, kind, nil
	case "xz":
		z, err := xz.NewReader(in, maxWindow)
		if err != nil {
			return nil, "", fmt.Errorf("xz: %w", err)
		}
		return io.NopCloser(whole{z}), kind, nil
	case "lz4":
		return io.NopCloser(whole{lz4.NewReader(in)}), kind, nil
	case "bz2":
		return io.NopCloser(whole{bzip2.NewReader(in)}), kind, nil
	}
	return io.NopCloser(in), "", nil
}

// errTruncated is what a compressed stream ends with that lacks its end.
var errTruncated = errors.New("the compressed stream is truncated")

// whole tells a truncated stream from one that has come to its end: decompressors use io.ErrUnexpectedEOF for the former, and
// so does io.ReadFull for the last piece of the latter.
type whole struct{ r io.Reader }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errTruncated
	}
	return n, err
}

// counter counts what is read; a decompressor may read from a goroutine of its own.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// bombGuard refuses a stream that unpacks to far more than a disk of zeros does: zstd makes those 32768 times smaller, gzip 1032 times.
// What begins with this many bytes of zeros may still be a sparse disk.
type bombGuard struct {
	r      io.Reader
	packed *counter
	n      int64
}

const (
	bombFree  = 64 << 30
	bombRatio = 40_000
)

func (b *bombGuard) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.n += int64(n); b.n > bombFree && b.n-bombFree > bombRatio*b.packed.n.Load() {
		return n, fmt.Errorf("it unpacks to more than %d times its size: this is no disk", bombRatio)
	}
	return n, err
}
