package labfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/diskcast/diskcast/server/doc"
)

// WriteYAML writes a lab as Reader.YAML reads it. Of machines it writes those of which something was entered. What
// profiles keep secret is there as it is shown.
func WriteYAML(w io.Writer, l *doc.Lab, ms []doc.Machine) error {
	all, err := tree(l, ms)
	if err != nil {
		return err
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(all); err != nil {
		return err
	}
	return e.Close()
}

// JSON is what WriteYAML writes, as JSON.
func JSON(l *doc.Lab, ms []doc.Machine) (json.RawMessage, error) {
	all, err := tree(l, ms)
	if err != nil {
		return nil, err
	}
	return asJSON(all)
}

// asJSON keeps the order of fields, and numbers as they are written.
func asJSON(n *yaml.Node) (json.RawMessage, error) {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return json.RawMessage("null"), nil
	case n.Kind == yaml.ScalarNode && n.ShortTag() != "!!str":
		return json.Marshal(json.RawMessage(n.Value))
	case n.Kind == yaml.ScalarNode:
		return json.Marshal(n.Value)
	}
	ends := "{}"
	if n.Kind == yaml.SequenceNode {
		ends = "[]"
	}
	out := []byte{ends[0]}
	for i, c := range n.Content {
		b, err := asJSON(c)
		switch {
		case err != nil:
			return nil, err
		case i == 0:
		case ends == "{}" && i%2 == 1:
			out = append(out, ':')
		default:
			out = append(out, ',')
		}
		out = append(out, b...)
	}
	return append(out, ends[1]), nil
}

// tree is a lab as its file has it.
func tree(l *doc.Lab, ms []doc.Machine) (*yaml.Node, error) {
	all := mapping{}
	var machines []*yaml.Node
	for i := range ms {
		if m := &ms[i]; entered(m) {
			machines = append(machines, machineNode(m))
		}
	}
	if len(machines) > 0 {
		all.add("machines", &yaml.Node{Kind: yaml.SequenceNode, Content: machines})
	}
	groups, profiles, rules, menus := mapping{}, mapping{}, mapping{}, mapping{}
	for _, g := range l.Groups {
		groups.word(g.Name, g.Select)
	}
	for i := range l.Profiles {
		p := &l.Profiles[i]
		d := json.NewDecoder(bytes.NewReader(p.Spec))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("profile %s: %w", p.Name, err)
		}
		profiles.add(p.Name, valueNode(v))
	}
	for i := range l.Rules {
		rules.add(l.Rules[i].Name, ruleNode(&l.Rules[i]))
	}
	for i := range l.Menus {
		m, one := &l.Menus[i], mapping{}
		one.words("entries", m.Entries)
		if m.Timeout != 0 {
			one.add("timeout", valueNode(json.Number(strconv.Itoa(m.Timeout))))
		}
		one.word("default", m.Default)
		menus.add(m.Name, one.node())
	}
	for _, s := range []struct {
		name string
		of   mapping
	}{{"groups", groups}, {"profiles", profiles}, {"rules", rules}, {"menus", menus}} {
		if len(s.of) > 0 {
			all.add(s.name, s.of.node())
		}
	}
	return all.node(), nil
}

// entered reports whether something was entered of the machine.
func entered(m *doc.Machine) bool {
	return m.Name != "" || len(m.Labels) > 0 || m.Notes != "" || m.Profile != "" || m.WhenIdle != "" ||
		m.ByHand != nil || m.Declared
}

// machineNode has the machine's id only where nothing else says which it is: another server gives other ids.
func machineNode(m *doc.Machine) *yaml.Node {
	one := mapping{}
	var board doc.Board
	if n := len(m.Boards); n > 0 {
		board = m.Boards[n-1]
	}
	if m.Name == "" && len(m.Boots) == 0 && board == (doc.Board{}) {
		one.word("id", m.ID)
	}
	one.word("name", m.Name)
	one.words("macs", m.Boots)
	one.word("uuid", board.UUID)
	one.word("serial", board.Serial)
	if len(m.Labels) > 0 {
		labels := mapping{}
		for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
			labels.add(k, wordNode(m.Labels[k]))
		}
		one.add("labels", labels.node())
	}
	one.word("notes", m.Notes)
	one.word("profile", m.Profile)
	if m.ByHand != nil {
		one.add("approved", valueNode(*m.ByHand))
	}
	one.word("when_idle", m.WhenIdle)
	return one.node()
}

func ruleNode(r *doc.Rule) *yaml.Node {
	one := mapping{}
	one.word("vendor", r.Vendor)
	one.word("product", r.Product)
	one.word("serial", r.Serial)
	one.words("macs", r.MACs)
	one.words("nets", r.Nets)
	one.word("port", r.Port)
	one.word("relay", r.Relay)
	if r.All {
		one.add("all", valueNode(true))
	}
	one.word("when_idle", r.WhenIdle)
	return one.node()
}

// mapping is keys and values in turn.
type mapping []*yaml.Node

func (m *mapping) add(key string, v *yaml.Node) { *m = append(*m, wordNode(key), v) }

// word adds a word that is not empty.
func (m *mapping) word(key, v string) {
	if v != "" {
		m.add(key, wordNode(v))
	}
}

// words adds a list that is not empty.
func (m *mapping) words(key string, list []string) {
	if len(list) == 0 {
		return
	}
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, v := range list {
		n.Content = append(n.Content, wordNode(v))
	}
	m.add(key, n)
}

func (m mapping) node() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Content: m} }

// wordNode is a string. One of several lines is in quotes, in which nothing of it can be lost.
func wordNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsAny(s, "\r\n") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// valueNode is a value of JSON.
func valueNode(v any) *yaml.Node {
	switch v := v.(type) {
	case map[string]any:
		m := mapping{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			m.add(k, valueNode(v[k]))
		}
		return m.node()
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, x := range v {
			n.Content = append(n.Content, valueNode(x))
		}
		return n
	case string:
		return wordNode(v)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "~"}
}
