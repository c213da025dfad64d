// Package zenc makes the zstd frames (RFC 8878) of an image, one for each cell.
//
// A capture waits for nothing but the compression, so it has encoders of its own: at each level they are as fast as
// those of github.com/klauspost/compress/zstd or faster, and make less or about the same of what is on disks
// (docs/image-format.md has the figures). Literals are coded by that project's huff0; what is here is the search for
// matches, a finder for each level, and the coding of sequences. Any zstd decoder reads the frames: they are one
// segment, with the content size in the header and no checksum.
package zenc

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/huff0"
)

// MaxSize is the largest content of a frame, in bytes: offsets stay below 26 bits, so that a sequence fits a word.
const MaxSize = 64 << 20

// Level is how hard an encoder tries.
type Level int

// Levels.
const (
	Fast    Level = iota // one table of positions
	Default              // two: one for long matches, one for short ones
	Small                // chains of positions, and a look ahead before a match is taken
)

// Memory is about how many bytes an encoder needs for frames of up to size bytes.
func Memory(l Level, size int64) int64 {
	switch l {
	case Small:
		return 4*size + 4<<20
	case Default:
		return 4 << 20
	}
	return 3 << 20
}

// Encoder makes frames. One goroutine at a time may use it. The same bytes give the same frame.
type Encoder struct {
	block  block
	finder finder
	huff   huff0.Scratch
	// known says that the decoder has the Huffman code that huff made last.
	known bool
	coder sequenceCoder
}

// finder finds matches.
type finder interface {
	// begin forgets what was before and returns of how many of the n bytes that follow it finds the matches before it
	// must begin again.
	begin(n int) int
	// find finds the sequences of src[at:end]. What is in front of at can be referred to.
	find(b *block, src []byte, at, end int)
}

// New returns an encoder.
func New(l Level) *Encoder {
	e := &Encoder{}
	switch l {
	case Fast:
		e.finder = &fast{}
	case Default:
		e.finder = &double{}
	case Small:
		e.finder = &lazy{}
	default:
		panic(fmt.Sprintf("zenc: there is no level %d", l))
	}
	return e
}

// EncodeAll appends the frame of p, of at most MaxSize bytes, to dst.
func (e *Encoder) EncodeAll(p, dst []byte) []byte {
	if len(p) > MaxSize {
		panic(fmt.Sprintf("zenc: a frame of %d bytes, the most are %d", len(p), MaxSize))
	}
	dst = appendHeader(dst, len(p))
	e.block.rep = [3]uint32{1, 4, 8} // RFC 8878, 3.1.1.5
	e.known = false
	if len(p) == 0 {
		return appendBlock(dst, rawBlock, 0, true)
	}
	for len(p) > 0 {
		n := e.finder.begin(len(p))
		for at := 0; at < n; at += maxBlock {
			end := min(at+maxBlock, n)
			dst = e.appendBlock(dst, p[:n], at, end, end == len(p))
		}
		p = p[n:]
	}
	return dst
}

// appendHeader appends the frame's header: magic number, descriptor, content size (RFC 8878, 3.1.1.1).
func appendHeader(dst []byte, size int) []byte {
	const single = 1 << 5 // one segment: no window is given
	dst = binary.LittleEndian.AppendUint32(dst, 0xFD2FB528)
	switch {
	case size < 256:
		return append(dst, single, byte(size))
	case size < 65536+256:
		return binary.LittleEndian.AppendUint16(append(dst, 1<<6|single), uint16(size-256))
	}
	return binary.LittleEndian.AppendUint32(append(dst, 2<<6|single), uint32(size))
}

// Types of a block (RFC 8878, 3.1.1.2.2). A block decodes to at most maxBlock bytes.
const (
	rawBlock = iota
	runBlock
	compressedBlock

	maxBlock    = 128 << 10
	blockHeader = 3
)

// appendBlock appends a block's header. size is that of what follows, of a run block that of the run.
func appendBlock(dst []byte, kind, size int, last bool) []byte {
	h := kind<<1 | size<<3
	if last {
		h |= 1
	}
	return append(dst, byte(h), byte(h>>8), byte(h>>16))
}

// appendBlock appends the block of src[at:end].
func (e *Encoder) appendBlock(dst, src []byte, at, end int, last bool) []byte {
	content := src[at:end]
	if isRun(content) {
		return append(appendBlock(dst, runBlock, len(content), last), content[0])
	}
	rep := e.block.rep
	e.block.clear()
	e.finder.find(&e.block, src, at, end)

	start := len(dst)
	dst = appendBlock(dst, compressedBlock, 0, last)
	dst, fresh := e.appendLiterals(dst, e.block.literals())
	dst = e.coder.append(dst, e.block.seqs)
	if size := len(dst) - start - blockHeader; size < len(content) {
		appendBlock(dst[:start], compressedBlock, size, last)
		e.known = e.known || fresh
		return dst
	}
	// A raw block changes neither the offsets nor the codes that the decoder has.
	e.block.rep = rep
	e.known = e.known && !fresh
	return append(appendBlock(dst[:start], rawBlock, len(content), last), content...)
}

// isRun reports whether b is one byte again and again.
func isRun(b []byte) bool {
	if b[0] != b[len(b)-1] || b[0] != b[len(b)/2] {
		return false
	}
	for _, c := range b {
		if c != b[0] {
			return false
		}
	}
	return true
}
