package cmd

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func sessionShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "show SESSION",
		Short:   "Show a session and a timeline of each of its nodes",
		Example: "  diskcast session show s1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			s, err := c.Session(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(s)
			}
			return e.showSession(s)
		},
	}
}

func (e *env) showSession(s *doc.Session) error {
	rows := [][]string{{"session", s.ID}, {"state", s.State}}
	if s.Spec.Kind == "" || s.Image.Name != "" || s.Image.Manifest != "" {
		rows = append(rows, []string{"image", s.Image.Name + "  " + s.Image.Manifest})
	}
	rows = append(rows, eraseRows(s)...)
	rows = append(rows, rescueRows(s)...)
	if s.Spec.On != "" {
		rows = append(rows, []string{"on", s.Spec.On})
	}
	if s.Spec.Profile != "" {
		rows = append(rows, []string{"profile", fmt.Sprintf("%s, revision %d", s.Spec.Profile, s.Spec.ProfileRevision)})
	}
	if s.Image.Manifest != "" {
		rows = append(rows, []string{"object", units.Bytes(s.Image.ObjectSize)})
	}
	// Those with several and those that erase say it themselves, and a rescue has none.
	if len(s.MoreDisks) == 0 && erasing(s) == nil && s.Spec.Kind != rescue.Action {
		rows = append(rows, []string{"disk", diskrule.Rule(s.Spec.Target)})
	}
	rows = append(rows, moreDiskRows(s)...)
	if s.Reason != "" {
		rows = append(rows, []string{"reason", s.Reason})
	}
	if s.Waits != "" {
		rows = append(rows, []string{"waits for", s.Waits})
	}
	if s.ETA > 0 {
		rows = append(rows, []string{"to go", seconds(s.ETA)})
	}
	if s.Spec.Repeat != "" {
		rows = append(rows, []string{"made of", s.Spec.Repeat + " (diskcast repeat show " + s.Spec.Repeat + ")"})
	}
	if s.Spec.Menu != "" {
		rows = append(rows, []string{"made of", "the menu " + s.Spec.Menu + ", at the console"})
	}
	if s.Spec.RetryOf != "" {
		rows = append(rows, []string{"retry of", s.Spec.RetryOf})
	}
	if len(s.RetriedBy) > 0 {
		rows = append(rows, []string{"retried by", strings.Join(s.RetriedBy, ", ")})
	}
	if s.Spec.Notes != "" {
		rows = append(rows, []string{"notes", s.Spec.Notes})
	}
	for _, h := range s.Hooks {
		rows = append(rows, hookRows(&h)...)
	}
	for _, w := range s.Warnings {
		rows = append(rows, []string{"warning", w})
	}
	for _, n := range s.Notes {
		rows = append(rows, []string{"note", n})
	}
	if c := s.Cast; c != nil {
		st := &c.Stats
		rows = append(rows, []string{"group", c.Group},
			[]string{"sent", fmt.Sprintf("%s, of it repair %s; on the wire %s", units.Bytes(st.Sent),
				units.Bytes(st.Repair), units.Bytes(st.Wire))})
		if st.Warning != "" {
			rows = append(rows, []string{"warning", st.Warning})
		}
	}
	if err := ui.Table(e.Out, rows); err != nil {
		return err
	}
	for i := range s.Parts {
		p := &s.Parts[i]
		fmt.Fprintf(e.Out, "\nnode %s  %s", nodeTitle(p), p.State)
		if p.Reason != "" && p.Reason != s.Reason && p.State != doc.Cancelled { // that of the session stands above
			fmt.Fprintf(e.Out, ": %s", p.Reason)
		}
		if p.Waits != "" {
			fmt.Fprintf(e.Out, ", waits %s", p.Waits)
		}
		if p.Phase != "" {
			fmt.Fprintf(e.Out, ", %s", paceWords(p))
		}
		if words := powerWords(p.Power); words != "" {
			fmt.Fprintf(e.Out, "\n  power %s", words)
		}
		if p.Alive != "" {
			fmt.Fprintf(e.Out, "\n  %s", p.Alive)
		}
		if p.Left != "" {
			fmt.Fprintf(e.Out, "\n  %s", p.Left)
		}
		switch {
		case p.Disk != nil:
			fmt.Fprintf(e.Out, "\n  on %s", p.Disk.Words())
		case p.Over() && !p.Planned.IsZero():
			fmt.Fprint(e.Out, "\n  on a disk that the node never named: look at the machine before you count on it")
		}
		for _, words := range moreDisksOf(p) {
			fmt.Fprintf(e.Out, "\n  %s", words)
		}
		if words := termWords(s, p); words != "" {
			fmt.Fprintf(e.Out, "\n  %s", words)
		}
		switch {
		case p.NoReceipt != "":
			fmt.Fprintf(e.Out, "\n  NO receipt: %s", p.NoReceipt)
		case p.Over() && !p.Planned.IsZero():
			words := "what was done"
			if p.Disk == nil {
				words += ", and that no disk was named"
			}
			fmt.Fprintf(e.Out, "\n  a receipt says %s: diskcast receipt get %s, or receipt page %[2]s", words, s.ID)
		}
		for _, words := range shellWords(s, p) {
			fmt.Fprintf(e.Out, "\n  %s", words)
		}
		if p.Unbootable != "" {
			fmt.Fprintf(e.Out, "\n  will not start: %s", p.Unbootable)
		}
		if p.Warning != "" {
			fmt.Fprintf(e.Out, "\n  warning: %s", p.Warning)
		}
		if p.Identity != "" {
			fmt.Fprintf(e.Out, "\n  who it is: %s", p.Identity)
		}
		fmt.Fprintln(e.Out)
		if err := printTimeline(e.Out, p.Steps, p.Reboots, p.Progress); err != nil {
			return err
		}
	}
	return nil
}

// nodeTitle is a part's node by the machine's name, where it has one, and its own.
func nodeTitle(p *doc.Part) string {
	if p.Name == "" {
		return p.Node
	}
	return p.Name + " (" + p.Node + ")"
}

// printLeft says, for each thing that can be on a disk, on which machines of a session that ended it is.
func (e *env) printLeft(s *doc.Session) {
	var words []string
	nodes := map[string][]string{}
	for i := range s.Parts {
		p := &s.Parts[i]
		if p.Left != "" && nodes[p.Left] == nil {
			words = append(words, p.Left)
		}
		nodes[p.Left] = append(nodes[p.Left], cmp.Or(p.Name, p.Node))
	}
	for _, left := range words {
		who := nodes[left]
		if n := len(who); n > 5 {
			who = append(who[:5:5], fmt.Sprintf("and %d more", n-5))
		}
		fmt.Fprintf(e.Out, "%s: %s\n", strings.Join(who, ", "), left)
	}
}

// paceWords say what a node does, how fast, and how long that takes.
func paceWords(p *doc.Part) string {
	words := p.Phase
	if p.Rate > 0 {
		words += " at " + units.BytesPerSecond(p.Rate)
	}
	if p.ETA > 0 {
		words += ", " + seconds(p.ETA) + " to go"
	}
	return words
}

func seconds(f float64) string { return (time.Duration(f) * time.Second).String() }
