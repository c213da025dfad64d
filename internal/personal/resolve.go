package personal

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"
)

// Values is what templates may name of a machine.
type Values struct {
	Name    string            // that the operator gave it
	Labels  map[string]string // likewise
	Node    string            // 52-54-00-12-34-56
	MAC     string            // 52:54:00:12:34:56
	UUID    string            // of its firmware
	Serial  string            // likewise
	Session string
	Join    string // of Windows alone: what joins the machine to its domain
}

// part is a template of the settings, and where its text is in them.
type part struct {
	name string
	text *string
	tpl  *template.Template
	most int
}

// parse reads the templates of s. The texts point into s.
func (s *Settings) parse() ([]part, error) {
	parts := []part{{name: "hostname", text: &s.Hostname, most: 1024}}
	if s.Seed != nil {
		parts = append(parts, part{name: "seed.meta_data", text: &s.Seed.MetaData, most: MaxFile},
			part{name: "seed.user_data", text: &s.Seed.UserData, most: MaxFile},
			part{name: "seed.network_config", text: &s.Seed.NetworkConfig, most: MaxFile})
	}
	for i := range s.Files {
		parts = append(parts, part{name: "files " + s.Files[i].Path, text: &s.Files[i].Content, most: MaxFile})
	}
	if s.Script != nil {
		parts = append(parts, part{name: "script", text: &s.Script.Run, most: MaxFile})
	}
	if s.Windows != nil {
		parts = append(parts, part{name: "windows.unattend", text: &s.Windows.Unattend, most: MaxFile})
	}
	for i := range s.KernelWords {
		parts = append(parts, part{name: "kernel_words", text: &s.KernelWords[i], most: 1024})
	}
	for i := range s.Network {
		for _, text := range s.Network[i].texts() {
			parts = append(parts, part{name: "network", text: text, most: 1024})
		}
	}
	for i := range parts {
		p := &parts[i]
		var err error
		p.tpl, err = template.New(p.name).Option("missingkey=error").Funcs(template.FuncMap{
			"lower": strings.ToLower, "upper": strings.ToUpper}).Parse(*p.text)
		if err != nil {
			return nil, fmt.Errorf("%s is not a template: line %d or before: see the manual of Go's text/template",
				p.name, lineOf(err))
		}
	}
	return parts, nil
}

// lineOf takes the line out of a template's error, whose words may quote what is secret: "template: NAME:3: ...".
func lineOf(err error) (line int) {
	_, rest, _ := strings.Cut(err.Error(), "template: ")
	for word := range strings.SplitSeq(rest, ":") {
		if n, _ := fmt.Sscanf(word, "%d", &line); n == 1 {
			return line
		}
	}
	return 1
}

// Resolve makes a node's document. Its errors name the place and the value that is missing, never a content.
func (s *Settings) Resolve(v Values) (*Document, error) {
	d := &Document{V: Version, Session: v.Session, Node: v.Node, Things: s.clone()}
	if seed := d.Things.Seed; seed != nil && seed.MetaData == "" {
		seed.MetaData = "instance-id: {{.Session}}-{{.Node}}\n"
		if s.Hostname != "" {
			seed.MetaData += "local-hostname: \"" + s.Hostname + "\"\n" // 1234 would be a number
		}
	}
	if s.Windows != nil {
		var err error
		if d.Things.Windows, err = s.Windows.of(&v); err != nil {
			return nil, err
		}
	}
	parts, err := d.Things.parse()
	if err != nil {
		return nil, err
	}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	for _, p := range parts {
		if *p.text == "" {
			continue
		}
		out := &bounded{most: p.most}
		if err := p.tpl.Execute(out, v); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", p.name, v.who(), why(err))
		}
		*p.text = out.String()
	}
	if s.Hostname != "" && d.Things.Hostname == "" {
		return nil, fmt.Errorf("the hostname of %s comes out empty", v.who())
	}
	for i := range d.Things.Network {
		d.Things.Network[i].resolved(v.MAC)
	}
	d.Things.KernelWords = filled(d.Things.KernelWords)
	if err := d.Things.check(true); err != nil {
		return nil, fmt.Errorf("%s: %w", v.who(), err)
	}
	return d, nil
}

// NamedByFirmware reports whether the hostname is made of what only the machine itself can say.
func (s *Settings) NamedByFirmware() bool {
	return strings.Contains(s.Hostname, ".UUID") || strings.Contains(s.Hostname, ".Serial")
}

func (v *Values) who() string {
	if v.Name != "" {
		return "machine " + v.Name
	}
	return "node " + v.Node
}

// why keeps of a template's error what its words say of a key or a field.
func why(err error) error {
	words := err.Error()
	if _, key, ok := strings.Cut(words, "map has no entry for key "); ok {
		return fmt.Errorf("it has no label %s: `diskcast machine label MACHINE %s=VALUE` gives it one", key,
			strings.Trim(key, `"`))
	}
	if _, rest, ok := strings.Cut(words, "can't evaluate field "); ok {
		name, _, _ := strings.Cut(rest, " in type")
		return fmt.Errorf("a template names .%s, which no machine has: there are %s", name,
			strings.Join(valueNames(), ", "))
	}
	if errors.Is(err, errTooLong) {
		return errTooLong
	}
	return fmt.Errorf("line %d of the template cannot be carried out", lineOf(err))
}

func (s *Settings) clone() Settings {
	out := *s
	out.AuthorizedKeys, out.Passwords = maps.Clone(s.AuthorizedKeys), maps.Clone(s.Passwords)
	if s.Seed != nil {
		seed := *s.Seed
		out.Seed = &seed
	}
	out.Files = append([]File(nil), s.Files...)
	if s.Windows != nil {
		windows := *s.Windows
		out.Windows = &windows
	}
	if s.Script != nil {
		script := *s.Script
		out.Script = &script
	}
	out.KernelWords = slices.Clone(s.KernelWords)
	out.Network = nil
	for i := range s.Network {
		out.Network = append(out.Network, s.Network[i].clone())
	}
	return out
}

var errTooLong = errors.New("the template's result is too long")

// bounded is a writer that ends a template which would fill the memory.
type bounded struct {
	strings.Builder
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, errTooLong
	}
	return b.Builder.Write(p)
}

// valueNames are what a template may name.
func valueNames() (names []string) {
	t := reflect.TypeFor[Values]()
	for i := range t.NumField() {
		names = append(names, t.Field(i).Name)
	}
	return names
}
