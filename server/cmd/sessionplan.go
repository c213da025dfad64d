package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func sessionPlan(e *env) *cobra.Command {
	cmd := specCommand(e, false, e.plan)
	cmd.Use = "plan --image NAME|--profile NAME|--capture NAME --on SELECTOR|--nodes WHICH"
	cmd.Short = "Say what a session would do to each machine, before anything moves"
	cmd.Long = `Say what a session of these flags, which are those of "session create", would do to each machine, and
make none: the disk that the rule chooses and what is on it now, how much the machine receives, how it comes up again,
and what will be refused, and why.

What is on a disk is the node's own word, with the time at which it looked; a node looks when its agent starts, when a
disk comes or goes, and after each job. Of a machine that is off, its last word is shown, with its age.

A machine goes (it would begin at once), waits (it is not there, or works for another session), is refused, or is
unknown: this server never saw it. Exit code 1 when the session itself, or every machine, is refused or unknown.`
	cmd.Example = `  diskcast session plan --image debian --on 'room=210,!spare' --disk type=ssd,largest
  diskcast session create --profile lab --on @front --plan
  diskcast session plan --image debian --nodes all --json | jq '.machines[] | select(.verdict == "refused")'`
	_ = cmd.Flags().MarkHidden("watch") // it is there
	return cmd
}

// planFlags are those of a command that makes a session and can plan it instead.
func planFlags(cmd *cobra.Command) {
	cmd.Flags().Bool("plan", false, "say what it would do to each machine, and make no session (session plan)")
	cmd.Flags().Bool("dry-run", false, "the same as --plan")
}

// planned reports whether a command only plans.
func planned(cmd *cobra.Command) bool {
	for _, name := range []string{"plan", "dry-run"} {
		if on, err := cmd.Flags().GetBool(name); err == nil && on {
			return true
		}
	}
	return cmd.Name() == "plan"
}

// asked is what the server is sent of a spec: all of it, or what of it is not left to a profile.
func asked(cmd *cobra.Command, spec doc.Spec) any {
	if spec.Profile == "" && (spec.Image != "" || spec.Capture != "" || spec.Kind == erasure.Action) {
		return spec
	}
	return open(cmd, spec)
}

// open is what of a spec was asked for, for a profile to say the rest. A file of settings is all of them; a flag of one
// is over the profile's.
func open(cmd *cobra.Command, spec doc.Spec) map[string]json.RawMessage {
	fields := sparse(cmd, spec)
	if fields["personalize"] == nil || !cmd.Flags().Changed("personalize") {
		return fields
	}
	whole, err := personal.Whole(fields["personalize"])
	if err != nil {
		panic("cmd: settings have no JSON: " + err.Error()) // our own type: cannot be
	}
	fields["personalize"] = whole
	return fields
}

// plan shows a plan.
func (e *env) plan(cmd *cobra.Command, spec doc.Spec, watch bool) error {
	if watch {
		return usage("--watch follows a session, and a plan makes none")
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	p, err := c.Plan(cmd.Context(), asked(cmd, spec))
	if err != nil {
		return err
	}
	if e.JSON {
		err = e.Doc(p)
	} else {
		err = e.showPlan(p)
	}
	if err == nil && p.Hopeless() {
		err = &codeError{exitFailed, errors.New(hopeless(p))}
	}
	return err
}

func hopeless(p *doc.Plan) string {
	if len(p.Refused) > 0 {
		return "no session can be made of this: " + strings.Join(p.Refused, "; ")
	}
	return "nothing would be done: every machine is refused or unknown"
}

// maxForeseen is how many machines are named before a session is created.
const maxForeseen = 10

// foresee says, before a session is created, what of it will be refused. That nobody can say so is no reason not to
// create it: the server may be older, and looks again itself.
func (e *env) foresee(ctx context.Context, c *client.Client, spec any) {
	p, err := c.Plan(ctx, spec)
	if err != nil || len(p.Refused) > 0 { // which Create says
		return
	}
	said := 0
	for i := range p.Machines {
		m := &p.Machines[i]
		if m.Verdict != doc.PlanRefused {
			continue
		}
		if said++; said <= maxForeseen {
			e.Warn(fmt.Sprintf("will be refused: %s: %s", planName(m), strings.Join(m.Refused, "; ")))
		}
	}
	if said > maxForeseen {
		e.Warn(fmt.Sprintf("will be refused: %d more machines; `diskcast session plan` with the same flags says why",
			said-maxForeseen))
	}
}

func planName(m *doc.PlanMachine) string {
	if m.Name != "" {
		return m.Name + " (" + m.Node + ")"
	}
	return m.Node
}

func (e *env) showPlan(p *doc.Plan) error {
	rows := [][]string{{"would", p.Action}}
	if p.Image != nil {
		rows = append(rows, []string{"image", p.Image.Name + "  " + p.Image.Manifest},
			[]string{"object", units.Bytes(p.Image.ObjectSize)})
	}
	if p.On != "" {
		rows = append(rows, []string{"on", p.On})
	}
	if p.Profile != "" {
		rows = append(rows, []string{"profile", fmt.Sprintf("%s, revision %d", p.Profile, p.ProfileRevision)})
	}
	rows = append(rows, []string{"disk rule", p.Rule})
	for i := range p.MoreDisks {
		x := &p.MoreDisks[i]
		rows = append(rows, []string{fmt.Sprintf("disk %d", i+2), fmt.Sprintf("%s: %s  %s, object %s", x.Rule,
			x.Image.Name,
			x.Image.Manifest, units.Bytes(x.Image.ObjectSize))})
	}
	for _, w := range p.Refused {
		rows = append(rows, []string{"REFUSED", w})
	}
	for _, w := range p.Warnings {
		rows = append(rows, []string{"warning", w})
	}
	for _, n := range p.Notes {
		rows = append(rows, []string{"note", n})
	}
	if err := ui.Table(e.Out, rows); err != nil {
		return err
	}
	for i := range p.Machines {
		if err := showPlanMachine(e.Out, p, &p.Machines[i]); err != nil {
			return err
		}
	}
	n := p.Counts()
	_, err := fmt.Fprintf(e.Out, "\n%d machines: %d go, %d wait, %d refused, %d unknown. Nothing was moved.\n",
		len(p.Machines), n[doc.PlanGoes], n[doc.PlanWaits], n[doc.PlanRefused], n[doc.PlanUnknown])
	return err
}

func showPlanMachine(w io.Writer, p *doc.Plan, m *doc.PlanMachine) error {
	if _, err := fmt.Fprintf(w, "\n%s  %s\n", planName(m), m.Verdict); err != nil {
		return err
	}
	var rows [][]string
	add := func(what, words string) {
		if words != "" {
			rows = append(rows, []string{"  " + what, words})
		}
	}
	for _, words := range m.Refused {
		add("REFUSED", words)
	}
	if m.Waits != "" {
		add("waits", m.Waits)
	}
	if m.Old {
		add("OLD", "what follows is its last word, of "+ui.Ago(m.Seen)+": it is not there now ("+m.Where+")")
	}
	planDiskWords("disk", &m.PlanDisk, m, p.Image, add)
	for i := range m.MoreDisks {
		var im *session.Image
		if i < len(p.MoreDisks) {
			im = &p.MoreDisks[i].Image
		}
		planDiskWords(fmt.Sprintf("disk %d", i+2), &m.MoreDisks[i], m, im, add)
	}
	add("comes up", bootWords(&m.Boot))
	add("WILL NOT START", m.Boot.Unbootable)
	for _, words := range m.Warnings {
		add("warning", words)
	}
	return ui.Table(w, rows)
}

// planDiskWords add rows on one of the machine's disks.
func planDiskWords(title string, d *doc.PlanDisk, m *doc.PlanMachine, im *session.Image, add func(what, words string)) {
	if d.Disk == nil {
		return
	}
	add(title, diskWords(d.Disk))
	for i, words := range contentWords(d, m, im) {
		add(map[bool]string{true: "on it now"}[i == 0], words)
	}
	if d.Bytes > 0 {
		add("receives", fmt.Sprintf("at most %s: %s", units.Bytes(d.Bytes), d.Receives))
		if d.Differs != nil {
			add("", fmt.Sprintf("%s, if the disk is as session %s left it", units.Bytes(*d.Differs), d.Last.Session))
		}
	}
}

// contentWords are lines on what is on the disk.
func contentWords(d *doc.PlanDisk, m *doc.PlanMachine, im *session.Image) []string {
	out := []string{"not known: the node has not told of it"}
	if d.Content != nil {
		out = onDiskWords(d.Content, m.Surveyed, d.Target)
	}
	if d.Since != "" {
		out = append(out, "it may be otherwise now: "+d.Since)
	}
	if l := d.Last; l != nil {
		same := ""
		if im != nil && im.Manifest == l.Manifest {
			same = ", the same image"
		}
		out = append(out, fmt.Sprintf("session %s put image %s on it %s%s", l.Session, l.Image, ui.Ago(l.Time), same))
	}
	return out
}

func bootWords(b *doc.PlanBoot) string {
	firmware := map[string]string{session.BIOS: "BIOS: ", session.UEFI: "UEFI: "}[b.Firmware]
	return firmware + b.Words
}
