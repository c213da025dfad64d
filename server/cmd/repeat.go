package cmd

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func repeatCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "repeat", Aliases: []string{"repeats"},
		Short: "List, show and forget sessions that are made again and again",
		Long: `List, show and forget sessions that are made again and again. "diskcast session create --every RULE"
makes one; each of its times makes a session of its own, or something is said in its place.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(repeatList(e), repeatShow(e), repeatRemove(e))
	return cmd
}

func repeatList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List repeating sessions, the time that is next, and what came of the last one",
		Example: "  diskcast repeat list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Repeats(cmd.Context())
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(list)
			}
			rows := [][]string{{"REPEAT", "EVERY", "NEXT", "LAST", "WHAT CAME OF IT"}}
			for i := range list {
				r, last, words := &list[i], "-", "-"
				if n := len(r.Runs); n > 0 {
					last, words = clockTime(r.Runs[n-1].Due), runWords(&r.Runs[n-1])
				}
				rows = append(rows, []string{r.ID, r.Every, clockTime(r.Next), last, words})
			}
			return ui.List(e.Out, rows)
		},
	}
}

func repeatShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "show REPEAT",
		Example: "  diskcast repeat show r2",
		Short:   "Show a repeating session, and what came of its last times",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			r, err := c.Repeat(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			return e.showRepeat(r)
		},
	}
}

func (e *env) showRepeat(r *doc.Repeat) error {
	if e.JSON {
		return e.Doc(r)
	}
	rows := [][]string{{"repeat", r.ID}, {"every", r.Every}, {"next", clockTime(r.Next)}, {"missed times", r.Missed},
		{"spec", string(r.Spec)}}
	if r.Note != "" {
		rows = append(rows, []string{"note", r.Note})
	}
	for i := range r.Runs {
		rows = append(rows, []string{clockTime(r.Runs[i].Due), runWords(&r.Runs[i])})
	}
	return ui.Table(e.Out, rows)
}

func repeatRemove(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "rm REPEAT...", Aliases: []string{"remove"},
		Short:   "Forget repeating sessions; the sessions that were made of them stay",
		Example: "  diskcast repeat rm r2",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return e.removeEach(cmd.Context(), a, (*client.Client).RemoveRepeat)
		},
	}
}

// createRepeat has a session be made again and again.
func (e *env) createRepeat(cmd *cobra.Command, every, missed string, spec doc.Spec) error {
	for _, f := range []string{"at", "watch"} {
		if cmd.Flags().Changed(f) {
			return usage("--%s does not go with --every: its sessions are made later", f)
		}
	}
	text, err := json.Marshal(open(cmd, spec))
	if err != nil {
		return err
	}
	in := doc.RepeatSpec{V: session.Version, Every: every, Missed: missed, Spec: text}
	if err := in.Check(); err != nil {
		return usage("--missed: %w", err)
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	r, err := c.CreateRepeat(cmd.Context(), in)
	if err != nil {
		return err
	}
	if e.JSON {
		return e.Doc(r)
	}
	e.Note(fmt.Sprintf("its first session is made at %s; `diskcast repeat show %s` has what comes of each",
		clockTime(r.Next), r.ID))
	if r.Note != "" {
		e.Note(r.Note)
	}
	_, err = fmt.Fprintln(e.Out, r.ID)
	return err
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04 MST")
}

// runWords say what came of one time.
func runWords(r *doc.RepeatRun) string {
	words := r.State
	if r.Session != "" {
		words = "session " + r.Session
	}
	if r.Words != "" {
		words += ": " + r.Words
	}
	return words
}
