// Package ansi makes what a strange machine prints harmless to who reads it: as text alone, for a page, or for a
// terminal, which keeps what moves the cursor and colours text, and not what has a terminal type, print or remember
// something (titles, clipboards, answers).
//
// It follows the states of ECMA-48 and of DEC's terminals. Bytes that are no UTF-8 are replaced, and the controls of
// 8-bit terminals (C1) are dropped, also as UTF-8.
package ansi

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Form is for whom a stream is made harmless.
type Form int

// Forms.
const (
	Text     Form = iota // printable text, tabs and line feeds
	Terminal             // and the sequences that draw
)

type state int

const (
	ground   state = iota
	escape         // behind ESC
	between        // behind ESC and an intermediate byte
	control        // in a control sequence, behind ESC [
	words          // in a string that ends with ST: OSC, DCS, APC, PM, SOS; no line feed is in one
	wordsEsc       // behind an ESC in it
	system         // behind ESC ]
	palette        // behind ESC ] P, Linux's own: seven digits follow, and no end
)

// maxSequence bounds a control sequence, in bytes; a longer one is dropped.
const maxSequence = 64

// maxWords is how much of the end of a string is kept, in bytes, in case it is none.
const maxWords = 4 << 10

// Filter makes a stream harmless, wherever it is cut. The zero value gives text.
type Filter struct {
	Form Form

	state state
	seq   []byte // of a sequence so far
	words []byte // of a string so far
	part  []byte // of a rune so far
}

const esc = 0x1b

// drawn are the last bytes of control sequences that a terminal may be given: those that move, erase, scroll, colour
// and set modes, and those that ask where the cursor is and what the terminal can do. Not those that work on windows
// (t), printers (i), or that have the terminal tell what was put into it before.
const drawn = "@ABCDEFGHIJKLMPSTXZ`abcdefghlmnrsu"

// simple are the last bytes of sequences of ESC and one byte.
const simple = "78DEHMc=>"

// sets are the character sets that may be chosen by ESC ( and ESC ).
const sets = "0AB"

// Write returns what of the next bytes of the stream may be shown.
func (f *Filter) Write(b []byte) []byte {
	var out bytes.Buffer
	for _, c := range b {
		f.byte(c, &out)
	}
	return out.Bytes()
}

func (f *Filter) byte(c byte, out *bytes.Buffer) {
	if f.state == ground && (c >= utf8.RuneSelf || len(f.part) > 0) {
		f.rune(c, out)
		return
	}
	switch {
	case c == 0x18 || c == 0x1a: // CAN and SUB end what goes on
		f.state = ground
		return
	case f.state >= words:
		f.inWords(c, out)
		return
	case c == esc:
		f.state, f.seq = escape, append(f.seq[:0], esc)
		return
	case c < ' ':
		f.control(c, out) // also in the middle of a sequence
		return
	case f.state == ground:
		if c != 0x7f {
			out.WriteByte(c)
		}
		return
	}
	f.inSequence(c, out)
}

// inWords passes over a string, which BEL ends too. One that was never ended is text after all: a kernel that panics
// writes into what another program had begun to say.
func (f *Filter) inWords(c byte, out *bytes.Buffer) {
	switch {
	case c == '\n', f.state == wordsEsc && c != '\\' && c != esc: // the line's end, or another sequence
		f.unended(out)
		if c != '\n' {
			f.state, f.seq = escape, append(f.seq[:0], esc)
		}
		f.byte(c, out)
	case c == 0x07, f.state == wordsEsc && c == '\\':
		f.state = ground
	case c == esc:
		f.state = wordsEsc
	case f.state == system && c == 'R': // console_codes(4): ESC ] R is the whole
		f.state = ground
	case f.state == system && c == 'P':
		f.state, f.seq = palette, f.seq[:0]
	case f.state == palette:
		if f.seq = append(f.seq, c); len(f.seq) == 7 {
			f.state = ground
		}
	default:
		f.state = words
		if len(f.words) == maxWords {
			f.words = append(f.words[:0], f.words[maxWords/2:]...)
		}
		f.words = append(f.words, c)
	}
}

// unended gives what was taken for a string as text.
func (f *Filter) unended(out *bytes.Buffer) {
	f.state = ground
	for _, c := range f.words {
		if c >= ' ' || c == '\t' {
			f.byte(c, out)
		}
	}
	f.words = f.words[:0]
}

// inSequence takes a byte from 0x20 on behind ESC.
func (f *Filter) inSequence(c byte, out *bytes.Buffer) {
	if len(f.seq) < maxSequence {
		f.seq = append(f.seq, c)
	}
	if c >= utf8.RuneSelf || c == 0x7f {
		f.state = ground // no sequence has it
		return
	}
	switch f.state {
	case escape:
		switch {
		case c == '[':
			f.state = control
		case c == ']':
			f.state, f.words = system, f.words[:0]
		case c == 'P' || c == 'X' || c == '^' || c == '_':
			f.state, f.words = words, f.words[:0]
		case c < 0x30:
			f.state = between
		default:
			f.end(bytes.IndexByte([]byte(simple), c) >= 0, out)
		}
	case between:
		if c >= 0x30 {
			f.end(len(f.seq) == 3 && (f.seq[1] == '(' || f.seq[1] == ')') && bytes.IndexByte([]byte(sets), c) >= 0,
				out)
		}
	case control:
		if c >= 0x40 {
			f.end(f.draws(), out)
		}
	}
}

// draws reports whether a control sequence is one that a terminal may be given: ESC [, perhaps ?, numbers, a last byte.
func (f *Filter) draws() bool {
	n := len(f.seq)
	if n == maxSequence || bytes.IndexByte([]byte(drawn), f.seq[n-1]) < 0 {
		return false
	}
	inner := bytes.TrimPrefix(f.seq[2:n-1], []byte("?"))
	return len(bytes.Trim(inner, "0123456789;:")) == 0
}

func (f *Filter) end(draws bool, out *bytes.Buffer) {
	f.state = ground
	if draws && f.Form == Terminal {
		out.Write(f.seq)
	}
}

// control takes a control character. ENQ, which has a terminal say what it was told to, is never given.
func (f *Filter) control(c byte, out *bytes.Buffer) {
	switch {
	case c == '\t' || c == '\n':
		out.WriteByte(c)
	case f.Form == Terminal && (c >= 0x07 && c <= 0x0f):
		out.WriteByte(c)
	case c == '\v' || c == '\f':
		out.WriteByte('\n')
	}
}

// rune puts a character of several bytes together.
func (f *Filter) rune(c byte, out *bytes.Buffer) {
	if len(f.part) > 0 && utf8.RuneStart(c) { // what was begun is not ended
		f.part = f.part[:0]
		out.WriteRune(utf8.RuneError)
		f.byte(c, out)
		return
	}
	f.part = append(f.part, c)
	if !utf8.FullRune(f.part) {
		return
	}
	r, _ := utf8.DecodeRune(f.part)
	f.part = f.part[:0]
	switch {
	case r == utf8.RuneError:
		out.WriteRune(r)
	case r >= 0x80 && r < 0xa0: // C1
	case unicode.IsPrint(r):
		out.WriteRune(r)
	default:
		out.WriteRune(utf8.RuneError)
	}
}
