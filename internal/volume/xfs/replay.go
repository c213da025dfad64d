package xfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const (
	opStart, opCommit, opContinue, opWasContinued, opEnd = 0x01, 0x02, 0x04, 0x08, 0x10

	itemBuffer = 0x123c
	bufCancel  = 0x02

	// The upper bits of a buffer item's flags say what the buffer is.
	bufTypeShift            = 11
	bufAny, bufTree, bufAGF = 0, 4, 5

	dirtyChunk  = 128      // bytes for which one bit of a buffer item's map stands
	maxOverlay  = 32 << 20 // bytes of changed metadata held in memory
	maxPending  = 64 << 20 // bytes of one transaction
	maxPendings = 4096     // transactions open at a time
)

// overlay is what the log changes, in chunks of 128 bytes by their place in the partition.
type overlay struct {
	chunks map[int64]*[dirtyChunk]byte
}

func (o *overlay) apply(p []byte, at int64) bool {
	changed := false
	for i := int64(0); i+dirtyChunk <= int64(len(p)); i += dirtyChunk {
		if c := o.chunks[at+i]; c != nil {
			copy(p[i:], c[:])
			changed = true
		}
	}
	return changed
}

// replay reads the records from the tail to the head, and applies the changes that committed transactions made to free
// space headers and trees. The order of the log is the order of the changes, so the last one wins; a buffer that was
// freed later on (cancelled) loses what came before.
func (l *xlog) replay() (*overlay, error) {
	last, err := l.record(l.last)
	if err != nil {
		return nil, err
	}
	tail := int64(last.tail & 0xffffffff)
	if tail >= l.blocks {
		return nil, fmt.Errorf("log: its tail is at block %d of %d", tail, l.blocks)
	}
	left := l.head - tail
	if left <= 0 {
		left += l.blocks
	}
	p := player{fs: l.fs, open: map[uint32]*transaction{}, over: &overlay{chunks: map[int64]*[dirtyChunk]byte{}}}
	for at := tail; left > 0; {
		rec, err := l.record(at)
		if err != nil {
			return nil, err
		}
		if rec.lsn&0xffffffff != uint64(at) {
			return nil, fmt.Errorf("log: the record at block %d says that it is at block %d", at, rec.lsn&0xffffffff)
		}
		if left -= rec.blocks; left < 0 {
			return nil, errors.New("log: its records run past its head")
		}
		if err := p.record(rec); err != nil {
			return nil, fmt.Errorf("log record at block %d: %w", at, err)
		}
		at = (at + rec.blocks) % l.blocks
	}
	return p.over, nil
}

// transaction is the regions of one transaction as they come in.
type transaction struct {
	regions [][]byte
	bytes   int
}

type player struct {
	fs   *FS
	open map[uint32]*transaction
	over *overlay
}

// record takes the operations of a record: a header of 12 bytes (transaction, length, client, flags) and a region each.
func (p *player) record(rec *record) error {
	data := rec.data
	for range rec.ops {
		if len(data) < 12 {
			return errors.New("it ends within an operation")
		}
		tid, n, flags := be.Uint32(data), int(be.Uint32(data[4:])), data[9]
		data = data[12:]
		if n < 0 || n > len(data) {
			return fmt.Errorf("an operation has %d bytes", n)
		}
		region := data[:n]
		data = data[n:]
		if flags&opUnmount != 0 {
			continue
		}
		tr := p.open[tid]
		if tr == nil && flags&opStart == 0 {
			continue // began before the tail: it is in place already
		}
		if flags&opStart != 0 {
			if len(p.open) >= maxPendings {
				return errors.New("too many open transactions")
			}
			tr = &transaction{}
			p.open[tid] = tr
		}
		if flags&opStart != 0 && len(region) == 0 {
			continue
		}
		if flags&opCommit != 0 {
			delete(p.open, tid)
			if err := p.commit(tr); err != nil {
				return err
			}
			continue
		}
		if tr.bytes += n; tr.bytes > maxPending {
			return errors.New("a transaction is too large")
		}
		if k := len(tr.regions); flags&opWasContinued != 0 && k > 0 {
			tr.regions[k-1] = append(tr.regions[k-1], region...)
		} else {
			tr.regions = append(tr.regions, slices.Clone(region))
		}
	}
	return nil
}

// commit applies the buffer items of a transaction. The first region is the transaction's own header; each item is a
// format region, which says how many regions the item has, and those. They are in the byte order of the machine that
// wrote them, and the log of a machine of the other order is not replayed by Linux either.
func (p *player) commit(tr *transaction) error {
	regions := tr.regions
	if len(regions) > 0 {
		if head := regions[0]; len(head) < 16 || binary.LittleEndian.Uint32(head) != 0x5452414e { // "TRAN"
			return errors.New("a transaction has no header, or was written by a big-endian machine")
		}
		regions = regions[1:]
	}
	for len(regions) > 0 {
		format := regions[0]
		if len(format) < 4 {
			return errors.New("an item is too short")
		}
		kind, count := binary.LittleEndian.Uint16(format), int(binary.LittleEndian.Uint16(format[2:]))
		if count < 1 || count > len(regions) {
			return fmt.Errorf("an item of type %#x has %d regions of %d", kind, count, len(regions))
		}
		if kind == itemBuffer {
			if err := p.buffer(format, regions[1:count]); err != nil {
				return err
			}
		}
		regions = regions[count:]
	}
	return nil
}

// buffer applies a buffer item: type, regions, flags, length in 512-byte blocks (16 bits each), block number (64 bits),
// size of the map in words (32 bits), map. Each run of ones in the map is the next region, or several of them.
func (p *player) buffer(format []byte, regions [][]byte) error {
	if len(format) < 20 {
		return errors.New("a buffer item is too short")
	}
	flags, blocks := binary.LittleEndian.Uint16(format[4:]), int64(binary.LittleEndian.Uint16(format[6:]))
	block := int64(binary.LittleEndian.Uint64(format[8:]))
	if block < 0 || block > p.fs.size/basic || blocks*basic > p.fs.size-block*basic {
		return fmt.Errorf("a buffer item is for block %d", block)
	}
	at, end := block*basic, (block+blocks)*basic
	if flags&bufCancel != 0 {
		for ; at < end; at += dirtyChunk {
			delete(p.over.chunks, at)
		}
		return nil
	}
	if kind := flags >> bufTypeShift; kind != bufAny && kind != bufTree && kind != bufAGF {
		return nil
	}
	words := int64(binary.LittleEndian.Uint32(format[16:]))
	if 20+4*words > int64(len(format)) {
		return fmt.Errorf("a buffer item has a map of %d words", words)
	}
	dirty := func(bit int64) bool {
		return bit < 32*words && binary.LittleEndian.Uint32(format[20+bit/32*4:])>>(bit%32)&1 == 1
	}
	bit := int64(0)
	for _, region := range regions {
		for bit < 32*words && !dirty(bit) {
			bit++
		}
		if len(region)%dirtyChunk != 0 {
			return fmt.Errorf("a buffer item has a region of %d bytes", len(region))
		}
		for ; len(region) > 0; region = region[dirtyChunk:] {
			if !dirty(bit) || at+(bit+1)*dirtyChunk > end {
				return errors.New("a buffer item has more data than its map")
			}
			if err := p.set(at+bit*dirtyChunk, region[:dirtyChunk]); err != nil {
				return err
			}
			bit++
		}
	}
	return nil
}

func (p *player) set(at int64, data []byte) error {
	c := p.over.chunks[at]
	if c == nil {
		if len(p.over.chunks) >= maxOverlay/dirtyChunk {
			return errors.New("it changes more metadata than is kept in memory")
		}
		c = new([dirtyChunk]byte)
		p.over.chunks[at] = c
	}
	copy(c[:], data)
	return nil
}
