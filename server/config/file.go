package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	"github.com/spf13/pflag"
)

// MaxFile bounds, in bytes, a settings file; the example has 4 KB.
const MaxFile = 256 << 10

// File is a settings file that was read.
type File struct {
	Name   string
	Values []Value // in the order of the file
	Notify Notify
}

// Value is one key of a file.
type Value struct {
	*Setting
	Line  int
	Words []string // one, or those of a list, as a flag takes them
}

// Read reads a settings file. The error names the file, the line and what to do, for each key that is wrong.
func Read(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("settings: %w (`diskcast config example` prints such a file)", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return Parse(name, text)
}

// Parse reads the text of a settings file; the name is for errors.
func Parse(name string, text []byte) (*File, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("settings %s: more than %d bytes: this is no settings file", name, MaxFile)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // some editors put it before every text
	// The decoder judges the whole document, keys given twice too; the parser below knows each key's line.
	var whole map[string]any
	if err := toml.Unmarshal(text, &whole); err != nil {
		return nil, syntaxError(name, text, err)
	}
	f := &File{Name: name}
	var errs []error
	var p unstable.Parser
	p.Reset(text)
	wrong := func(err error) { // which begins with the line
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%w", name, err))
		}
	}
	var in *section // nil: before the first table
	for p.NextExpression() {
		switch e := p.Expression(); {
		case e.Kind != unstable.KeyValue:
			wrong(in.end())
			var err error
			in, err = f.Notify.open(&p, e)
			wrong(err)
		case in != nil:
			wrong(in.take(&p, e))
		default:
			wrong(f.take(&p, e))
		}
	}
	wrong(in.end())
	if err := f.Notify.twice(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	if err := p.Error(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return f, nil
}

// bare is a line whose value is a word that TOML would have in quotes.
var bare = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+)\s*=\s*([A-Za-z/][^\s"'#]*)\s*(#.*)?$`)

func syntaxError(name string, text []byte, err error) error {
	if d := (*toml.DecodeError)(nil); errors.As(err, &d) {
		line, _ := d.Position()
		lines := strings.Split(string(text), "\n")
		if line >= 1 && line <= len(lines) {
			if m := bare.FindStringSubmatch(lines[line-1]); m != nil && m[2] != "true" && m[2] != "false" {
				return fmt.Errorf("%s:%d: text stands in quotes: %s = %q", name, line, m[1], m[2])
			}
		}
		return fmt.Errorf("%s:%d: %s", name, line, strings.TrimPrefix(d.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "toml: "))
}

// take reads a key that is in no table.
func (f *File) take(p *unstable.Parser, e *unstable.Node) error {
	v, err := valueOf(p, e, table)
	if err == nil {
		f.Values = append(f.Values, *v)
	}
	return err
}

// keyOf is the name and the line of a key or a table.
func keyOf(p *unstable.Parser, e *unstable.Node) (name string, line int) {
	var key []string
	for it := e.Key(); it.Next(); {
		if line == 0 {
			line = p.Shape(it.Node().Raw).Start.Line
		}
		key = append(key, string(it.Node().Data))
	}
	return strings.Join(key, "."), line
}

// valueOf reads a key and its value, by the settings that may be there.
func valueOf(p *unstable.Parser, e *unstable.Node, settings []Setting) (*Value, error) {
	name, line := keyOf(p, e)
	s := find(settings, name)
	if s == nil {
		return nil, fmt.Errorf("%d: unknown key %s: %s", line, name, suggestion(name, settings))
	}
	v := &Value{Setting: s, Line: line}
	if err := v.take(e.Value()); err != nil {
		return nil, fmt.Errorf("%d: %s %w; it wants %s", line, name, err, s.Unit)
	}
	return v, nil
}

// take checks type and value of what stands behind the key.
func (v *Value) take(n *unstable.Node) error {
	want := unstable.String
	switch v.at(&Settings{}).(type) {
	case *bool:
		want = unstable.Bool
	case *[]string:
		want = unstable.Array
	}
	if n.Kind != want {
		return fmt.Errorf("is %s instead of %s", kinds[n.Kind], kinds[want])
	}
	if want != unstable.Array {
		v.Words = []string{string(n.Data)}
	} else {
		v.Words = []string{}
		for it := n.Children(); it.Next(); {
			if it.Node().Kind == unstable.Comment {
				continue
			}
			if it.Node().Kind != unstable.String {
				return fmt.Errorf("has %s in its list instead of %s", kinds[it.Node().Kind], kinds[unstable.String])
			}
			v.Words = append(v.Words, string(it.Node().Data))
		}
	}
	for _, word := range v.Words {
		if err := v.valid(word); err != nil {
			return fmt.Errorf("%q %w", word, err)
		}
	}
	return nil
}

var kinds = map[unstable.Kind]string{
	unstable.String: "a string in quotes", unstable.Bool: "true or false without quotes", unstable.Array: "a list",
	unstable.Integer: "a number without quotes", unstable.Float: "a number without quotes",
	unstable.InlineTable: "a table", unstable.LocalDate: "a date", unstable.LocalTime: "a time",
	unstable.LocalDateTime: "a date", unstable.DateTime: "a date",
}

// valid looks at one word of a file.
func (s *Setting) valid(word string) error {
	if _, ok := s.at(&Settings{}).(*time.Duration); ok {
		if d, err := time.ParseDuration(word); err != nil || d < 0 {
			return errors.New("is not a duration")
		}
	}
	if s.path && word != "" && !filepath.IsAbs(word) {
		return errors.New("does not begin at /")
	}
	if s.check != nil {
		return s.check(word)
	}
	return nil
}

// Apply gives the flags the file's values, but for those that were on the command line or are in the environment.
func (f *File) Apply(flags *pflag.FlagSet) error {
	for _, v := range f.Values {
		flag := flags.Lookup(v.Name)
		if flag == nil {
			return fmt.Errorf("%s:%d: there is no flag --%s here", f.Name, v.Line, v.Name)
		}
		if flag.Changed || v.env != "" && os.Getenv(v.env) != "" {
			continue
		}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			if err := list.Replace(v.Words); err != nil {
				return fmt.Errorf("%s:%d: %s: %w", f.Name, v.Line, v.Name, err)
			}
			continue
		}
		if err := flag.Value.Set(v.Words[0]); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", f.Name, v.Line, v.Name, err)
		}
	}
	return nil
}

// Settings are the defaults with the file's values.
func (f *File) Settings() *Settings {
	out := Defaults()
	for _, v := range f.Values {
		assign(v.at(out), v.Words)
	}
	return out
}

// assign writes the words of a value, which valid has read, to its place.
func assign(place any, words []string) {
	switch p := place.(type) {
	case *string:
		*p = words[0]
	case *bool:
		*p = words[0] == "true"
	case *[]string:
		*p = words
	case *time.Duration:
		*p, _ = time.ParseDuration(words[0])
	}
}
