package convert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/diskcast/diskcast/internal/volume/field"
	"github.com/zeebo/xxh3"
)

var le = binary.LittleEndian

// Checksum modes of partclone.
const (
	sumNone   = 0x00
	sumCRC32  = 0x20
	sumXXH64  = 0x30
	sumXXH128 = 0x31
	sumLegacy = 0xff
)

const (
	partcloneHead1 = 4160
	partcloneHead2 = 110
	partcloneEnd   = "BiTmAgIc"
	maxBlock       = 4 << 20 // bytes
	maxBitmap      = 4 << 30 // blocks; a bit each
	maxStrip       = 1 << 24 // blocks for one checksum
)

// partclone is the header of an image.
type partclone struct {
	order     byteOrder
	fs        string
	size      int64
	blocks    int64
	used      int64 // by the superblock
	marked    int64 // by the bitmap
	block     int64
	mode      uint16
	sumSize   int
	perSum    int64
	reseed    bool
	byteWide  bool // a byte for each block instead of a bit
	version1  bool
	noBitmaps bool
}

// readPartclone reads an image of version 0001 or 0002 into d.
func readPartclone(r io.Reader, d sink) error {
	head := make([]byte, partcloneHead2)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("partclone header: %w", short(err))
	}
	var p *partclone
	var err error
	switch {
	case string(head[30:34]) == "0002" && head[15] == 0:
		p, err = partclone2(head)
	case string(head[30:34]) == "0001":
		rest := make([]byte, partcloneHead1-partcloneHead2)
		if _, err := io.ReadFull(r, rest); err != nil {
			return fmt.Errorf("partclone header: %w", short(err))
		}
		p, err = partclone1(append(head, rest...))
	default:
		err = fmt.Errorf("%w: partclone image version %q (0001 and 0002 are)", ErrFormat, head[30:34])
	}
	if err != nil {
		return err
	}
	if err := d.setSize(p.size); err != nil {
		return err
	}
	bitmap, err := p.bitmap(r)
	if err != nil {
		return fmt.Errorf("partclone bitmap: %w", err)
	}
	if err := p.data(r, bitmap, d); err != nil {
		return fmt.Errorf("partclone data: %w", err)
	}
	d.note(fmt.Sprintf("partclone image of a %s file system.", p.fs))
	if err := bootSector(d, p.size); err != nil {
		return err
	}
	if p.version1 || p.mode == sumNone {
		d.note("This image carries no checksums that could be checked.")
	}
	return nil
}

// short words the end of a file where more was expected.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the file is truncated")
	}
	return err
}

// rawCRC is the CRC-32 that partclone keeps: not inverted at its end.
func rawCRC(p []byte) uint32 { return ^crc32.ChecksumIEEE(p) }

func partclone2(head []byte) (*partclone, error) {
	p := &partclone{order: le}
	switch {
	case le.Uint16(head[34:]) == 0xc0de:
	case binary.BigEndian.Uint16(head[34:]) == 0xc0de:
		p.order = binary.BigEndian
	default:
		return nil, errors.New("partclone header: its byte order mark is wrong")
	}
	o := p.order
	if rawCRC(head[:106]) != o.Uint32(head[106:]) {
		return nil, errors.New("partclone header: its checksum is wrong")
	}
	p.fs = field.Text(head[36:52])
	p.size, p.blocks = int64(o.Uint64(head[52:])), int64(o.Uint64(head[60:]))
	p.used, p.marked = int64(o.Uint64(head[68:])), int64(o.Uint64(head[76:]))
	p.block = int64(o.Uint32(head[84:]))
	p.mode, p.sumSize = o.Uint16(head[96:]), int(o.Uint16(head[98:]))
	p.perSum, p.reseed = int64(o.Uint32(head[100:])), head[104] != 0
	switch head[105] {
	case 0:
		p.noBitmaps = true
	case 1:
	case 8:
		p.byteWide = true
	default:
		return nil, fmt.Errorf("%w: partclone bitmap mode %d", ErrFormat, head[105])
	}
	want, known := map[uint16]int{sumNone: 0, sumCRC32: 4, sumXXH64: 8, sumXXH128: 16, sumLegacy: 4}[p.mode]
	switch {
	case !known:
		return nil, fmt.Errorf("%w: partclone checksum mode %#x", ErrFormat, p.mode)
	case p.mode != sumNone && (p.sumSize != want || p.perSum < 1 || p.perSum > maxStrip):
		return nil, fmt.Errorf("partclone header: checksums of %d bytes for %d blocks each", p.sumSize, p.perSum)
	}
	return p, p.check()
}

// partclone1 reads the older header: no byte order, no checksum of its own. Numbers that make no sense tell a writer of
// the other byte order or word size.
func partclone1(head []byte) (*partclone, error) {
	p := &partclone{
		order: le, version1: true, byteWide: true, fs: field.Text(head[15:30]), block: int64(le.Uint32(head[36:])),
		size:   int64(le.Uint64(head[40:])),
		blocks: int64(le.Uint64(head[48:])), used: int64(le.Uint64(head[56:])), mode: sumLegacy, sumSize: 4, perSum: 1,
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%w (version 0001 is read as a little-endian 64-bit machine wrote it)", err)
	}
	return p, nil
}

func (p *partclone) check() error {
	switch {
	case p.block < 512 || p.block > maxBlock || p.block&(p.block-1) != 0:
		return fmt.Errorf("partclone header: block size %d", p.block)
	case p.blocks < 1 || p.blocks > maxBitmap || p.size < 1 || p.blocks > p.size/p.block+1:
		return fmt.Errorf("partclone header: %d blocks of %d bytes on a device of %d", p.blocks, p.block, p.size)
	}
	return nil
}

// bitmap reads which blocks are there, as bits. Memory grows with what was read, not with what the header promises.
func (p *partclone) bitmap(r io.Reader) ([]byte, error) {
	if p.noBitmaps {
		return nil, nil
	}
	n := (p.blocks + 7) / 8
	if !p.byteWide {
		var buf bytes.Buffer
		if _, err := io.CopyN(&buf, r, n); err != nil {
			return nil, short(err)
		}
		return buf.Bytes(), p.bitmapEnd(r, buf.Bytes())
	}
	var out []byte
	in := make([]byte, 64<<10)
	sum := crc32.NewIEEE()
	for left := p.blocks; left > 0; {
		part := in[:min(int64(len(in)), left)]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, short(err)
		}
		_, _ = sum.Write(part)
		for i := 0; i < len(part); i += 8 {
			var c byte
			for j, v := range part[i:min(i+8, len(part))] {
				if v == 1 {
					c |= 1 << j
				}
			}
			out = append(out, c)
		}
		left -= int64(len(part))
	}
	if !p.version1 {
		return out, p.bitmapSum(r, ^sum.Sum32())
	}
	mark := make([]byte, len(partcloneEnd))
	if _, err := io.ReadFull(r, mark); err != nil {
		return nil, short(err)
	}
	if string(mark) != partcloneEnd {
		return nil, fmt.Errorf("%w: the mark %s is not behind it; the image was written by a machine of another word "+
			"size", ErrFormat, partcloneEnd)
	}
	return out, nil
}

func (p *partclone) bitmapEnd(r io.Reader, bitmap []byte) error {
	return p.bitmapSum(r, rawCRC(bitmap))
}

func (p *partclone) bitmapSum(r io.Reader, want uint32) error {
	var sum [4]byte
	if _, err := io.ReadFull(r, sum[:]); err != nil {
		return short(err)
	}
	if p.order.Uint32(sum[:]) != want {
		return errors.New("its checksum is wrong")
	}
	return nil
}

// byteOrder is binary.LittleEndian or binary.BigEndian.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// summer is the checksum of a strip of blocks.
type summer interface {
	io.Writer
	Reset()
	sum(o byteOrder) []byte
}

type crcSum struct{ hash.Hash32 }

func (c crcSum) sum(o byteOrder) []byte { return o.AppendUint32(nil, ^c.Sum32()) }

type xxh64Sum struct{ *xxhash.Digest }

func (x xxh64Sum) sum(o byteOrder) []byte { return o.AppendUint64(nil, x.Sum64()) }

type xxh128Sum struct{ *xxh3.Hasher }

func (x xxh128Sum) sum(o byteOrder) []byte {
	v := x.Sum128()
	if o == byteOrder(binary.BigEndian) {
		return o.AppendUint64(o.AppendUint64(nil, v.Hi), v.Lo)
	}
	return o.AppendUint64(o.AppendUint64(nil, v.Lo), v.Hi)
}

func newSummer(mode uint16) summer {
	switch mode {
	case sumCRC32:
		return crcSum{crc32.NewIEEE()}
	case sumXXH64:
		return xxh64Sum{xxhash.New()}
	case sumXXH128:
		return xxh128Sum{xxh3.New()}
	}
	return nil // none, or legacy: its sums were made by a function with an error in it, and say nothing of the data
}

// data reads the used blocks, with a checksum behind each strip of them and behind a short last one.
func (p *partclone) data(r io.Reader, bitmap []byte, d sink) error {
	buf := make([]byte, p.block)
	sums, got, strip := newSummer(p.mode), make([]byte, p.sumSize), int64(0)
	endStrip := func(block int64) error {
		if p.mode == sumNone {
			return nil
		}
		if _, err := io.ReadFull(r, got); err != nil {
			return short(err)
		}
		if sums != nil {
			if want := sums.sum(p.order); !bytes.Equal(want, got) {
				return fmt.Errorf("the checksum of the %d blocks up to block %d (byte %d of the partition) is wrong",
					strip, block, block*p.block)
			}
			if p.reseed {
				sums.Reset()
			}
		}
		strip = 0
		return nil
	}
	last := int64(0)
	for i := int64(0); i < p.blocks; i++ {
		if bitmap != nil && bitmap[i/8]>>(i%8)&1 == 0 {
			if i%8 == 0 && bitmap[i/8] == 0 { // a large disk is empty for the most part
				i += 7
			}
			continue
		}
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("block %d: %w", i, short(err))
		}
		if sums != nil {
			_, _ = sums.Write(buf)
		}
		at := i * p.block
		if err := d.write(buf[:max(0, min(p.block, p.size-at))], at); err != nil {
			return err
		}
		last = i
		if strip++; strip == p.perSum {
			if err := endStrip(i); err != nil {
				return err
			}
		}
	}
	if strip > 0 {
		return endStrip(last)
	}
	return nil
}
