package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/labfile"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

// Commands that are about many machines at once.

func machineApprove(e *env) *cobra.Command {
	var revoke bool
	cmd := &cobra.Command{
		Use: "approve SELECTOR...", Short: "Let sessions take machines, or with --revoke no more",
		Long: `With diskcast serve --approve hand or rules, a node that is not approved is told only to wait. What ` +
			`is approved is a
machine as it is known now: its NICs, and the UUID and serial of its board where they are known. A node that says
something else is not approved, and session show and the node's console say so.

--revoke takes the approval away, and no rule gives it back. A session that a machine works for goes on.

` + selectorHelp,
		Example: "  diskcast machine approve lab-07\n  diskcast machine approve 'room=210,!spare'\n  diskcast " +
			"machine approve --revoke lab-07",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			yes := !revoke
			return e.changeMachines(cmd, doc.MachinesChange{On: strings.Join(a, " "), Approved: &yes})
		},
	}
	cmd.Flags().BoolVar(&revoke, "revoke", false, "take the approval away")
	return cmd
}

func machineProfile(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "profile SELECTOR... NAME", Short: "Give machines a profile; an empty NAME takes it away",
		Long:    "A session that names neither image nor profile takes that of its machines.\n\n" + selectorHelp,
		Example: "  diskcast machine profile room=210 lab\n  diskcast session create --on room=210",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			last := len(a) - 1
			return e.changeMachines(cmd, doc.MachinesChange{On: strings.Join(a[:last], " "), Profile: &a[last]})
		},
	}
}

// idleWords are the words of --when-idle.
var idleWords = strings.Join(doc.IdleWords(), ", ") + ", " + doc.IdleMenuOf + "NAME"

func machineSet(e *env) *cobra.Command {
	var idle string
	cmd := &cobra.Command{
		Use: "set SELECTOR... --when-idle WORD", Short: "Say what machines boot when nothing is asked of them",
		Long: `Say what machines boot from the network when no session wants them:

  default   their own disk where a session gave them an image; else they wait in the agent
  own-disk  their own disk
  wait      they wait in the agent for a session
  menu      what somebody at the machine chooses; its own disk when nobody does within 15 seconds
  menu:NAME what somebody at the machine chooses from a menu of yours (diskcast menu set): images, a rescue shell
  never     nothing: their requests are not answered, and no session gets them

A disk that a session left half-written, or not yet the machine's own, is started by none of these: until a session has
written it whole, the machine waits in the agent, also one that is never (diskcast machine show, "its own disk").

default takes the machine's own word away, so that a rule's counts, where one fits (diskcast rule set --when-idle). It
holds from the next start of the machine on.

` + selectorHelp,
		Example: `  diskcast machine set room=210 --when-idle own-disk
  diskcast machine set printer-2 --when-idle never`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if idle == "" {
				return usage("say what with --when-idle: %s", idleWords)
			}
			return e.changeMachines(cmd, doc.MachinesChange{On: strings.Join(a, " "), WhenIdle: &idle})
		},
	}
	cmd.Flags().StringVar(&idle, "when-idle", "", "one of "+idleWords)
	return cmd
}

// changeMachines changes what a selector fits and lists it.
func (e *env) changeMachines(cmd *cobra.Command, change doc.MachinesChange) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	change.V = session.Version
	ms, err := c.ChangeMachines(cmd.Context(), change)
	if err != nil {
		return err
	}
	if change.Approved != nil && !*change.Approved {
		if err := e.stillWork(cmd, c, ms); err != nil {
			return err
		}
	}
	if err := e.listMachines(ms); err != nil || change.WhenIdle == nil {
		return err
	}
	for i := range ms {
		if m := &ms[i]; m.WhenIdle != doc.IdleWait && m.WhenIdle != "" && m.OwnDisk != "" {
			e.Warn(fmt.Sprintf("machine %s: when idle %s; its own disk is %s", title(m), m.Idle, m.OwnDisk))
		}
	}
	return nil
}

// stillWork says which machines work for a session that goes on although they are approved no more.
func (e *env) stillWork(cmd *cobra.Command, c *client.Client, ms []doc.Machine) error {
	nodes, err := c.Nodes(cmd.Context())
	if err != nil {
		return err
	}
	names := map[string]string{}
	for i := range ms {
		names[ms[i].ID] = title(&ms[i])
	}
	for _, n := range nodes {
		if names[n.Machine] != "" && n.Session != "" {
			e.Warn(fmt.Sprintf("machine %s works for session %s, which goes on: `diskcast session cancel %s` ends it",
				names[n.Machine], n.Session, n.Session))
		}
	}
	return nil
}

func title(m *doc.Machine) string {
	if m.Name != "" {
		return m.Name
	}
	return m.ID
}

// listMachines prints machines as a table.
func (e *env) listMachines(all []doc.Machine) error {
	if e.JSON {
		return e.Doc(all)
	}
	rows := [][]string{{"MACHINE", "NAME", "WHERE", "NODE", "PROFILE", "APPROVED", "IDLE", "LABELS", "SEEN"}}
	for _, m := range all {
		node := ""
		if n := len(m.Nodes); n > 0 {
			node = m.Nodes[n-1]
		}
		idle, _, _ := strings.Cut(m.Idle, " ")
		approved := map[bool]string{true: "yes", false: "no"}[m.Approved]
		rows = append(rows, []string{m.ID, ui.Dash(m.Name), ui.Dash(m.Where), ui.Dash(node), ui.Dash(m.Profile),
			approved, idle,
			ui.Dash(labels(&m)), ui.Ago(m.Seen)})
	}
	if err := ui.Table(e.Out, rows); err != nil {
		return err
	}
	for _, m := range all {
		if m.Waits != "" {
			fmt.Fprintf(e.Out, "%s: waits for %s\n", title(&m), m.Waits)
		}
		for _, w := range m.Warnings {
			fmt.Fprintf(e.Out, "%s: warning: %s\n", m.ID, w)
		}
	}
	return nil
}

func machineExport(e *env) *cobra.Command {
	var csv bool
	var on []string
	cmd := &cobra.Command{
		Use: "export [--csv]", Short: "Print all machines, as CSV that machine import reads",
		Long: `Print machines as CSV in UTF-8: id, name, macs, uuid, serial, notes, profile, approved (yes, no, or ` +
			`nothing where nobody
said it by hand), when_idle, and a column label:NAME for each label. A cell that begins with = + - @ has a ' before it,
so that no spreadsheet takes it for a formula; import takes that off. A label without a value is a cell with a '
alone.`,
		Example: "  diskcast machine export --csv > lab.csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			c.Exact = true // import reads it
			ms, err := e.machinesOf(cmd, c, on)
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(ms)
			}
			return labfile.WriteCSV(e.Data(), ms)
		},
	}
	cmd.Flags().BoolVar(&csv, "csv", true, "print CSV, which is the only form beside --json")
	selectFlag(cmd, &on)
	return cmd
}

func selectFlag(cmd *cobra.Command, on *[]string) {
	cmd.Flags().StringArrayVar(on, "select", nil, "only the machines that the SELECTOR fits (several: any of them)")
}

func (e *env) machinesOf(cmd *cobra.Command, c *client.Client, on []string) ([]doc.Machine, error) {
	if len(on) == 0 {
		return c.Machines(cmd.Context())
	}
	return c.Select(cmd.Context(), strings.Join(on, " "))
}

func machineImport(e *env) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Enter machines from a CSV file, whether they have come or not",
		Long: `Enter machines from a CSV file, - for stdin. The first line names columns, of those that machine ` +
			`export prints, in any
order; cells are apart by commas, semicolons or tabs, as the first line has them. A line is of the machine that has its
id, one of its MAC addresses, its UUID and serial, or its name, and of a new one when there is none. An empty cell ` +
			`leaves
what there is. All of the file is entered, or nothing of it; a second time nothing changes.`,
		Example: "  diskcast machine import lab.csv --dry-run\n  diskcast machine import lab.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r := labfile.New(diskRule)
			text, err := readFile(e, a[0])
			if err != nil {
				return err
			}
			if err := r.CSV(fileName(a[0]), text); err != nil {
				return &codeError{exitUsage, err}
			}
			r.Change.DryRun = dry
			return e.apply(cmd, r)
		},
	}
	dryFlag(cmd, &dry)
	return cmd
}

func diskRule(s string) (any, error) { return parseDisk(s) }

func dryFlag(cmd *cobra.Command, dry *bool) {
	cmd.Flags().BoolVar(dry, "dry-run", false,
		"change nothing, print what would change; exit code 6 when something would")
}

// readFile reads a file as it is, or stdin for -.
func readFile(e *env, file string) ([]byte, error) {
	if file == "-" {
		return readInput(e.in, file)
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case info.Mode().IsRegular() && info.Size() > labfile.MaxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", file, labfile.MaxFile)
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory: name a file", file)
	}
	return readInput(e.in, file)
}

func fileName(file string) string {
	if file == "-" {
		return "stdin"
	}
	return filepath.Clean(file)
}

func applyCommand(e *env) *cobra.Command {
	var files []string
	var dry, prune bool
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make machines, groups, profiles and rules what a file says",
		Long: `Make machines, groups, profiles and rules what files of YAML say, all or nothing. What the files do ` +
			`not name stays as it
is; a second time nothing changes. With --prune, what they do not name of the sections that they have is removed: of
machines, those of which something was entered.

  machines:
    - {name: lab-01, mac: 52:54:00:12:34:56, labels: {room: 210, row: 1}, profile: lab, approved: yes}
  groups:
    front: room=210,row=1
  profiles:
    lab: {image: debian, disk: "type=ssd,largest", verify: true, boot: {method: reboot}}
  rules:
    dell: {vendor: "Dell*", macs: ["52:54:00"], nets: [10.20.0.0/16]}

A label of null (~) is taken away. A profile has the fields of POST /v1/sessions (docs/operator-api.md), or disk: with a
rule as --disk takes it.`,
		Example: "  diskcast apply -f lab.yaml --dry-run\n  diskcast apply -f machines.yaml -f profiles.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usage("name a file with -f, - for stdin")
			}
			r, err := e.readLab(files)
			if err != nil {
				return err
			}
			r.Change.DryRun = dry
			if prune {
				r.Change.Prune = r.Kinds()
			}
			return e.apply(cmd, r)
		},
	}
	serverFlag(cmd, e)
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "YAML file, - for stdin (several)")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove what the files do not name, of the sections that they have")
	dryFlag(cmd, &dry)
	return cmd
}

// readLab reads files of YAML as one change.
func (e *env) readLab(files []string) (*labfile.Reader, error) {
	r := labfile.New(diskRule)
	for _, f := range files {
		text, err := readFile(e, f)
		if err != nil {
			return nil, err
		}
		if err := r.YAML(fileName(f), text); err != nil {
			return nil, &codeError{exitUsage, err}
		}
	}
	return r, nil
}

// apply sends what was read, and prints what it changed.
func (e *env) apply(cmd *cobra.Command, r *labfile.Reader) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	done, err := changeTo(cmd.Context(), c, r)
	if err != nil {
		return err
	}
	if err := e.printChanges(done); err != nil {
		return err
	}
	if r.Change.DryRun && len(done.Changes) > 0 {
		return &codeError{exitDiffers, fmt.Errorf("%d would change, and nothing was changed", len(done.Changes))}
	}
	return nil
}

// changeTo sends what was read; what the server refuses is told with its place in the files.
func changeTo(ctx context.Context, c *client.Client, r *labfile.Reader) (*doc.LabResult, error) {
	r.Change.V = session.Version
	done, err := c.ChangeLab(ctx, r.Change)
	if status := (*client.StatusError)(nil); errors.As(err, &status) && r.Where(status.Entry) != "" {
		return nil, fmt.Errorf("%s: %w; nothing was changed", r.Where(status.Entry), err)
	}
	return done, err
}
