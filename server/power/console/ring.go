package console

import "unicode/utf8"

// Bounds of what is kept of a console, and of one answer, in bytes.
const (
	keptBytes = 256 << 10
	partBytes = 64 << 10
)

// ring keeps the end of a stream.
type ring struct {
	kept  []byte
	start uint64 // place of its first byte
}

func (r *ring) add(b []byte) {
	r.kept = append(r.kept, b...)
	if over := len(r.kept) - keptBytes; over > keptBytes/4 || over > 0 && len(b) >= keptBytes { // not with each byte
		r.kept = append([]byte(nil), r.kept[over:]...)
		r.start += uint64(over)
	}
}

// end is the place behind the stream.
func (r *ring) end() uint64 { return r.start + uint64(len(r.kept)) }

// bytes is what stands behind a place, as much as one answer may have; next is the place behind it. Of what is no
// longer kept it says how much is lost. A place that the stream has not come to is of another one: it is begun anew.
func (r *ring) bytes(after uint64) (b []byte, next, lost uint64) {
	if after > r.end() {
		after = 0
	}
	if after < r.start {
		lost, after = r.start-after, r.start
	}
	b = r.kept[after-r.start:]
	b = append([]byte(nil), b[:min(len(b), partBytes)]...)
	return b, after + uint64(len(b)), lost
}

// text is bytes of a stream of UTF-8, cut between two characters.
func (r *ring) text(after uint64) (s string, next, lost uint64) {
	b, next, lost := r.bytes(after)
	for lost > 0 && len(b) > 0 && !utf8.RuneStart(b[0]) {
		b, lost = b[1:], lost+1
	}
	for next != r.end() && len(b) > 0 {
		if c, n := utf8.DecodeLastRune(b); c != utf8.RuneError || n != 1 {
			break
		}
		b, next = b[:len(b)-1], next-1
	}
	return string(b), next, lost
}
