package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func sessionList(e *env) *cobra.Command {
	var all, open bool
	var since time.Duration
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List sessions",
		Long: `List the sessions that are not over, and those that ended within a day. --since and --all list older ones
too; --json lists all, but with --since. --open lists only those that are not over, also with --json. The server
keeps the last 200 that are over, and the receipts of all.`,
		Example: `  diskcast session list --since 72h
  diskcast session list --open -o name`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Sessions(cmd.Context())
			if err != nil {
				return err
			}
			hidden := 0
			if open {
				if all || cmd.Flags().Changed("since") {
					return usage("--open lists what is not over, --all and --since what is: leave one away")
				}
				list = slices.DeleteFunc(list, func(s doc.Session) bool { return s.Over() })
			}
			if !all && (!e.JSON || cmd.Flags().Changed("since")) {
				list, hidden = recent(list, since)
			}
			if e.JSON {
				return e.Doc(list)
			}
			rows := [][]string{{"SESSION", "STATE", "WHAT", "NODES", "DONE", "FAILED", "GROUP", "CREATED", "REASON"}}
			for _, s := range list {
				done, failed := tally(s.Parts)
				group := "-"
				if s.Cast != nil {
					group = s.Cast.Group
				}
				rows = append(rows, []string{s.ID, s.State, what(&s), strconv.Itoa(len(s.Parts)),
					strconv.Itoa(done), strconv.Itoa(failed), group, ui.Ago(s.Created), remark(&s)})
			}
			if err := ui.List(e.Out, rows); err != nil {
				return err
			}
			if hidden > 0 {
				e.Note(fmt.Sprintf("%d sessions ended longer than %v ago: --all lists them", hidden, since))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "list all")
	f.BoolVar(&open, "open", false, "list only those that are not over")
	f.DurationVar(&since, "since", 24*time.Hour, "list those that ended within this time")
	return cmd
}

// recent leaves out sessions that ended before so long, and counts them. The newest end is now at the earliest: the
// server's clock may be another one.
func recent(list []doc.Session, since time.Duration) (kept []doc.Session, hidden int) {
	now := time.Now()
	for i := range list {
		if list[i].Ended.After(now) {
			now = list[i].Ended
		}
	}
	kept = []doc.Session{}
	for i := range list {
		if list[i].Over() && now.Sub(list[i].Ended) > since {
			hidden++
			continue
		}
		kept = append(kept, list[i])
	}
	return kept, hidden
}

// remark is the reason of a session's end, or how many of its nodes will not start by themselves or have a warning:
// done is not always well.
func remark(s *doc.Session) string {
	warned := 0
	for i := range s.Parts {
		if s.Parts[i].Warning != "" || s.Parts[i].Identity != "" {
			warned++
		}
	}
	var words []string
	switch {
	case s.Reason != "":
		words = append(words, s.Reason)
	case s.Unbootable > 0:
		words = append(words, fmt.Sprintf("%d will not start by themselves", s.Unbootable))
	}
	if s.Waits != "" {
		words = append(words, "waits for "+s.Waits)
	}
	if warned > 0 {
		words = append(words, fmt.Sprintf("%d with a warning", warned))
	}
	out := strings.Join(words, "; ")
	if out != "" && s.Reason == "" && s.Waits == "" {
		out += ": session show " + s.ID
	}
	return out
}

func tally(parts []doc.Part) (done, failed int) {
	for _, p := range parts {
		switch {
		case p.State == doc.Done:
			done++
		case p.Over():
			failed++
		}
	}
	return done, failed
}
