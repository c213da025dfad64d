package convert

import (
	"io"

	"github.com/pierrec/lz4/v4"
)

// Marks of lz4's frame format 1.6.4.
const (
	lz4Magic  = 0x184d2204
	lz4Legacy = 0x184c2102
	lz4Skip   = 0x184d2a50 // to 0x184d2a5f
)

// lz4Frames reads lz4, and follows the frames beside the decompressor, which takes the end of the file between two
// blocks for the end of the data: a frame ends with its mark.
type lz4Frames struct {
	z      *lz4.Reader
	frames lz4Walk
}

func newLz4(r io.Reader) *lz4Frames {
	l := &lz4Frames{}
	l.z = lz4.NewReader(io.TeeReader(r, &l.frames))
	return l
}

func (l *lz4Frames) Read(p []byte) (int, error) {
	n, err := l.z.Read(p)
	if err == io.EOF && !l.frames.whole() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// lz4Walk follows the structure of a file that is written to it. Wrong marks are left to the decompressor to find.
type lz4Walk struct {
	field []byte                 // of the next field, what is there
	want  int                    // bytes of the field; 0 is the mark of a frame
	then  func(*lz4Walk, []byte) // what to do with it
	skip  int64                  // bytes before it
	flags byte                   // of the frame
	lax   bool                   // between blocks of a legacy frame, which has no end
}

// whole says whether the file may end here.
func (w *lz4Walk) whole() bool { return w.skip == 0 && len(w.field) == 0 && (w.want == 0 || w.lax) }

func (w *lz4Walk) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if k := min(w.skip, int64(len(p))); k > 0 {
			p, w.skip = p[k:], w.skip-k
			continue
		}
		want, then := w.want, w.then
		if want == 0 {
			want, then = 4, (*lz4Walk).mark
		}
		k := min(want-len(w.field), len(p))
		w.field = append(w.field, p[:k]...)
		if p = p[k:]; len(w.field) < want {
			break
		}
		field := w.field
		w.field, w.want, w.lax = nil, 0, false
		then(w, field)
	}
	return n, nil
}

func (w *lz4Walk) next(want int, then func(*lz4Walk, []byte)) { w.want, w.then = want, then }

func (w *lz4Walk) mark(field []byte) {
	switch m := le.Uint32(field); {
	case m == lz4Magic:
		w.next(2, (*lz4Walk).descriptor)
	case m == lz4Legacy:
		w.lax = true
		w.next(4, (*lz4Walk).legacyBlock)
	case m&^0xf == lz4Skip:
		w.next(4, func(w *lz4Walk, field []byte) { w.skip = int64(le.Uint32(field)) })
	}
}

// descriptor is FLG and BD; the content's size, a dictionary's number and a checksum follow.
func (w *lz4Walk) descriptor(field []byte) {
	w.flags, w.skip = field[0], 1
	if w.flags&8 != 0 {
		w.skip += 8
	}
	if w.flags&1 != 0 {
		w.skip += 4
	}
	w.next(4, (*lz4Walk).block)
}

func (w *lz4Walk) block(field []byte) {
	n := le.Uint32(field)
	if n == 0 { // the end, with a checksum of all
		if w.flags&4 != 0 {
			w.skip = 4
		}
		return
	}
	w.skip = int64(n &^ (1 << 31))
	if w.flags&16 != 0 {
		w.skip += 4
	}
	w.next(4, (*lz4Walk).block)
}

func (w *lz4Walk) legacyBlock(field []byte) {
	n := le.Uint32(field)
	if n == lz4Magic || n == lz4Legacy || n&^0xf == lz4Skip {
		w.mark(field)
		return
	}
	w.skip, w.lax = int64(n), true
	w.next(4, (*lz4Walk).legacyBlock)
}
