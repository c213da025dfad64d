package image

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"github.com/diskcast/diskcast/internal/image/zenc"
)

// Slack is how much longer than the decoded size a buffer for Decoder.Decode should be: with it the decoder
// may copy in whole words to the end, which is faster.
const Slack = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C of stored bytes, as Frame.CRC has it.
func Checksum(stored []byte) uint32 { return crc32.Checksum(stored, castagnoli) }

// Decoder decodes and checks frames. One goroutine at a time may use it.
type Decoder struct {
	z   *zstd.Decoder
	h   *blake3.Hasher
	sum [32]byte
}

// NewDecoder returns a Decoder for images of any grid.
func NewDecoder() (*Decoder, error) {
	// The limit on the output is the capacity of the buffer that Decode is given, so no frame can make the decoder
	// allocate more than its own tables.
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(MaxGrid+Slack), zstd.WithDecoderMaxWindow(2*MaxGrid))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &Decoder{z: z, h: blake3.New()}, nil
}

// Close frees the decoder.
func (d *Decoder) Close() { d.z.Close() }

// Errors of Decode.
var (
	errLength = errors.New("it has another length than the index says")
	errCRC    = errors.New("its CRC-32C is not the index's")
	errSize   = errors.New("it decodes to another size than the index says")
	errSum    = errors.New("its BLAKE3 sum is not the index's")
)

// Decode decodes the stored bytes of f into buf, whose capacity must be f.Size at least and should be f.Size+Slack, and
// returns the decoded bytes only when their length and sum are those of f. Otherwise it says what is wrong with the
// frame.
func (d *Decoder) Decode(f *Frame, stored, buf []byte) ([]byte, error) {
	out, err := d.DecodeUnsummed(f, stored, buf)
	if err != nil {
		return nil, err
	}
	if d.Sum(out) != f.Sum {
		return nil, errSum
	}
	return out, nil
}

// DecodeUnsummed is Decode without the sum, for bytes that will be read back and summed where they were put: the stored
// bytes have the length and CRC-32C of f, the decoded ones its size.
func (d *Decoder) DecodeUnsummed(f *Frame, stored, buf []byte) ([]byte, error) {
	if int64(cap(buf)) < f.Size {
		return nil, fmt.Errorf("a buffer of %d bytes is too small for a frame of %d", cap(buf), f.Size)
	}
	if int64(len(stored)) != f.Length {
		return nil, errLength
	}
	if Checksum(stored) != f.CRC {
		return nil, errCRC
	}
	limit := min(int64(cap(buf)), f.Size+Slack)
	out, err := d.z.DecodeAll(stored, buf[:0:limit])
	if err != nil {
		return nil, fmt.Errorf("it is not a zstd frame of %d bytes: %w", f.Size, err)
	}
	if int64(len(out)) != f.Size {
		return nil, errSize
	}
	return out, nil
}

// Sum is BLAKE3-256 of p.
func (d *Decoder) Sum(p []byte) [32]byte {
	d.h.Reset()
	_, _ = d.h.Write(p)
	d.h.Sum(d.sum[:0])
	return d.sum
}

// SumExtents is BLAKE3-256 of the extents' bytes one after another; buf holds the disk's bytes from base on.
func (d *Decoder) SumExtents(buf []byte, base int64, ext []Extent) [32]byte {
	d.h.Reset()
	for _, e := range ext {
		_, _ = d.h.Write(buf[e.Offset-base : e.End()-base])
	}
	d.h.Sum(d.sum[:0])
	return d.sum
}

// Levels of compression.
const (
	Fast    = "fast"
	Default = "default"
	Small   = "small"
)

// Encoder hashes and compresses the bytes of chunks. One goroutine at a time may use it. What it gives for the same
// bytes and level is always the same.
type Encoder struct {
	level zenc.Level
	z     *zenc.Encoder // made when something is to be compressed: of a disk of zeros nothing is
	h     *blake3.Hasher
	sum   [32]byte
}

var levels = map[string]zenc.Level{Fast: zenc.Fast, Default: zenc.Default, Small: zenc.Small}

// EncoderMemory is about how many bytes an encoder of a level needs for itself with cells of grid bytes.
func EncoderMemory(level string, grid int64) int64 { return zenc.Memory(levels[level], grid) }

// NewEncoder returns an encoder of a level.
func NewEncoder(level string) (*Encoder, error) {
	l, ok := levels[level]
	if !ok {
		return nil, fmt.Errorf("level %q is not fast, default or small", level)
	}
	return &Encoder{level: l, h: blake3.New()}, nil
}

// Sum is BLAKE3-256 of p.
func (e *Encoder) Sum(p []byte) [32]byte {
	e.h.Reset()
	_, _ = e.h.Write(p)
	e.h.Sum(e.sum[:0])
	return e.sum
}

// Encode appends the frame of p to dst.
func (e *Encoder) Encode(dst, p []byte) []byte {
	if e.z == nil {
		e.z = zenc.New(e.level)
	}
	return e.z.EncodeAll(p, dst)
}
