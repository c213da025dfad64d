package labfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/server/doc"
)

// YAML reads a file of YAML; name is what errors call it.
func (r *Reader) YAML(name string, text []byte) error {
	if len(text) > MaxFile {
		return fmt.Errorf("%s is larger than %d bytes", name, MaxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f := &file{Reader: r, name: name}
		if len(n.Content) == 0 || n.Content[0].Tag == "!!null" {
			continue
		}
		if err := f.document(n.Content[0]); err != nil {
			return err
		}
	}
}

// file is a YAML file under way.
type file struct {
	*Reader
	name string
}

func (f *file) at(n *yaml.Node) string { return f.name + ":" + strconv.Itoa(n.Line) }

func (f *file) wrong(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s: %w", f.at(n), fmt.Errorf(format, args...))
}

// each calls do for each key of a mapping; known are the keys that there may be, nil any.
func (f *file) each(n *yaml.Node, what string, known []string, do func(key, v *yaml.Node) error) error {
	if n.Kind == yaml.AliasNode {
		return f.wrong(n, "an alias (*%s) is not read: write it out", n.Value)
	}
	if n.Kind != yaml.MappingNode {
		return f.wrong(n, "%s is not keys with values", what)
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			return f.wrong(key, "a key of %s is no word", what)
		case known != nil && !slices.Contains(known, key.Value):
			return f.wrong(key, "%s has no key %q%s (it has %s)", what, key.Value, nearest.Hint(key.Value, known),
				strings.Join(known, ", "))
		case seen[key.Value] > 0:
			return f.wrong(key, "%s has the key %q in line %d already", what, key.Value, seen[key.Value])
		}
		seen[key.Value] = key.Line
		if err := do(key, v); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) word(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return "", f.wrong(n, "%s is not a word", what)
	}
	return n.Value, nil
}

// words is a list of words, or one.
func (f *file) words(n *yaml.Node, what string) ([]string, error) {
	if n.Kind != yaml.SequenceNode {
		w, err := f.word(n, what)
		return []string{w}, err
	}
	var out []string
	for _, x := range n.Content {
		w, err := f.word(x, what)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

func (f *file) document(n *yaml.Node) error {
	sections := []string{"machines", "groups", "profiles", "rules", "menus"}
	return f.each(n, "the file", sections, func(key, v *yaml.Node) error {
		f.kinds[strings.TrimSuffix(key.Value, "s")] = true
		if v.Tag == "!!null" { // with --prune, all of them would go for a heading that somebody left
			return f.wrong(key, "%s has nothing below it: leave it out; [] or {} says that there are none", key.Value)
		}
		if key.Value == "machines" {
			return f.machines(v)
		}
		return f.each(v, key.Value, nil, func(name, v *yaml.Node) error {
			at := f.at(name)
			if err := f.once(strings.TrimSuffix(key.Value, "s")+" "+name.Value, at); err != nil {
				return err
			}
			switch key.Value {
			case "groups":
				f.where[fmt.Sprintf("groups[%d]", len(f.Change.Groups))] = at
				return f.group(name.Value, v)
			case "profiles":
				f.where[fmt.Sprintf("profiles[%d]", len(f.Change.Profiles))] = at
				return f.profile(name.Value, v)
			case "menus":
				f.where[fmt.Sprintf("menus[%d]", len(f.Change.Menus))] = at
				return f.menu(name.Value, v)
			}
			f.where[fmt.Sprintf("rules[%d]", len(f.Change.Rules))] = at
			return f.rule(name.Value, v)
		})
	})
}

func (f *file) machines(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return f.wrong(n, "machines is not a list: each machine begins with a dash")
	}
	for _, x := range n.Content {
		m, err := f.readMachine(x)
		if err != nil {
			return err
		}
		if err := f.machine(m, f.at(x)); err != nil {
			return err
		}
	}
	return nil
}

var machineKeys = []string{"id", "name", "mac", "macs", "uuid", "serial", "labels", "notes", "profile", "approved",
	"when_idle"}

func (f *file) readMachine(n *yaml.Node) (m doc.MachineEntry, err error) {
	err = f.each(n, "a machine", machineKeys, func(key, v *yaml.Node) (err error) {
		word := func() string {
			var s string
			s, err = f.word(v, key.Value)
			return s
		}
		switch key.Value {
		case "id":
			m.ID = word()
		case "name":
			m.Name = word()
		case "uuid":
			m.UUID = word()
		case "serial":
			m.Serial = word()
		case "notes":
			s := word()
			m.Notes = &s
		case "profile":
			s := ""
			if v.Tag != "!!null" {
				s = word()
			}
			m.Profile = &s
		case "approved":
			b, bad := yes(word())
			if err == nil && bad != nil {
				err = f.wrong(v, "approved: %w", bad)
			}
			m.Approved = &b
		case "when_idle":
			s := word()
			m.WhenIdle = &s
		case "mac", "macs":
			var macs []string
			macs, err = f.words(v, key.Value)
			m.MACs = append(m.MACs, macs...)
		case "labels":
			m.Labels = map[string]*string{}
			err = f.each(v, "labels", nil, func(key, v *yaml.Node) error {
				if v.Tag == "!!null" {
					m.Labels[key.Value] = nil
					return nil
				}
				s, err := f.word(v, "label "+key.Value)
				m.Labels[key.Value] = &s
				return err
			})
		}
		return err
	})
	return m, err
}

func (f *file) group(name string, v *yaml.Node) error {
	words, err := f.words(v, "group "+name)
	f.Change.Groups = append(f.Change.Groups, doc.Group{Name: name, Select: strings.Join(words, " ")})
	return err
}

func (f *file) rule(name string, v *yaml.Node) error {
	r := doc.Rule{Name: name}
	err := f.each(v, "rule "+name, []string{"vendor", "product", "serial", "macs", "nets", "port", "relay", "all",
		"when_idle"},
		func(key, v *yaml.Node) (err error) {
			switch key.Value {
			case "vendor":
				r.Vendor, err = f.word(v, key.Value)
			case "product":
				r.Product, err = f.word(v, key.Value)
			case "serial":
				r.Serial, err = f.word(v, key.Value)
			case "macs":
				r.MACs, err = f.words(v, key.Value)
			case "all":
				var word string
				if word, err = f.word(v, key.Value); err == nil {
					r.All = word == "true"
					if word != "true" && word != "false" {
						err = f.wrong(v, "all: %q is neither true nor false", word)
					}
				}
			case "when_idle":
				r.WhenIdle, err = f.word(v, key.Value)
			case "nets":
				r.Nets, err = f.words(v, key.Value)
			case "port":
				r.Port, err = f.word(v, key.Value)
			case "relay":
				r.Relay, err = f.word(v, key.Value)
			}
			return err
		})
	f.Change.Rules = append(f.Change.Rules, r)
	return err
}

func (f *file) menu(name string, v *yaml.Node) error {
	m := doc.Menu{Name: name}
	err := f.each(v, "menu "+name, []string{"entries", "timeout", "default"}, func(key, v *yaml.Node) (err error) {
		switch key.Value {
		case "entries":
			m.Entries, err = f.words(v, key.Value)
		case "default":
			m.Default, err = f.word(v, key.Value)
		case "timeout":
			var s string
			if s, err = f.word(v, key.Value); err != nil {
				return err
			}
			if m.Timeout, err = strconv.Atoi(s); err != nil {
				return f.wrong(v, "timeout: %q is no number of seconds", s)
			}
		}
		return err
	})
	f.Change.Menus = append(f.Change.Menus, m)
	return err
}

func (f *file) profile(name string, v *yaml.Node) error {
	fields := map[string]any{}
	known := append([]string{"disk"}, doc.ProfileFields()...)
	err := f.each(v, "profile "+name, known, func(key, v *yaml.Node) error {
		if key.Value == "disk" {
			rule, err := f.word(v, "disk")
			if err != nil {
				return err
			}
			target, err := f.Disk(rule)
			if err != nil {
				return f.wrong(v, "disk: %w", err)
			}
			if _, both := fields["target"]; both {
				return f.wrong(v, "disk and target both say which disk: leave one away")
			}
			fields["target"] = target
			return nil
		}
		if _, both := fields[key.Value]; both {
			return f.wrong(v, "disk and target both say which disk: leave one away")
		}
		value, err := f.value(v, 0)
		fields[key.Value] = value
		return err
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return f.wrong(v, "profile %s: %w", name, err)
	}
	f.Change.Profiles = append(f.Change.Profiles, doc.Profile{Name: name, Spec: text})
	return nil
}

// value is a value as JSON has it.
func (f *file) value(n *yaml.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, f.wrong(n, "values are nested deeper than %d", maxDepth)
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		err := f.each(n, "the value", nil, func(key, v *yaml.Node) error {
			x, err := f.value(v, depth+1)
			out[key.Value] = x
			return err
		})
		return out, err
	case yaml.SequenceNode:
		out := []any{}
		for _, v := range n.Content {
			x, err := f.value(v, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	case yaml.ScalarNode:
		return f.scalar(n)
	}
	return nil, f.wrong(n, "an alias (*%s) is not read: write it out", n.Value)
}

func (f *file) scalar(n *yaml.Node) (any, error) {
	switch n.Tag {
	case "!!null":
		return nil, nil
	case "!!bool":
		b, err := strconv.ParseBool(strings.ToLower(n.Value))
		if err != nil {
			return nil, f.wrong(n, "%q is neither true nor false", n.Value)
		}
		return b, nil
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value), nil
		}
		return nil, f.wrong(n, "the number %s is not written as 12 or 1.5: put it into quotes if it is a word", n.Value)
	}
	return n.Value, nil
}
