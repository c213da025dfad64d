package images

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"github.com/diskcast/diskcast/internal/image"
)

// checkChunk decodes and hashes the frame of one chunk.
func checkChunk(im *image.Image, chunk int) error {
	index := im.Index()
	c := index.Chunks[chunk]
	if c.Frame < 0 {
		return nil // only zeros: nothing is stored
	}
	f := index.Frames[c.Frame]
	damage := func(format string, args ...any) error { return im.Damage(int(c.Frame), fmt.Sprintf(format, args...)) }
	stored := make([]byte, f.Length)
	if _, err := im.Object().ReadAt(stored, f.Object); err != nil {
		return damage("it cannot be read: %v", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(f.Size)+1))
	if err != nil {
		return err
	}
	defer dec.Close()
	plain, err := dec.DecodeAll(stored, make([]byte, 0, f.Size))
	if err != nil {
		return damage("it is not a zstd frame: %v", err)
	}
	if int64(len(plain)) != f.Size {
		return damage("it decodes to %d bytes, not %d", len(plain), f.Size)
	}
	if blake3.Sum256(plain) != f.Sum {
		return damage("its BLAKE3 sum is not the index's")
	}
	return nil
}
