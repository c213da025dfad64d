package erasure

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSpec(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string // of the error; empty: none
	}{
		{Spec{Method: Zero}, ""},
		{Spec{Method: Overwrite, Passes: 16, Pattern: "00ff", ReadBack: ReadAll}, ""},
		{Spec{Method: NVMeSanitizeWrite, Passes: 3, ReadBack: ReadNone}, ""},
		{Spec{}, `method "" is none of discard, `},
		{Spec{Method: Zero, ReadBack: "some"}, "none of all, sample, none"},
		{Spec{Method: Zero, Passes: 2}, "has no passes"},
		{Spec{Method: Overwrite, Passes: 17}, "not 1 to 16"},
		{Spec{Method: Overwrite, Passes: -1}, "not 1 to 16"},
		{Spec{Method: Zero, Pattern: "00"}, "takes no pattern"},
		{Spec{Method: Overwrite, Pattern: "0"}, "is not hex"},
		{Spec{Method: Overwrite, Pattern: strings.Repeat("00", 65)}, "is not hex of 1 to 64"},
	} {
		err := c.spec.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.spec, err, c.want)
		}
		if err == nil && (c.spec.Passes < 1 || c.spec.ReadBack == "") {
			t.Errorf("not filled in: %+v", c.spec)
		}
	}
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte(`{"method": "overwrite", "passes": 2, "pattern": "aa55", "read_back": "all"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSpec(b)
		if err == nil && (s.Passes < 1 || s.Passes > 16 || s.ReadBack == "" || len(s.Pattern) > 2*maxPattern) {
			t.Errorf("%+v", s)
		}
	})
}

func TestParseSpec(t *testing.T) {
	s, err := ParseSpec([]byte(`{"method": "overwrite", "passes": 2, "pattern": "aa55", "read_back": "all"}`))
	if want := (Spec{Method: Overwrite, ReadBack: ReadAll, Passes: 2, Pattern: "aa55"}); err != nil || s != want {
		t.Errorf("%v, %+v, want %+v", err, s, want)
	}
	for raw, want := range map[string]string{
		``: "cannot be read", `{"method": "zero"} {}`: "something follows",
		`{"method": "zero", "force": true}`: "cannot " +
			"be read",
		`{"method": "shred"}`: "is none of", `{"method": "` + strings.Repeat("x", maxSpec) + `"}`: "longer than",
	} {
		if _, err := ParseSpec([]byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v; want %q", raw, err, want)
		}
	}
}

// TestResult is read back as it was written, and says what matters in words.
func TestResult(t *testing.T) {
	r := Result{V: Version, Disk: Disk{Path: "/dev/sda", Model: "M", Serial: "S"}, Method: Zero, OK: true, Term: Clear,
		Reason: "why", Seconds: 61,
		ReadBack: ReadBack{Scope: ReadAll, Bytes: 4096, Blocks: 1, Wanted: 1, FirstBad: -1},
		Unreached: []Area{{AreaReserve,
			0, "reserve"}}, Unseen: []Area{}}
	text, err := json.Marshal(r)
	var back Result
	if err != nil || json.Unmarshal(text, &back) != nil || back.Words() != r.Words() || !back.ReadBack.OK() {
		t.Errorf("%s, %v", text, err)
	}
	for _, want := range []string{"M, serial S, erased by zero in 1m1s", "1 of 1 blocks are what was written",
		"SP 800-88 clear: why", "not reached: reserve"} {
		if !strings.Contains(r.Words(), want) {
			t.Errorf("%q does not say %q", r.Words(), want)
		}
	}
	r.Term, r.ReadBack.Kept, r.ReadBack.FirstBad = None, 1, 8192
	for _, want := range []string{"no term of NIST SP 800-88", "1 of 1 blocks STILL HOLD WHAT WAS THERE BEFORE",
		"offset 8192"} {
		if !strings.Contains(r.Words(), want) {
			t.Errorf("%q does not say %q", r.Words(), want)
		}
	}
	r.OK, r.Failure = false, "it broke"
	if r.Words() != "it broke" || r.ReadBack.OK() || (&ReadBack{Scope: ReadNone}).Words() != "nothing was read back" {
		t.Error(r.Words())
	}
}
