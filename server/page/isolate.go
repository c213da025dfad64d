package page

import (
	"fmt"
	"html/template"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"
)

// isolate has templates put each string that they print as text into an element of its own, <bdi>, so that one which
// runs from right to left does not reorder what stands beside it. No template has to think of it. What stands where
// there can be no element, or is a paragraph by itself, is left alone.
func isolate(t *template.Template) {
	for _, one := range t.Templates() {
		if one.Tree != nil {
			(&isolator{}).list(one.Tree.Root)
		}
	}
}

// apart is what a template prints, in its element where it is a string.
func apart(v any) any {
	if v == nil {
		return v
	}
	if safe, ok := v.(template.HTML); ok {
		return safe
	}
	r := reflect.Indirect(reflect.ValueOf(v))
	_, words := v.(fmt.Stringer)
	_, wrong := v.(error)
	if !words && !wrong && r.Kind() != reflect.String {
		return v
	}
	s := fmt.Sprint(v)
	if r.Kind() == reflect.String {
		s = r.String()
	}
	if s == "" {
		return s
	}
	return template.HTML("<bdi>" + template.HTMLEscapeString(s) + "</bdi>")
}

var (
	// figures are words of templates that print nothing of anybody's.
	figures = []string{"bytes", "speed", "bits", "ago", "clock", "took", "percent", "plural"}
	// textOnly are elements that hold text alone (HTML, 13.1.2), or whose elements are not HTML's, or whose lines are
	// paragraphs of the bidirectional algorithm.
	textOnly = []string{"title", "option", "textarea", "script", "style", "svg", "pre"}
)

// isolator walks a template, and knows where in the HTML it is.
type isolator struct {
	tag    string // what is written of the tag that is open; empty: none is
	quote  byte   // of the attribute that is open in it
	within string // the element of textOnly
}

func (i *isolator) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			i.text(n.Text)
		case *parse.IfNode:
			i.branches(&n.BranchNode)
		case *parse.RangeNode:
			i.branches(&n.BranchNode)
		case *parse.WithNode:
			i.branches(&n.BranchNode)
		case *parse.ActionNode:
			if i.tag == "" && i.within == "" && prints(n) {
				n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos,
					Args: []parse.Node{parse.NewIdentifier("apart").SetPos(n.Pos)}})
			}
		}
	}
}

// branches are two ways from one place to one other: html/template holds that.
func (i *isolator) branches(n *parse.BranchNode) {
	was := *i
	i.list(n.List)
	was.list(n.ElseList)
}

// prints reports whether an action prints somebody's words.
func prints(n *parse.ActionNode) bool {
	if len(n.Pipe.Decl) > 0 {
		return false
	}
	last := n.Pipe.Cmds[len(n.Pipe.Cmds)-1]
	f, ok := last.Args[0].(*parse.IdentifierNode)
	return !ok || !slices.Contains(figures, f.Ident)
}

// text goes on through a piece of HTML.
func (i *isolator) text(b []byte) {
	for _, c := range b {
		switch {
		case i.tag == "" && c == '<':
			i.tag = "<"
		case i.tag == "":
		case i.quote != 0:
			if c == i.quote {
				i.quote = 0
			}
		case c == '"' || c == '\'':
			i.quote = c
		case c == '>':
			i.end()
		default:
			i.tag += string(c)
		}
	}
}

// end is behind a tag.
func (i *isolator) end() {
	name, _, _ := strings.Cut(strings.TrimPrefix(i.tag, "<"), " ")
	i.tag = ""
	switch {
	case i.within == "" && slices.Contains(textOnly, name):
		i.within = name
	case name == "/"+i.within:
		i.within = ""
	}
}
