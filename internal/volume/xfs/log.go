package xfs

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
)

const (
	logMagic  = 0xfeedbabe
	basic     = 512     // bytes of a log block, whatever the sector size
	cycleSize = 32768   // data bytes for which one header block has room to keep first words
	maxRecord = 1 << 20 // bytes of a record: the kernel's log buffers are at most 256 KiB
	maxLog    = 4 << 30 // bytes of a log: the format's limit is 2 GiB
	window    = 4096    // blocks before the head that may be missing after a crash: 8 log buffers of 256 KiB

	opUnmount = 0x20
)

// journal finds out whether the log has changes that are not in place yet, and reads those that move free space.
func (fs *FS) journal() {
	if fs.whole {
		return
	}
	if fs.sb.logStart == 0 {
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"Its log is on another device, which is not in this partition and not captured with it. "+
				"Nobody can tell from here whether the log has changes for it, so it is captured whole.")
		return
	}
	l, err := fs.openLog()
	if err == nil {
		var clean bool
		if clean, err = l.clean(); err == nil && clean {
			fs.info.Clean = true
			return
		}
	}
	const unclean = "It was not cleanly unmounted: the journal will be replayed on first mount."
	if err == nil {
		fs.over, err = l.replay()
	}
	if err != nil {
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes, unclean+
			fmt.Sprintf(" What the journal does to its free space cannot be told (%v), so it is captured whole.", err))
		return
	}
	fs.info.Notes = append(fs.info.Notes, unclean)
}

// xlog is a ring of blocks. Each block begins with the number of the cycle in which it was written.
type xlog struct {
	fs     *FS
	start  int64 // bytes
	blocks int64
	head   int64 // where the next record would be written
	last   int64 // where the header of the last record is; -1: there is no record
}

func (fs *FS) openLog() (*xlog, error) {
	sb := &fs.sb
	ag, block := sb.logStart>>sb.agBlockLog, int64(sb.logStart&(1<<sb.agBlockLog-1))
	if ag >= uint64(sb.agCount) || block >= sb.agBlocks {
		return nil, fmt.Errorf("its log starts at block %#x, outside the file system", sb.logStart)
	}
	first := int64(ag)*sb.agBlocks + block
	if sb.logBlocks < 2 || sb.logBlocks*sb.blockSize > maxLog || first+sb.logBlocks > sb.blocks {
		return nil, fmt.Errorf("its log has %d blocks", sb.logBlocks)
	}
	l := &xlog{fs: fs, start: first * sb.blockSize, blocks: sb.logBlocks * sb.blockSize / basic}
	if err := l.findHead(); err != nil {
		return nil, err
	}
	return l, nil
}

// read fills p, which is whole blocks, from the ring.
func (l *xlog) read(p []byte, block int64) error {
	for len(p) > 0 {
		block %= l.blocks
		n := min(int64(len(p)), (l.blocks-block)*basic)
		if err := volume.ReadAt(l.fs.r, l.fs.size, l.start+block*basic, p[:n]); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		p, block = p[n:], block+n/basic
	}
	return nil
}

// cycleOf is the cycle in which a block was written.
func cycleOf(block []byte) uint32 {
	if be.Uint32(block) == logMagic {
		return be.Uint32(block[4:])
	}
	return be.Uint32(block)
}

func (l *xlog) cycle(block int64) (uint32, error) {
	var p [basic]byte
	err := l.read(p[:], block)
	return cycleOf(p[:]), err
}

// findHead searches for the place where the cycle number falls, or where a log written for the first time ends.
func (l *xlog) findHead() error {
	first, err := l.cycle(0)
	if err != nil {
		return err
	}
	l.last = -1
	if first == 0 {
		return nil // never written
	}
	last, err := l.cycle(l.blocks - 1)
	if err != nil {
		return err
	}
	low, high := int64(0), l.blocks // the blocks before low are of cycle first, the one at high is not
	if last != first {
		for high-low > 1 {
			mid := low + (high-low)/2
			c, err := l.cycle(mid)
			if err != nil {
				return err
			}
			if c == first {
				low = mid
			} else {
				high = mid
			}
		}
		if last != 0 && last != first-1 {
			return fmt.Errorf("log: cycle %d is followed by cycle %d", first, last)
		}
	}
	l.head = high % l.blocks

	// Records are written by several buffers at a time: after a crash there may be holes shortly before the head.
	for n := int64(1); n <= min(window, l.blocks-1); n++ {
		at := (high - n + l.blocks) % l.blocks
		want := first
		if n > high {
			want = last
		}
		var p [basic]byte
		if err := l.read(p[:], at); err != nil {
			return err
		}
		if want == 0 {
			break
		}
		if cycleOf(p[:]) != want {
			return errors.New("log: the last writes to it are incomplete")
		}
		if l.last < 0 && be.Uint32(p[:]) == logMagic {
			l.last = at
		}
	}
	if l.last < 0 {
		return errors.New("log: there is no record before its head")
	}
	return nil
}

// record is a log record with the first words of its blocks put back.
type record struct {
	lsn, tail uint64
	ops       int
	data      []byte
	blocks    int64 // of header and data
}

// record reads the record whose header is at block.
func (l *xlog) record(block int64) (*record, error) {
	head := make([]byte, basic)
	if err := l.read(head, block); err != nil {
		return nil, err
	}
	if be.Uint32(head) != logMagic {
		return nil, fmt.Errorf("log: no record starts at block %d", block)
	}
	version, length, size := be.Uint32(head[8:]), int64(be.Uint32(head[12:])), int64(be.Uint32(head[320:]))
	headers := int64(1)
	switch {
	case length < 0 || length > maxRecord || size > maxRecord:
		return nil, fmt.Errorf("log: the record at block %d has %d bytes", block, length)
	case version&2 != 0 && size > cycleSize:
		headers = (size + cycleSize - 1) / cycleSize
	case version&3 == 0:
		return nil, fmt.Errorf("log: the record at block %d has version %d", block, version)
	}
	n := (length + basic - 1) / basic
	rec := &record{lsn: be.Uint64(head[16:]), tail: be.Uint64(head[24:]), ops: int(be.Uint32(head[40:])),
		blocks: headers + n}
	if rec.blocks > l.blocks || n > headers*cycleSize/basic {
		return nil, fmt.Errorf("log: the record at block %d has %d blocks", block, rec.blocks)
	}
	all := make([]byte, rec.blocks*basic)
	if err := l.read(all, block); err != nil {
		return nil, err
	}
	data := all[headers*basic:]
	cycle := be.Uint32(head[4:])
	for i := range n {
		if be.Uint32(data[i*basic:]) != cycle {
			return nil, fmt.Errorf("log: the record at block %d is torn", block)
		}
		// The first header keeps the first words of 64 blocks from byte 44 on, each further one from byte 4 on.
		at := 44 + 4*i
		if i >= 64 {
			at = i/64*basic + 4 + i%64*4
		}
		copy(data[i*basic:i*basic+4], all[at:at+4])
	}
	rec.data = data[:length]
	return rec, nil
}

// clean tells whether the last thing that was written is the mark of an unmount.
func (l *xlog) clean() (bool, error) {
	if l.last < 0 {
		return true, nil
	}
	rec, err := l.record(l.last)
	if err != nil {
		return false, err
	}
	if (l.last+rec.blocks)%l.blocks != l.head {
		return false, errors.New("log: its last record does not end at its head")
	}
	return rec.ops == 1 && len(rec.data) >= 12 && rec.data[9]&opUnmount != 0, nil
}
