package ramfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"
)

// lz4Magic begins a file in lz4's legacy format (lz4_Frame_format.md, "Legacy frame"), which is all that kernels read
// (lib/decompress_unlz4.c): blocks of lz4Block bytes, the last may be shorter, each behind the length that it is
// compressed to, 32 bits, little-endian.
var lz4Magic = []byte{0x02, 0x21, 0x4c, 0x18}

// lz4Block is the length in bytes of a block before compression.
const lz4Block = 8 << 20

// lz4Writer writes lz4Magic's format. The library's own writer marks blocks that do not become smaller as stored,
// which the format does not know: kernels break off there.
type lz4Writer struct {
	w     io.Writer
	begun bool
	block []byte // what waits to be a whole block
	out   []byte
	z     lz4.CompressorHC
}

func newLZ4Writer(w io.Writer) *lz4Writer {
	return &lz4Writer{w: w, block: make([]byte, 0, lz4Block), z: lz4.CompressorHC{Level: lz4.Level9},
		out: make([]byte, 4+lz4.CompressBlockBound(lz4Block))}
}

func (z *lz4Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		took := copy(z.block[len(z.block):lz4Block], p)
		z.block, p, n = z.block[:len(z.block)+took], p[took:], n+took
		if len(z.block) == lz4Block {
			if err := z.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// Close writes the last block; what is below stays open.
func (z *lz4Writer) Close() error { return z.flush() }

func (z *lz4Writer) flush() error {
	if !z.begun {
		if _, err := z.w.Write(lz4Magic); err != nil {
			return err
		}
		z.begun = true
	}
	if len(z.block) == 0 {
		return nil
	}
	// With room for the worst case the library compresses whatever it is given.
	n, err := z.z.CompressBlock(z.block, z.out[4:])
	if err == nil && n == 0 {
		err = errors.New("lz4 gave no block")
	}
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(z.out, uint32(n))
	z.block = z.block[:0]
	_, err = z.w.Write(z.out[:4+n])
	return err
}

// lz4Reader reads what kernels read.
type lz4Reader struct {
	r    io.Reader // behind lz4Magic
	in   []byte
	out  []byte
	rest []byte // of out, what was not asked for yet
	last bool   // a block was shorter than the others
}

func newLZ4Reader(r io.Reader) *lz4Reader {
	return &lz4Reader{r: r}
}

func (z *lz4Reader) Read(p []byte) (int, error) {
	if len(z.rest) == 0 {
		if err := z.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

// next unpacks a block. Zeros behind the last are what a boot loader fills an archive up with.
func (z *lz4Reader) next() error {
	var head [4]byte
	if _, err := io.ReadFull(z.r, head[:]); err != nil {
		return err // io.EOF between two blocks
	}
	size := int(binary.LittleEndian.Uint32(head[:]))
	switch {
	case size == 0:
		return io.EOF
	case z.last:
		return errors.New("lz4: a block behind the last")
	case size > lz4.CompressBlockBound(lz4Block):
		return fmt.Errorf("lz4: a block of %d bytes, more than one of %d can take", size, lz4Block)
	case size > cap(z.in):
		z.in = make([]byte, size)
	}
	if z.out == nil {
		z.out = make([]byte, lz4Block)
	}
	in := z.in[:size]
	if _, err := io.ReadFull(z.r, in); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	n, err := lz4.UncompressBlock(in, z.out)
	if err == nil && n == 0 {
		err = errors.New("lz4: an empty block")
	}
	z.rest, z.last = z.out[:n], n < lz4Block
	return err
}
