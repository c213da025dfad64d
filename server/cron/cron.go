// Package cron is when something comes again and again: rules as cron writes them.
//
// What a field means is github.com/robfig/cron's parser's; this package has no goroutine and no clock.
package cron

import (
	"fmt"
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
	s, err := parser.Parse(rule)
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
