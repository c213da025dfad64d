package ui

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// What comes from disks and machines cannot add a row or move the cursor, and JSON keeps every character of it.
func TestHostileOutput(t *testing.T) {
	const bad = "x\x1b[2J\nrow\u202e\U000e0041\u007f\u0085"
	var b strings.Builder
	if err := Table(&b, [][]string{{"a", bad}, {"b", "c"}}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(b.String(), "\n"); got != 2 {
		t.Errorf("%d rows: %q", got, b.String())
	}
	b.Reset()
	u := &UI{Out: &b}
	if err := u.Doc(map[string]string{"a": bad}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(strings.TrimSuffix(b.String(), "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("JSON: %q", b.String())
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil || back["a"] != bad {
		t.Errorf("JSON gives %q back, %v", back["a"], err)
	}
}
