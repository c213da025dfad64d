package ui

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestCut(t *testing.T) {
	long := strings.Repeat("ä", 30)
	got := Cut("short\n"+long+"\n", 20)
	if want := "short\n" + strings.Repeat("ä", 17) + "...\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Cut(long, 3); got != long {
		t.Errorf("a terminal without a width cuts to %q", got)
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{-239 * time.Hour: "239h0m0s ago", 5 * time.Second: "0s ago"} {
		if got := Ago(time.Now().Add(d)); got != want {
			t.Errorf("%v from now is %q, want %q", d, got, want)
		}
	}
	if got := Ago(time.Now().Add(239 * time.Hour)); strings.Contains(got, "ago") || !strings.Contains(got, "ahead") {
		t.Errorf("a time of a clock that is ahead is %q", got)
	}
}

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
