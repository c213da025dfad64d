package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func sessionGo(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "go SESSION",
		Short: "Start a session now, with the nodes that are there",
		Long: `Start a session now, with the nodes that are there, whatever it waits for: more nodes, its start ` +
			`time. Of a session that
has started, the nodes that did not come are waited for no longer. Those are absent; they may still come while the
session lasts. Where the server bounds the casts at once, a session still waits for its turn.`,
		Example: "  diskcast session go s4",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			s, err := c.Go(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			return e.changed(s)
		},
	}
}

func sessionEdit(e *env) *cobra.Command {
	var minNodes, priority int
	var maxWait time.Duration
	var rate, at, notes string
	cmd := &cobra.Command{
		Use:   "edit SESSION",
		Short: "Change what may still be changed of a session",
		Long: `Change what may still be changed of a session: all of this while it waits, --max-wait and --notes ` +
			`while it goes, and
--notes when it is over. What is not given stays.`,
		Example: "  diskcast session edit s4 --min-nodes 10 --max-wait 5m\n  diskcast session edit s4 --priority 10",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			change := doc.SessionChange{V: session.Version}
			given := false
			has := func(name string) bool {
				changed := cmd.Flags().Changed(name)
				given = given || changed
				return changed
			}
			if has("min-nodes") {
				change.MinNodes = &minNodes
			}
			if has("max-wait") {
				s := maxWait.Seconds()
				change.MaxWait = &s
			}
			if has("rate") {
				r, err := parseRate(rate)
				if err != nil {
					return err
				}
				change.Rate = &r
			}
			if has("at") {
				t, err := e.readAt(at)
				if err != nil {
					return err
				}
				change.At = &t
			}
			if has("priority") {
				change.Priority = &priority
			}
			if has("notes") {
				change.Notes = &notes
			}
			if !given {
				return usage("say what is to change (see `diskcast session edit --help`)")
			}
			if err := checkChange(&change); err != nil {
				return err
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			s, err := c.EditSession(cmd.Context(), a[0], change)
			if err != nil {
				return err
			}
			return e.changed(s)
		},
	}
	f := cmd.Flags()
	f.IntVar(&minNodes, "min-nodes", 0, "nodes to wait for before the session starts")
	f.DurationVar(&maxWait, "max-wait", 0, "how long to wait for nodes; 0: for ever")
	f.StringVar(&rate, "rate", "", "the cast's rate, such as 900M (bits a second); empty: found by itself")
	f.StringVar(&at, "at", "", "when it starts at the earliest, as in session create; now: at once")
	f.IntVar(&priority, "priority", 0, "which session is next where the server bounds the casts at once")
	f.StringVar(&notes, "notes", "", "the operator's own notes")
	return cmd
}

func sessionRetry(e *env) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "retry SESSION",
		Short: "Do again what is not done of a session that is over",
		Long: `Make a session that does again what is not done of one that is over: the same image, disk and ` +
			`settings, for the nodes
that failed, did not come or were cancelled. Each of the two sessions names the other.`,
		Example: "  diskcast session retry s4 --watch",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			s, err := c.Retry(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			return e.created(cmd.Context(), c, s, watch)
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "follow the session until it is over")
	return cmd
}

func sessionRemove(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "rm SESSION...", Aliases: []string{"remove"},
		Short:   "Forget sessions that are over; their receipts stay",
		Example: "  diskcast session rm s1 s2",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return e.removeEach(cmd.Context(), a, (*client.Client).RemoveSession)
		},
	}
}

// removeEach removes one after the other, and says which are gone when one is not.
func (e *env) removeEach(ctx context.Context, ids []string,
	remove func(c *client.Client, ctx context.Context, id string) error) error {
	return e.eachGone(ids, "removed", func(c *client.Client, id string) error { return remove(c, ctx, id) })
}

// eachGone does one after the other, and says which are gone when one is not; how is what becomes of each.
func (e *env) eachGone(ids []string, how string, do func(c *client.Client, id string) error) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	for i, id := range ids {
		if err := do(c, id); err != nil {
			return errors.Join(err, e.gone(how, ids[:i]...))
		}
	}
	return e.gone(how, ids...)
}

// gone says what is there no longer; how is what was done with it, and the field of the document.
func (e *env) gone(how string, what ...string) error {
	if len(what) == 0 {
		return nil
	}
	switch {
	case e.Form == ui.FormName:
		return e.Doc(what)
	case e.JSON:
		return e.Doc(map[string][]string{how: what})
	}
	for _, w := range what {
		if _, err := fmt.Fprintf(e.Out, "%s %s\n", w, how); err != nil {
			return err
		}
	}
	return nil
}

// changed says how a session is now.
func (e *env) changed(s *doc.Session) error {
	for _, w := range s.Warnings {
		e.Warn(w)
	}
	if e.JSON {
		return e.Doc(s)
	}
	words := s.ID + " " + s.State
	if s.Waits != "" {
		words += "; waits for " + s.Waits
	}
	_, err := fmt.Fprintln(e.Out, words)
	return err
}

// parseAt reads a time: 21:30 (today, or tomorrow when that is past), 2026-11-28 21:30, RFC 3339, +90m, or now.
func parseAt(s string, now time.Time) (time.Time, error) {
	if s == "now" {
		return time.Time{}, nil
	}
	if d, ok := strings.CutPrefix(s, "+"); ok {
		wait, err := time.ParseDuration(d)
		if err != nil || wait < 0 {
			return time.Time{}, usage("--at %.40q is not a duration such as +90m", s)
		}
		return now.Add(wait).Round(time.Second), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, form := range []string{time.DateTime, "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			return t, skipped(t, form, s)
		}
	}
	t, err := time.ParseInLocation("15:04", s, now.Location())
	if err != nil {
		return time.Time{}, usage("--at %.40q is no time such as 21:30, \"2026-11-28 21:30\", 2026-11-28T21:30:00Z "+
			"or +90m",
			s)
	}
	hour, minute := t.Hour(), t.Minute()
	t = time.Date(now.Year(), now.Month(), now.Day(), hour, minute, 0, 0, now.Location())
	if !t.After(now) {
		t = time.Date(now.Year(), now.Month(), now.Day()+1, hour, minute, 0, 0, now.Location())
	}
	return t, skipped(t, "15:04", fmt.Sprintf("%02d:%02d", hour, minute))
}

// skipped refuses a time of the clock that it is set forward over: t, which stands for it, is another one.
func skipped(t time.Time, form, s string) error {
	if t.Format(form) == s {
		return nil
	}
	return usage("--at %s does not exist on that day in %v: the clock is set forward over it; say another time, such "+
		"as %s", s, t.Location(), t.Format(time.RFC3339))
}

// readAt is parseAt from now on, and tells which is taken of two instants at which the clock shows the time.
func (e *env) readAt(s string) (time.Time, error) {
	t, err := parseAt(s, time.Now())
	if _, whole := time.Parse(time.RFC3339, s); err == nil && whole != nil && !strings.HasPrefix(s, "+") {
		if words := twice(t); words != "" {
			e.Note("--at " + words)
		}
	}
	return t, err
}

// twice says which of two instants is taken, where the clock shows the time at both; empty where it does not.
func twice(t time.Time) string {
	for _, by := range []time.Duration{-2 * time.Hour, -time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour,
		2 * time.Hour} {
		const clock = "2006-01-02 15:04:05"
		if other := t.Add(by); other.Format(clock) == t.Format(clock) {
			which := map[bool]string{true: "second", false: "first"}[by < 0]
			return fmt.Sprintf("%s is there twice in %v, for the clock is set back: the %s is taken, %s; the other "+
				"is %s", t.Format("2006-01-02 15:04"), t.Location(), which, t.Format(time.RFC3339),
				other.Format(time.RFC3339))
		}
	}
	return ""
}
