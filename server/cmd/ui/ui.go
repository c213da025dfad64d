// Package ui is what the commands of diskcast show: tables, progress, JSON, warnings. What is done is done elsewhere.
//
// With JSON a result is one document on Out, and what Err has is objects, a line each: {"error": {"message", "code",
// "exit"}} at the end of what failed, {"warning": {"message"}}, {"note": {"message"}}, and log lines.
package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"golang.org/x/term"

	"github.com/diskcast/diskcast/internal/plain"
)

// UI is where a command shows things.
type UI struct {
	Out  io.Writer // results; plain text
	Err  io.Writer // everything else
	JSON bool      // a result is a document, not a table
	Form Form      // of that document; empty: FormJSON
}

// Data is where results go that programs read, every byte as it is; only a terminal is guarded from them.
func (u *UI) Data() io.Writer {
	p, ok := u.Out.(*plain.Writer)
	if _, tty := Terminal(u.Out); !ok || tty {
		return u.Out
	}
	return p.Bytes()
}

// Doc prints one document: on one line, or in the form that was asked for.
func (u *UI) Doc(v any) error {
	switch u.Form {
	case FormYAML:
		return u.yaml(v)
	case FormName:
		return u.names(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = io.WriteString(u.Out, escaped(string(b), all)+"\n")
	return err
}

// Warn and Note tell the operator something beside the result: a line of text, or with JSON an object of its own.
func (u *UI) Warn(words string) { u.tell("warning", "diskcast: warning: ", words) }

// Note is Warn for what is no worry.
func (u *UI) Note(words string) { u.tell("note", "note: ", words) }

func (u *UI) tell(kind, head, words string) {
	if u.JSON && u.Form != FormYAML && u.Form != FormName {
		Object(u.Err, kind, map[string]string{"message": plain.Text(words)})
		return
	}
	fmt.Fprintf(u.Err, "%s%s\n", head, plain.Text(words))
}

// Object prints an object with one field on one line.
func Object(w io.Writer, kind string, v any) {
	b, err := json.Marshal(map[string]any{kind: v})
	if err != nil {
		b = []byte(`{"error":{"message":"it cannot be said in JSON","code":"failed","exit":1}}`)
	}
	fmt.Fprintln(w, escaped(string(b), all))
}

func all(rune) bool { return true }

// escaped writes what cannot be printed and is meant, in the strings of a JSON document, as JSON's escapes.
func escaped(doc string, meant func(rune) bool) string {
	var b strings.Builder
	for _, r := range doc {
		switch {
		case r < 0x7f || unicode.IsPrint(r) || !meant(r):
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Table prints rows in columns.
func Table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, c := range r {
			cells[i] = plain.Line(c, 0)
		}
		if _, err := fmt.Fprintln(tw, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// List is Table, but for lines that are longer than the terminal is wide: they are cut, and end with three dots.
func List(w io.Writer, rows [][]string) error {
	f, ok := Terminal(w)
	if !ok {
		return Table(w, rows)
	}
	var b strings.Builder
	if err := Table(&b, rows); err != nil {
		return err
	}
	text := b.String()
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		text = Cut(text, width)
	}
	_, err := io.WriteString(w, text)
	return err
}

// Cut cuts each line of the text to a width, in characters; a width below 20 is none.
func Cut(text string, width int) string {
	if width < 20 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if r := []rune(l); len(r) > width {
			lines[i] = string(r[:width-3]) + "..."
		}
	}
	return strings.Join(lines, "\n")
}

// Dash stands in a table where there is nothing.
func Dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Ago says how long ago something was.
func Ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := time.Since(t).Round(time.Second)
	if d < -time.Minute {
		return "by a clock that is " + (-d).String() + " ahead"
	}
	return max(0, d).String() + " ago"
}

// Terminal returns the file behind w when it is a terminal.
func Terminal(w any) (*os.File, bool) {
	if p, ok := w.(*plain.Writer); ok {
		w = p.Unwrap()
	}
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}
