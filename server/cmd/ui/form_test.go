package ui

import (
	"bytes"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestYAML: what another reader makes of it is what it was, also where a word looks like a number or a time.
func TestYAML(t *testing.T) {
	type thing struct {
		ID    string   `json:"id"`
		Words []string `json:"words"`
		Big   int64    `json:"big"`
	}
	was := thing{"s1", []string{"yes", "007", "1e3", "2026-11-29", "a: b", "two\nlines", "", "\u202e"}, 1 << 53}
	var out bytes.Buffer
	u := UI{Out: &out}
	if err := u.SetForm(FormYAML); err != nil {
		t.Fatal(err)
	}
	if err := u.Doc(was); err != nil {
		t.Fatal(err)
	}
	var is struct {
		ID    string
		Words []string
		Big   int64
	}
	if err := yaml.Unmarshal(out.Bytes(), &is); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	if is.ID != was.ID || is.Big != was.Big || len(is.Words) != len(was.Words) {
		t.Fatalf("%s is read as %+v", out.String(), is)
	}
	for i := range was.Words {
		if is.Words[i] != was.Words[i] {
			t.Errorf("%q became %q", was.Words[i], is.Words[i])
		}
	}
}
