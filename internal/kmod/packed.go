package kmod

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// PackedSuffix ends the names of modules that are compressed with zstd, each by itself: kmod's tools, u-root's insmod
// and this package read them so.
const PackedSuffix = ".zst"

// packedWindow is how far back, in bytes, the reader of a module must remember what it has unpacked.
const packedWindow = 8 << 20

// maxUnpacked bounds a module, in bytes. The largest of Debian's, amdgpu, has 20 MB.
const maxUnpacked = 256 << 20

// Packer compresses modules, one after another. The same module gives the same bytes.
type Packer struct{ z *zstd.Encoder }

// NewPacker makes a Packer.
func NewPacker() (*Packer, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(packedWindow), zstd.WithEncoderCRC(true))
	return &Packer{z}, err
}

// Pack compresses a module.
func (p *Packer) Pack(module []byte) []byte { return p.z.EncodeAll(module, nil) }

// Unpack reads a module that Pack compressed. What is cut off or damaged is an error.
func Unpack(r io.Reader) ([]byte, error) { return unpack(r, maxUnpacked) }

func unpack(r io.Reader, most int) ([]byte, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(packedWindow))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(z, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if n > int64(most) {
		return nil, fmt.Errorf("more than %d bytes", most)
	}
	return b.Bytes(), nil
}
