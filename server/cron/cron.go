// Package cron is when something comes again and again: rules as cron writes them.
//
// What a field means is github.com/robfig/cron's parser's; this package has no goroutine and no clock.
package cron

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// maxRule bounds a rule, in bytes.
const maxRule = 200

// MaxMissed bounds how many times are counted that were missed.
const MaxMissed = 10000

// Rule is a rule in a time zone.
type Rule struct {
	schedule cron.Schedule
	zone     *time.Location
}

// Parse reads a rule: minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly,
// @yearly.
func Parse(rule string, zone *time.Location) (*Rule, error) {
	switch {
	case len(rule) > maxRule:
		return nil, fmt.Errorf("the rule is longer than %d bytes", maxRule)
	case strings.Contains(rule, "TZ="):
		return nil, fmt.Errorf("rule %q: the time zone is the server's, %v, and not a part of the rule", rule, zone)
	case strings.HasPrefix(rule, "@every"):
		return nil, fmt.Errorf("rule %q: say it in five fields, such as \"*/30 * * * *\": times are of a clock, not "+
			"of a start", rule)
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	s, err := parser.Parse(sundays(rule))
	if err != nil {
		return nil, fmt.Errorf("rule %q: %w; it has five fields, minute, hour, day of the month, month and day of the "+
			"week, such as \"0 3 * * 1-5\"", rule, err)
	}
	r := &Rule{schedule: s, zone: zone}
	if r.Next(time.Unix(0, 0)).IsZero() {
		return nil, fmt.Errorf("rule %q: there is no such day", rule)
	}
	return r, nil
}

// Next is the first time of the rule after t; zero when there is none within years.
func (r *Rule) Next(t time.Time) time.Time { return r.schedule.Next(t.In(r.zone)) }

// Gap is a time of a clock that is not there: the clock is put forward over it.
type Gap struct {
	From, To time.Time // on the clock as it was before: 02:00 to 03:00
}

// LeftOut is the first time within a year after t at which the rule makes nothing, since its hour is not there and none
// of its times comes in the one behind that.
func (r *Rule) LeftOut(t time.Time) (gap Gap, ok bool) {
	for at, last := t.In(r.zone), t.AddDate(1, 0, 0); ; {
		_, change := at.ZoneBounds()
		if change.IsZero() || change.After(last) {
			return gap, false
		}
		_, before := at.Zone()
		at = change.In(r.zone)
		_, after := at.Zone()
		if after <= before {
			continue
		}
		skipped := time.Duration(after-before) * time.Second
		clock := time.FixedZone("", before)
		from := change.In(clock)
		meant := r.schedule.Next(from.Add(-time.Second))
		if meant.IsZero() || !meant.Before(from.Add(skipped)) {
			continue
		}
		if next := r.Next(at.Add(-time.Second)); !next.IsZero() && next.Before(at.Add(skipped)) {
			continue
		}
		return Gap{From: from, To: from.Add(skipped)}, true
	}
}

// Due is the last time of the rule that is not after now and is after last, zero when there is none, and how many there
// were before it since last.
func (r *Rule) Due(last, now time.Time) (due time.Time, before int) {
	for t := r.Next(last); !t.IsZero() && !t.After(now); t = r.Next(t) {
		if !due.IsZero() {
			before++
		}
		due = t
		if before >= MaxMissed {
			return now.Truncate(time.Minute), before
		}
	}
	return due, before
}

// sundays is the rule without 7, which is Sunday in crontab(5) and which the parser does not take.
func sundays(rule string) string {
	fields := strings.Fields(rule)
	if len(fields) != 5 || !strings.Contains(fields[4], "7") {
		return rule
	}
	var days []string
	for part := range strings.SplitSeq(fields[4], ",") {
		days = append(days, sunday(part)...)
	}
	fields[4] = strings.Join(days, ",")
	return strings.Join(fields, " ")
}

// sunday is one part of a list of days of the week: as it is, or the days that it means where it ends with 7.
func sunday(part string) []string {
	span, every, stepped := strings.Cut(part, "/")
	first, last, ranged := strings.Cut(span, "-")
	if !ranged {
		last = first
	}
	from, err := weekday(first)
	if to, wrong := strconv.Atoi(last); err != nil || wrong != nil || to != 7 || from < 0 || from > 7 {
		return []string{part} // the parser says what is wrong with it, if anything is
	}
	step := 1
	if stepped {
		if step, err = strconv.Atoi(every); err != nil || step < 1 {
			return []string{part}
		}
	}
	var days []string
	for d := from; d <= 7; d += min(step, 7) {
		days = append(days, strconv.Itoa(d%7))
	}
	return days
}

// weekday is the number of a day of the week.
func weekday(s string) (int, error) {
	if d := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, strings.ToLower(s)); d >= 0 {
		return d, nil
	}
	return strconv.Atoi(s)
}
