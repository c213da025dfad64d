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

// TestAtOverTheClock: a time that the clock is set forward over is refused, and one that it shows twice is told.
func TestAtOverTheClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for s, now := range map[string]time.Time{
		"2027-03-28 02:30":    time.Date(2026, 11, 28, 20, 0, 0, 0, berlin),
		"2027-03-28 02:30:00": time.Date(2026, 11, 28, 20, 0, 0, 0, berlin),
		"02:30":               time.Date(2027, 3, 27, 20, 0, 0, 0, berlin),
	} {
		if got, err := parseAt(s, now); err == nil || !strings.Contains(err.Error(), "does not exist") ||
			ExitCode(err) != exitUsage {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{"2027-10-31 02:30": "2027-10-31T02:30:00+01:00", "2027-10-31 01:59": "",
		"2027-10-31 03:00": "", "2027-10-30 02:30": ""} {
		got, err := parseAt(s, time.Date(2026, 11, 28, 20, 0, 0, 0, berlin))
		if err != nil {
			t.Fatal(err)
		}
		if words := twice(got); (want == "") != (words == "") || !strings.Contains(words, want) ||
			!strings.Contains(words, got.Format(time.RFC3339)) && want != "" {
			t.Errorf("%s: %v, %q", s, got, words)
		}
	}
}

// TestClockTime: a time that is printed says its zone.
func TestClockTime(t *testing.T) {
	at := time.Unix(1800000000, 0)
	zone, _ := at.Local().Zone()
	if got := clockTime(at); !strings.HasSuffix(got, " "+zone) {
		t.Errorf("%q does not say %s", got, zone)
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
