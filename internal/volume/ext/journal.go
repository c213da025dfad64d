package ext

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// The journal, from the chapter "Journal (jbd2)" of the kernel documentation. All numbers are big endian.
const (
	jbdMagic      = 0xc03b3998
	jbdDescriptor = 1
	jbdCommit     = 2
	jbdSuperV1    = 3
	jbdSuperV2    = 4
	jbdRevoke     = 5

	jbdIncompatRevoke     = 0x1
	jbdIncompat64bit      = 0x2
	jbdIncompatAsync      = 0x4
	jbdIncompatCsumV2     = 0x8
	jbdIncompatCsumV3     = 0x10
	jbdIncompatFastCommit = 0x20

	tagEscaped  = 1
	tagSameUUID = 2
	tagLast     = 8
)

// log is the journal as an array of blocks.
type log struct {
	fs    *FS
	spans []span

	first, end int64 // blocks of the ring: first..end-1
	start      int64 // the oldest block that matters; 0: none
	sequence   uint32
	incompat   uint32

	buf      []byte // read ahead
	bufStart int64  // journal block of buf[0]
}

var errFastCommit = errors.New("it was not unmounted and has fast commits in its journal, which are not read (mount " +
	"and unmount it for a smaller image)")

// journal adds every version of a block bitmap that the journal holds. Blocks of transactions that were not committed
// are added as well, and revoke records are not looked at: both can only make the map larger than necessary.
func (m *mapper) journal() error {
	fs := m.fs
	spans, blocks, err := fs.fileMap(fs.sb.journalInode)
	if err != nil {
		return fmt.Errorf("it needs recovery and its journal cannot be read: %w", err)
	}
	l := &log{fs: fs, spans: spans}
	err = l.open(blocks)
	if errors.Is(err, errFastCommit) {
		return err
	}
	if err != nil {
		return fmt.Errorf("it needs recovery and its journal cannot be read: %w", err)
	}
	if l.start == 0 {
		return nil
	}
	bitmaps, err := fs.bitmapOwners()
	if err != nil {
		return err
	}
	return l.walk(func(block int64, data []byte) error {
		if i, ok := slices.BinarySearchFunc(bitmaps, block,
			func(o owner, b int64) int { return int(min(max(o.block-b, -1), 1)) }); ok {
			m.addBitmap(bitmaps[i].group, data[:fs.sb.clustersPerGroup/8])
		}
		if block == superOffset/fs.sb.blockSize {
			return fs.sameSize(data[superOffset%fs.sb.blockSize:])
		}
		return nil
	})
}

// sameSize refuses a journal in which the file system has another size: groups that are not in the descriptors yet.
func (fs *FS) sameSize(raw []byte) error {
	var sb super
	if len(raw) < superSize || sb.parse(raw[:superSize]) != nil || sb.check(fs.size) != nil {
		return errors.New("it needs recovery and its journal holds a superblock that is not sound")
	}
	if sb.blocks != fs.sb.blocks || sb.descSize != fs.sb.descSize || sb.firstMetaBG != fs.sb.firstMetaBG ||
		sb.reservedGDT > fs.sb.reservedGDT {
		return errors.New("it was being resized when it crashed (mount and unmount it)")
	}
	return nil
}

// owner says whose bitmap a block is.
type owner struct{ block, group int64 }

func (fs *FS) bitmapOwners() ([]owner, error) {
	sb := &fs.sb
	list := make([]owner, 0, sb.groupCount)
	batch := max(1, readAhead/sb.blockSize) * sb.descsPerBlock()
	for first := int64(0); first < sb.groupCount; first += batch {
		groups, err := fs.descriptors(first, min(batch, sb.groupCount-first))
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			list = append(list, owner{g.blockBitmap, g.number})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].block < list[j].block })
	return list, nil
}

// open reads the journal's superblock.
func (l *log) open(blocks int64) error {
	raw, err := l.block(0)
	if err != nil {
		return err
	}
	be := binary.BigEndian
	kind := be.Uint32(raw[4:])
	if be.Uint32(raw) != jbdMagic || kind != jbdSuperV1 && kind != jbdSuperV2 {
		return errors.New("its superblock has no magic number")
	}
	if bs := int64(be.Uint32(raw[0xc:])); bs != l.fs.sb.blockSize {
		return fmt.Errorf("it has blocks of %d bytes", bs)
	}
	l.end, l.first = int64(be.Uint32(raw[0x10:])), int64(be.Uint32(raw[0x14:]))
	l.sequence, l.start = be.Uint32(raw[0x18:]), int64(be.Uint32(raw[0x1c:]))
	if kind == jbdSuperV2 {
		l.incompat = be.Uint32(raw[0x28:])
	}
	if f := l.incompat &^ (jbdIncompatRevoke | jbdIncompat64bit | jbdIncompatAsync | jbdIncompatCsumV3); f != 0 {
		if f&jbdIncompatFastCommit != 0 {
			return errFastCommit
		}
		return fmt.Errorf("it has incompatible features that this program does not know: %#x", f)
	}
	if l.end > blocks || l.first < 1 || l.first >= l.end || l.start != 0 && (l.start < l.first || l.start >= l.end) {
		return fmt.Errorf("its %d blocks would be from %d to %d, beginning at %d", blocks, l.first, l.end, l.start)
	}
	return nil
}

// walk calls f with every block that a replay would write, oldest first. It ends where the sequence of transactions
// breaks off, at the latest after one round.
func (l *log) walk(f func(block int64, data []byte) error) error {
	be := binary.BigEndian
	at, sequence := l.start, l.sequence
	left := l.end - l.first
	next := func() ([]byte, error) {
		b, err := l.block(at)
		if at++; at == l.end {
			at = l.first
		}
		left--
		return b, err
	}
	for left > 0 {
		b, err := next()
		if err != nil {
			return err
		}
		if be.Uint32(b) != jbdMagic || be.Uint32(b[8:]) != sequence {
			return nil
		}
		switch be.Uint32(b[4:]) {
		case jbdCommit:
			sequence++
		case jbdDescriptor:
			tags := l.tags(slices.Clone(b)) // b is gone when its data blocks are read
			for _, tag := range tags {
				if left <= 0 {
					return nil
				}
				data, err := next()
				if err != nil {
					return err
				}
				if tag.escaped {
					// A block that begins with the magic number has zeroes there in the journal.
					data = slices.Clone(data)
					be.PutUint32(data, jbdMagic)
				}
				if err := f(tag.block, data); err != nil {
					return err
				}
			}
		case jbdRevoke:
		default:
			return nil
		}
	}
	return nil
}

type tag struct {
	block   int64
	escaped bool
}

// tags reads a descriptor block: which block of the file system each of the following blocks is.
func (l *log) tags(b []byte) []tag {
	be := binary.BigEndian
	p := b[12:]
	size := 8
	switch {
	case l.incompat&jbdIncompatCsumV3 != 0:
		size = 16
		p = p[:len(p)-4] // the block's own checksum
	case l.incompat&jbdIncompat64bit != 0:
		size = 12
	}
	var list []tag
	for len(p) >= size {
		block, flags := int64(be.Uint32(p)), uint32(be.Uint16(p[6:]))
		if size == 16 {
			flags = be.Uint32(p[4:])
		}
		if l.incompat&jbdIncompat64bit != 0 {
			block |= int64(be.Uint32(p[8:])) << 32
		}
		list = append(list, tag{block, flags&tagEscaped != 0})
		p = p[size:]
		if flags&tagSameUUID == 0 {
			if len(p) < 16 {
				break
			}
			p = p[16:]
		}
		if flags&tagLast != 0 {
			break
		}
	}
	return list
}

// block returns a block of the journal; it stays valid until the next call.
func (l *log) block(n int64) ([]byte, error) {
	bs := l.fs.sb.blockSize
	if n < l.bufStart || n >= l.bufStart+int64(len(l.buf))/bs {
		i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].logical+l.spans[i].count > n })
		if i == len(l.spans) || n < l.spans[i].logical {
			return nil, fmt.Errorf("it has no block %d", n)
		}
		s := l.spans[i]
		in := n - s.logical
		count := max(1, min(s.count-in, readAhead/bs))
		buf, err := l.fs.blocks(s.physical+in, count)
		if err != nil {
			return nil, err
		}
		l.buf, l.bufStart = buf, n
	}
	return l.buf[(n-l.bufStart)*bs:][:bs], nil
}
