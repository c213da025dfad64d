package convert

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

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
