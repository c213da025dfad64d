package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const head = `Settings of ` + "`diskcast serve`" + `, which reads ` + DefaultFile + ` at its start, or the file
that --config names.
A flag on the command line wins over the file. Each key below is commented out and has its default.
` + "`diskcast config check`" + ` looks for mistakes, ` + "`diskcast config example`" + ` prints this file.`

// WriteExample writes a file with each key, what it is, its unit and its default, all keys commented out.
func WriteExample(w io.Writer) error {
	var b strings.Builder
	comment(&b, head)
	for _, s := range table {
		b.WriteString("\n")
		comment(&b, s.About)
		comment(&b, "wants: "+s.Unit)
		fmt.Fprintf(&b, "#%s\n", s.line(Defaults()))
	}
	for _, t := range []struct {
		about, name string
		table       []Setting
	}{
		{"Who is told what happens; these tables come last in the file. A service that is sent signed requests; " +
			"there may be several:", "[[" + webhookTable + "]]", exampleWebhook().table()},
		{"Mail:", "[" + mailTable + "]", exampleMail().table()},
	} {
		b.WriteString("\n")
		comment(&b, t.about)
		fmt.Fprintf(&b, "#%s\n", t.name)
		for _, s := range t.table {
			b.WriteString("\n")
			comment(&b, s.About)
			comment(&b, "wants: "+s.Unit)
			fmt.Fprintf(&b, "#%s\n", s.line(nil))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func exampleWebhook() *Webhook {
	h := newWebhook()
	h.Name, h.URL = "chat", "https://chat.example.org/hooks/42"
	return h
}

func exampleMail() *Mail {
	m := newMail()
	m.Server, m.From, m.To = "mail.example.org:587", "diskcast@example.org", []string{"lab@example.org"}
	return m
}

// WriteFile writes a file with the settings that are not the defaults, each with what it is.
func (v *Settings) WriteFile(w io.Writer, title string) error {
	var b strings.Builder
	comment(&b, title)
	for _, s := range table {
		if s.line(v) == s.line(Defaults()) {
			continue
		}
		b.WriteString("\n")
		comment(&b, s.About)
		fmt.Fprintln(&b, s.line(v))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line is the setting's line in a file.
func (s *Setting) line(v *Settings) string {
	text := ""
	switch p := s.at(v).(type) {
	case *string:
		text = quote(*p)
	case *bool:
		text = strconv.FormatBool(*p)
	case *[]string:
		words := make([]string, len(*p))
		for i, w := range *p {
			words[i] = quote(w)
		}
		text = "[" + strings.Join(words, ", ") + "]"
	case *time.Duration:
		text = quote(p.String())
	}
	return s.Name + " = " + text
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// comment writes lines of at most 100 columns that begin with "# ".
func comment(b *strings.Builder, text string) {
	for para := range strings.SplitSeq(text, "\n") {
		line := "#"
		for word := range strings.FieldsSeq(para) {
			if len(line)+1+len(word) > 100 {
				fmt.Fprintln(b, line)
				line = "#"
			}
			line += " " + word
		}
		fmt.Fprintln(b, line)
	}
}
