package screen

import (
	"fmt"
	"strings"
)

// Control sequences of ECMA-48 and the VT100 that Linux' own consoles and terminal programs know.
const (
	esc     = "\x1b"
	save    = esc + "7"
	restore = esc + "8"
	reverse = esc + "[7m"
	normal  = esc + "[0m"
	rest    = esc + "[K" // clears to the line's end
)

// drawing is the screen on one terminal: what stands there already is not sent again, since a serial line moves
// 11 KB/s.
type drawing struct {
	columns, rows int
	shown         []string
}

// begin takes the upper rows away from the log, which goes on in those below.
func (d *drawing) begin() string {
	d.shown = nil
	// Lines that stand there scroll up out of the way of the screen, and the cursor stays where the log goes on.
	return fmt.Sprintf("%s%s[%d;%dr%s[%d;1H", strings.Repeat("\r\n", Height), esc, Height+1, d.rows, esc, d.rows)
}

// end gives the rows back: the log goes on at the end of the terminal, and the screen scrolls away with it.
func (d *drawing) end() string {
	return fmt.Sprintf("%s%s[r%s%s", save, esc, restore, normal)
}

// frame draws what has changed. The cursor is put back each time, for the log is written there by others.
func (d *drawing) frame(lines []string) string {
	var b strings.Builder
	for i, l := range lines {
		if i < len(d.shown) && d.shown[i] == l {
			continue
		}
		fmt.Fprintf(&b, "%s%s[%d;1H%s%s%s", save, esc, i+1, paint(l), rest, restore)
	}
	d.shown = lines
	return b.String()
}

// paint makes signs and bars of #, and has lines of trouble stand out.
func paint(l string) string {
	if strings.HasPrefix(l, "! ") {
		return reverse + l + normal
	}
	var b strings.Builder
	for len(l) > 0 {
		n := len(l) - len(strings.TrimLeft(l, "#"))
		if n > 1 {
			b.WriteString(reverse + strings.Repeat(" ", n) + normal)
		} else if n == 1 {
			b.WriteByte('#')
		}
		l = l[n:]
		next := strings.IndexByte(l, '#')
		if next < 0 {
			next = len(l)
		}
		b.WriteString(l[:next])
		l = l[next:]
	}
	return b.String()
}
