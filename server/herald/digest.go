package herald

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// Bounds of one mail.
const (
	maxWords  = 2000 // that it is of
	maxListed = 100  // of one kind, each with a line
	maxBody   = 256 << 10
)

// sorts is the order of a mail.
var sorts = []struct{ kind, one, many string }{
	{doc.WordTest, "test", "tests"},
	{doc.WordFinding, "finding", "findings"},
	{doc.WordEnded, "session ended", "sessions ended"},
	{doc.WordFailed, "machine failed", "machines failed"},
	{doc.WordMachine, "new machine", "new machines"},
	{doc.WordDone, "machine done", "machines done"},
}

// digest makes one mail of words.
func digest(server string, words []doc.Word) (subject, body string) {
	by := map[string][]doc.Word{}
	for _, w := range words {
		by[w.Kind] = append(by[w.Kind], w)
	}
	var counts []string
	var b strings.Builder
	for _, s := range sorts {
		list := by[s.kind]
		switch len(list) {
		case 0:
			continue
		case 1:
			counts = append(counts, "1 "+s.one)
		default:
			counts = append(counts, fmt.Sprintf("%d %s", len(list), s.many))
		}
		section(&b, s.many, list)
	}
	if len(words) == 1 {
		subject = words[0].Title
	} else {
		subject = strings.Join(counts, ", ")
	}
	fmt.Fprintf(&b, "-- \n%s\n`diskcast notify list` on the server shows what waits to be told.\n", server)
	return line("["+server+"] "+subject, 200), b.String()
}

func section(b *strings.Builder, title string, list []doc.Word) {
	fmt.Fprintf(b, "%s%s\n\n", strings.ToUpper(title[:1]), title[1:])
	for i, w := range list {
		if i == maxListed || b.Len() > maxBody {
			fmt.Fprintf(b, "and %d more, which are not listed here\n", len(list)-i)
			break
		}
		fmt.Fprintf(b, "%s  %s\n", w.Time.UTC().Format("2006-01-02 15:04:05Z"), w.Title)
		if w.Text != "" {
			fmt.Fprintf(b, "    %s\n", strings.ReplaceAll(cut(w.Text, 8<<10), "\n", "\n    "))
		}
	}
	b.WriteString("\n")
}

func line(s string, most int) string { return plain.Line(s, most) }
func text(s string) string           { return plain.Text(s) }

// cut ends a text that is too long, at the end of a line.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most]
	if i := strings.LastIndexByte(s, '\n'); i > 0 {
		s = s[:i]
	} else {
		s = strings.ToValidUTF8(s, "")
	}
	return s + "\n..."
}
