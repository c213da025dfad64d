package cmd

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

func TestParseAt(t *testing.T) {
	now := time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"21:30": "2026-11-28T21:30:00Z", "19:00": "2026-11-29T19:00:00Z", "20:00": "2026-11-29T20:00:00Z",
		"2026-12-01 08:00": "2026-12-01T08:00:00Z", "2026-12-01T08:00:00+01:00": "2026-12-01T08:00:00+01:00",
		"+90m": "2026-11-28T21:30:00Z", "now": "0001-01-01T00:00:00Z",
	} {
		if got, err := parseAt(s, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("parseAt(%q) = %v, %v, want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "soon", "25:00", "+-5m", "+x", "2026-13-01 08:00"} {
		if got, err := parseAt(s, now); err == nil {
			t.Errorf("parseAt(%q) = %v", s, got)
		}
	}
}

// TestDidYouMean types commands and flags with a slip of the hand.
func TestDidYouMean(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"sesion", "did you mean session"},
		{"session crate", "did you mean create"},
		{"session create --iamge debian", "did you mean --image"},
		{"image lst", "did you mean list"},
		{"zzzzzz", "unknown command"},
	} {
		var out bytes.Buffer
		err := Run(t.Context(), strings.Fields(c.line), strings.NewReader(""), &out, io.Discard)
		if err == nil || ExitCode(err) != exitUsage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q and exit code %d", c.line, err, c.want, exitUsage)
		}
	}
}
