package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/diskcast/diskcast/internal/plain"
)

// Form is what a result is printed as.
type Form string

// Forms.
const (
	FormTable Form = "table" // for people
	FormJSON  Form = "json"
	FormYAML  Form = "yaml"
	FormName  Form = "name" // only the word by which other commands know each thing, a line each
)

// SetForm has results printed in a form, which --json says too.
func (u *UI) SetForm(f Form) error {
	switch f {
	case "":
		return nil
	case FormTable:
		if u.JSON {
			return errors.New("--json and --output table do not go together")
		}
	case FormJSON, FormYAML, FormName:
		if u.JSON && f != FormJSON {
			return fmt.Errorf("--json and --output %s do not go together", f)
		}
		u.JSON = true
	default:
		return fmt.Errorf("--output %.40q is none of table, json, yaml, name", string(f))
	}
	u.Form = f
	return nil
}

// generic is v as a program that reads its JSON has it, with numbers as they were written.
func generic(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var out any
	err = dec.Decode(&out)
	return out, err
}

// yaml prints a document of its own, which begins with three dashes: several in a row are a stream.
func (u *UI) yaml(v any) error {
	n, err := asNode(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("---\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	_, err = u.Data().Write(b.Bytes())
	return err
}

// asNode is v's JSON, which is YAML too, in block style: so fields keep their order.
func asNode(v any) (*yaml.Node, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b = []byte(escaped(string(b), func(r rune) bool { return r <= 0xffff })) // YAML has no surrogates
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil {
		return nil, err
	}
	blocks(&n)
	return &n, nil
}

func blocks(n *yaml.Node) {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		n.Style = 0
	} else if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = 0                         // quoted where it would be read as something else
		if plain.Text(n.Value) != n.Value { // YAML knows more line breaks than line feeds, and changes them
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, c := range n.Content {
		blocks(c)
	}
}

// nameFields are the fields that name a thing, the surest first.
var nameFields = []string{"id", "name", "digest", "addr", "receiver", "machine"}

func (u *UI) names(v any) error {
	doc, err := generic(v)
	if err != nil {
		return err
	}
	list, many := doc.([]any)
	if !many && doc != nil {
		list = []any{doc}
	}
	for _, one := range list {
		name := nameOf(one)
		if name == "" {
			return errors.New("this has no name to print: --output table, json or yaml prints it")
		}
		if _, err := io.WriteString(u.Out, plain.Line(name, 0)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func nameOf(v any) string {
	if name, ok := v.(string); ok {
		return name
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	for _, f := range nameFields {
		if s, ok := fields[f].(string); ok && s != "" {
			return s
		}
	}
	return ""
}
