package cron

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestNext has the times of rules as systemd-analyze calendar and crontab.guru give them, over changes of the clock
// too.
func TestNext(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct{ rule, from, want string }{
		{"0 3 * * 1-5", "2026-11-27 10:00", "2026-11-30 03:00"}, // a Friday
		{"0 3 * * 1-5", "2026-11-30 03:00", "2026-12-01 03:00"},
		{"*/20 8-9 1 * *", "2026-01-01 09:40", "2026-02-01 08:00"},
		{"0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"},
		{"0 0 13 * 5", "2026-02-01 00:00", "2026-02-06 00:00"}, // either of both days, as in cron
		{"@daily", "2026-03-28 12:00", "2026-03-29 00:00"},
		{"0 3 * * *", "2026-03-28 12:00", "2026-03-29 03:00"}, // 02:00 to 03:00 is not there
		{"0 3 * * *", "2026-10-24 12:00", "2026-10-25 03:00"}, // 02:00 to 03:00 is there twice
		{"15 14 1 SEP *", "2026-09-01 14:15", "2027-09-01 14:15"},
	} {
		r, err := Parse(c.rule, berlin)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		from, err := time.ParseInLocation("2006-01-02 15:04", c.from, berlin)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Next(from.UTC()).Format("2006-01-02 15:04"); got != c.want {
			t.Errorf("%s after %s: %s, want %s", c.rule, c.from, got, c.want)
		}
	}
}

// TestLeftOut: a rule whose hour is not there on some day makes nothing on it, and is known to.
func TestLeftOut(t *testing.T) {
	from := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ zone, rule, want string }{
		{"Europe/Berlin", "30 2 * * *", "2027-03-28 02:00 03:00"},
		{"Europe/Berlin", "0 2 * * *", "2027-03-28 02:00 03:00"},
		{"Europe/Berlin", "30 2,14 * * 0", "2027-03-28 02:00 03:00"}, // a Sunday
		{"Europe/Berlin", "30 2 * * 1-5", ""},
		{"Europe/Berlin", "0 3 * * *", ""},
		{"Europe/Berlin", "30 1 * * *", ""},
		{"Europe/Berlin", "*/5 * * * *", ""},
		{"Europe/Berlin", "0 2-4 * * *", ""}, // one comes in the hour behind
		{"Europe/Berlin", "0 2 1 1 *", ""},
		{"America/New_York", "15 2 * * *", "2027-03-14 02:00 03:00"},
		{"Australia/Lord_Howe", "15 2 * * *", "2027-10-03 02:00 02:30"}, // half an hour
		{"Asia/Tokyo", "30 2 * * *", ""},
		{"UTC", "30 2 * * *", ""},
	} {
		r, err := Parse(c.rule, zone(t, c.zone))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if g, ok := r.LeftOut(from); ok {
			got = g.From.Format("2006-01-02 15:04") + g.To.Format(" 15:04")
			day := g.From.Format(time.DateOnly)
			for at := r.Next(g.From.Add(-time.Minute)); at.Before(g.To); at = r.Next(at) {
				t.Errorf("%s in %s: it comes at %v, which is left out", c.rule, c.zone, at)
			}
			if c.rule == "30 2 * * *" && r.Next(g.From.Add(-time.Hour)).Format(time.DateOnly) == day {
				t.Errorf("%s in %s: it comes on %s", c.rule, c.zone, day)
			}
		}
		if got != c.want {
			t.Errorf("%s in %s: %q is left out, want %q", c.rule, c.zone, got, c.want)
		}
	}
}

// TestSunday: 7 is Sunday too, as crontab(5) has it, alone, in lists, ranges and with steps.
func TestSunday(t *testing.T) {
	for days, want := range map[string]string{"7": "0", "07": "0", "0": "0", "1-7": "0123456", "0-7": "0123456",
		"5-7": "056", "fri-7": "056", "SUN-7/7": "0", "1-7/2": "0135", "2-7/2": "246", "2-7/5": "02", "7/2": "0",
		"7-7": "0", "1-7/9223372036854775807": "1", "3,7": "03", "1-2,6-7": "0126"} {
		r, err := Parse("0 3 * * "+days, time.UTC)
		if err != nil {
			t.Errorf("%s: %v", days, err)
			continue
		}
		got := ""
		for d := range 7 { // of a week that begins with a Sunday
			day := time.Date(2026, 11, 29+d, 0, 0, 0, 0, time.UTC)
			if r.Next(day).Equal(day.Add(3 * time.Hour)) {
				got += strconv.Itoa(d)
			}
		}
		if got != want {
			t.Errorf("%s: days %s, want %s", days, got, want)
		}
	}
	for _, days := range []string{"8", "1-8", "7-1", "7/0", "1-7/0", "1-7/x", "8-7", "-7", "1-7-7", "1-7/2/3", "x-7"} {
		if r, err := Parse("0 3 * * "+days, time.UTC); err == nil {
			t.Errorf("%s is taken: %v", days, r)
		}
	}
}

func TestRefused(t *testing.T) {
	for rule, want := range map[string]string{"": "five fields", "0 3 * *": "five fields", "0 0 3 * * 1": "five fields",
		"60 * * * *": "five fields", "TZ=UTC 0 3 * * *": "time zone", "TZ=": "time zone",
		"CRON_TZ=Asia/Tokyo @daily": "time zone", "@every 1s": "five fields",
		"@reboot": "five fields", "0 0 30 2 *": "no such day",
		"5-1 * * * *":                           "five fields",
		strings.Repeat("1,", 200) + "1 * * * *": "longer"} {
		if r, err := Parse(rule, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", rule, r, err, want)
		}
	}
}

// TestDue counts what was missed, and never more than one time is due.
func TestDue(t *testing.T) {
	r, err := Parse("0 3 * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	day := func(d, h int) time.Time { return time.Date(2026, 1, d, h, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		last, now, due time.Time
		before         int
	}{
		{day(1, 3), day(2, 2), time.Time{}, 0},
		{day(1, 3), day(2, 3), day(2, 3), 0},
		{day(2, 3), day(2, 3), time.Time{}, 0},
		{day(1, 3), day(9, 10), day(9, 3), 7},
		{day(9, 3), day(1, 3), time.Time{}, 0}, // the clock was set back
	} {
		if due, before := r.Due(c.last, c.now); !due.Equal(c.due) || before != c.before {
			t.Errorf("%v to %v: %v, %d before; want %v, %d", c.last, c.now, due, before, c.due, c.before)
		}
	}
	every, err := Parse("* * * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if due, before := every.Due(day(1, 3), day(1, 3).AddDate(10, 0, 0)); before != MaxMissed || due.Year() != 2036 {
		t.Errorf("ten years of minutes: %v, %d before", due, before)
	}
}

func FuzzParse(f *testing.F) {
	for _, rule := range []string{"0 3 * * 1-5", "@daily", "TZ=", "*/5 1,2 ? JAN mon", "@every 1h", "0 3 * * 1-7/2,7"} {
		f.Add(rule)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		r, err := Parse(rule, time.UTC)
		if err != nil {
			return
		}
		from := time.Unix(1e9, 0)
		if next := r.Next(from); !next.IsZero() && !next.After(from) {
			t.Errorf("%q: the next time after %v is %v", rule, from, next)
		}
	})
}
