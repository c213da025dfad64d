// Package cloudinit says of a seed for cloud-init what cloud-init would leave out without a word that anybody sees:
// user data that it knows no format of, and documents that it cannot read.
package cloudinit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxBytes is how much of one document is looked at; personal.MaxFile is less.
const maxBytes = 1 << 20

// headers begin user data (https://docs.cloud-init.io, "User-data formats"), the longer of two alike first.
var headers = []string{"#cloud-config-archive", "#cloud-config-jsonp", "#cloud-config", "#cloud-boothook",
	"#part-handler", "#include-once", "#include", jinja, "#!", "\x1f\x8b"}

// jinja begins a template that is resolved on the machine; what is resolved begins with its second line.
const jinja = "## template: jinja"

// multipart are the fields with which a MIME message begins.
var multipart = []string{"content-type:", "mime-version:"}

// Check says what is wrong with a seed whose templates are resolved. What is empty is not looked at.
func Check(userData, metaData string) error {
	if err := checkUser(userData); err != nil {
		return fmt.Errorf("seed: user_data: %w", err)
	}
	if err := checkMeta(metaData); err != nil {
		return fmt.Errorf("seed: meta_data: %w", err)
	}
	return nil
}

// CheckTemplates is Check of a seed that is not resolved: of a template, its header is judged where that is text alone.
func CheckTemplates(userData, metaData string) error {
	if strings.Contains(metaData, "{{") {
		metaData = ""
	}
	if strings.Contains(userData, "{{") {
		first, _, _ := strings.Cut(strings.TrimLeft(userData, " \t\r\n"), "\n")
		if userData = ""; !strings.Contains(first, "{{") {
			if _, err := header(first); err != nil {
				return fmt.Errorf("seed: user_data: %w", err)
			}
		}
	}
	return Check(userData, metaData)
}

// mimeWithin is in how many bytes cloud-init looks for MIME-Version.
const mimeWithin = 4096

func checkUser(text string) error {
	if text == "" {
		return nil
	}
	head, err := header(text)
	switch {
	case err != nil:
		return err
	case head == jinja:
		_, rest, _ := strings.Cut(text, "\n")
		if _, err := header(rest); err != nil {
			return fmt.Errorf("after %q: %w", jinja, err)
		}
	case slices.Contains(multipart, head) &&
		!strings.Contains(strings.ToLower(text[:min(len(text), mimeWithin)]), "mime-version:"):
		return fmt.Errorf("it has no MIME-Version: in its first %d bytes, without which cloud-init takes it for no "+
			"MIME message and would leave it out", mimeWithin)
	case head == "#cloud-config":
		return document(text, yaml.MappingNode, "a map (keys with values)")
	case head == "#cloud-config-archive":
		return document(text, yaml.SequenceNode, "a list of parts")
	}
	return nil
}

// header is what the text begins with. cloud-init looks past blank, and takes large letters for small ones.
func header(text string) (string, error) {
	first, _, _ := strings.Cut(strings.TrimLeft(text, " \t\r\n"), "\n")
	low := strings.ToLower(first)
	for _, h := range append(headers, multipart...) {
		if strings.HasPrefix(low, h) || strings.HasPrefix(first, h) { // of gzip no letter is made small
			return h, nil
		}
	}
	return "", errors.New("its first line is none that cloud-init knows, which would leave it out: begin it with " +
		"#cloud-config (YAML), #! (a script), #include, #include-once, #cloud-boothook, #part-handler, " +
		"#cloud-config-archive, \"" + jinja + "\", or Content-Type: of a MIME message")
}

func checkMeta(text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	root, err := parse(text)
	switch {
	case err != nil:
		return err
	case root == nil || root.Kind != yaml.MappingNode:
		return errors.New("it is not a map (keys with values) of YAML, such as `instance-id: pc-1`")
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if key.Value == "local-hostname" && !isString(value) {
			return fmt.Errorf("line %d: local-hostname is no string to YAML: put it in quotes, such as "+
				"local-hostname: \"1234\"", value.Line)
		}
	}
	return nil
}

// isString reports whether YAML 1.1, which cloud-init reads, and 1.2 take the value for a string.
func isString(n *yaml.Node) bool {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
		return false
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|
		yaml.TaggedStyle) != 0:
		return true
	}
	switch strings.ToLower(n.Value) {
	case "", "yes", "no", "on", "off":
		return false
	}
	return strings.Trim(n.Value, "0123456789_:.+-") != "" // 1_000 and 12:30 are numbers to YAML 1.1
}

// document refuses YAML that is not of the kind. Nothing at all is no mistake.
func document(text string, kind yaml.Kind, what string) error {
	root, err := parse(text)
	if err != nil {
		return err
	}
	if root != nil && root.Kind != kind && root.ShortTag() != "!!null" {
		return fmt.Errorf("line %d: it is not %s of YAML, and cloud-init would leave it out", root.Line, what)
	}
	return nil
}

// parse reads one document of YAML; nil when there is none. Its errors quote nothing of it, which may be secret.
func parse(text string) (*yaml.Node, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("it has %d bytes, at most %d are taken", len(text), maxBytes)
	}
	if err := printable(text); err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("it is no YAML, and cloud-init would leave it out: %s; look at its indentation and "+
			"quotes", place(err))
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("it is more than one document of YAML, and cloud-init reads none of several: take out " +
			"the line ---")
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// printable refuses what YAML 1.1 has no place for (5.1), and tabs that indent.
func printable(text string) error {
	line := 0
	for l := range strings.Lines(text) {
		line++
		for _, r := range l {
			switch {
			case r == '\t', r == '\n', r == '\r', r == 0x85, r >= ' ' && r <= '~',
				r >= 0xa0 && r != 0xfffe && r != 0xffff:
			default:
				return fmt.Errorf("line %d has the control character U+%04X, for which cloud-init would leave all of "+
					"it out: take it out", line, r)
			}
		}
		if rest := strings.TrimLeft(l, " "); strings.HasPrefix(rest, "\t") && strings.TrimSpace(rest) != "" {
			return fmt.Errorf("line %d is indented by a tab, for which cloud-init would leave all of it out: put "+
				"spaces", line)
		}
	}
	return nil
}

// place is the line of a YAML error, whose other words may quote.
func place(err error) string {
	_, rest, _ := strings.Cut(err.Error(), "line ")
	line := 0
	if n, _ := fmt.Sscanf(rest, "%d", &line); n == 1 {
		return fmt.Sprintf("line %d or before", line)
	}
	return "somewhere in it"
}
