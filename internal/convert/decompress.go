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
	"github.com/therootcompany/xz"
)

// maxWindow bounds the memory that a compressed stream may ask for.
const maxWindow = 256 << 20

// decompressors are the compressions that are read. Each takes files of several streams in a row.
var decompressors = map[string]func(io.Reader) (io.ReadCloser, error){
	"gz": func(r io.Reader) (io.ReadCloser, error) { return pgzip.NewReaderN(r, 1<<20, 4) },
	"zst": func(r io.Reader) (io.ReadCloser, error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(0),
			zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	},
	"xz": func(r io.Reader) (io.ReadCloser, error) {
		z, err := xz.NewReader(r, maxWindow)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	},
	"lz4": func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(newLz4(r)), nil },
	"bz2": func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil },
}

// unpackers are the commands that do the same.
var unpackers = map[string]string{
	"gz": "gzip -dc IN > OUT", "zst": "zstd -dc --long=31 IN > OUT", "xz": "xz -dc IN > OUT", "lz4": "lz4 -dc IN > OUT",
	"bz2": "bzip2 -dc IN > OUT",
}

// decompress peels off one layer of compression, and says which it was.
func decompress(r io.Reader) (io.ReadCloser, string, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	head, err := in.Peek(sniffSize)
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	k := sniff(head)
	open := decompressors[k.name]
	if open == nil {
		return io.NopCloser(in), "", nil
	}
	c, err := open(in)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", k.what, worded(k, err))
	}
	return struct {
		io.Reader
		io.Closer
	}{&whole{r: c, k: k}, c}, k.name, nil
}

// errTruncated is what a compressed stream ends with that lacks its end.
var errTruncated = errors.New("the compressed stream is truncated")

// whole tells a truncated stream from one that has come to its end: decompressors use io.ErrUnexpectedEOF for the
// former, and so does io.ReadFull for the last piece of the latter.
type whole struct {
	r    io.Reader
	k    kind
	some bool // anything came out
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.some = w.some || n > 0
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", w.k.what, worded(w.k, err))
		if w.some && (errors.Is(err, pgzip.ErrHeader) || errors.Is(err, zstd.ErrMagicMismatch)) {
			err = fmt.Errorf("%w: behind the end of the stream lies something else; if that is no part of it, %s", err,
				unpackBy(unpackers[w.k.name]))
		}
	}
	return n, err
}

// worded says of the errors of decompressors what the operator can do.
func worded(k kind, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errTruncated
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrWindowSizeTooSmall),
		errors.Is(err, xz.ErrMemlimit):
		return fmt.Errorf("%w: unpacking it takes a window of more than %d MiB of memory; %s", ErrFormat, maxWindow>>20,
			unpackBy(unpackers[k.name]))
	}
	return err
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

// bombGuard refuses a stream that unpacks to far more than a disk of zeros does: zstd makes those 32768 times smaller,
// gzip 1032 times. What begins with this many bytes of zeros may still be a sparse disk.
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
