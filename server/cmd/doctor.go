package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
	"github.com/diskcast/diskcast/server/serve"
)

func doctorCommand(e *env) *cobra.Command {
	var file string
	var patience time.Duration
	var tell bool
	var set *config.Settings
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps machines from booting and casts from arriving",
		Long: `Look at this server and its LAN, whether the server runs or not: DHCP servers, the boot directory, boot
files by TFTP and HTTP, the firewall, IGMP, MTU, limits, clock, room, keys, machines that are stuck. Every finding has
a cause and a command that mends it. What could not be looked at is said, and is not well. Nothing is changed. It
wants root, or the server's user, for most of it.

It reads the settings file as serve does, and takes the same flags. Exit code 0: nothing was found; 1: something was.
With --server (or --context) a server elsewhere looks at itself, as its page has it: all of that but the firewall, once
a minute at most.

docs/operating.md has all findings by symptom. What a node sees is asked by diskcast node doctor.`,
		Example: "  diskcast doctor\n  diskcast doctor --json | jq -r '.looks[].found[]?.id'\n  diskcast doctor " +
			"--interface eth1 --config none\n  diskcast doctor --server https://10.0.0.1:8443\n" +
			"  diskcast doctor --tell    # from a timer: what is found goes out by " +
			"web hook and mail",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("server") || cmd.Flags().Changed("context") {
				return e.doctorThere(cmd, tell)
			}
			if _, err := e.settle(cmd, file, set); err != nil {
				return err
			}
			cfg, err := serveConfig(set)
			if err != nil {
				return &codeError{exitUsage, err}
			}
			if patience <= 0 {
				return usage("--patience %v is no time to listen", patience)
			}
			s := e.subject(cmd.Context(), cfg)
			s.Patience = patience
			if !set.Querier && !e.JSON {
				e.Note(fmt.Sprintf("listening for an IGMP querier, for %v at most", patience))
			}
			r := doctor.Run(cmd.Context(), s)
			err = e.report(r)
			if tell {
				err = errors.Join(err, tellFindings(cmd.Context(), s, r))
			}
			return err
		},
	}
	set = settingsFlags(cmd, &file)
	serverFlag(cmd, e)
	f := cmd.Flags()
	f.DurationVar(&patience, "patience", doctor.Patience,
		"how long an IGMP querier is listened for, where the server is none")
	f.BoolVar(&tell, "tell", false,
		"have the server tell what was found to those of [notify] who asked for doctor.finding")
	return cmd
}

// subject is the server of the settings, asked whether it runs.
func (e *env) subject(ctx context.Context, cfg *serve.Config) *doctor.Subject {
	s := serve.Subject(*cfg)
	s.Log, s.Away = e.quiet(), "its address is not known"
	if cred, err := client.ReadCredentials(cfg.State); err == nil {
		s.Pin = cred.Pin
	}
	if s.Broken != nil {
		return s
	}
	here := *e
	here.context, here.stateFlag = "", nil
	c, err := here.dial("https://" + s.API.String())
	if err != nil {
		s.Away = err.Error()
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := c.Nodes(ctx); err != nil {
		s.Away = err.Error()
		return s
	}
	s.Server = c
	return s
}

// errFindings ends a doctor's command that found something; what it found is printed.
var errFindings = errors.New("something is wrong: see above")

// report prints what was looked at.
func (e *env) report(r *doctor.Report) error {
	found := r.Findings()
	var result error
	if len(found) > 0 {
		result = &codeError{exitFailed, errFindings}
	}
	if e.JSON {
		return errors.Join(e.Doc(r), result)
	}
	missed := 0
	for _, l := range r.Looks {
		for _, f := range l.Found {
			fmt.Fprintf(e.Out, "FOUND  %s: %s\n       cause: %s\n       mend:  %s\n", f.ID, f.What, f.Cause, f.Mend)
		}
		for _, w := range l.Well {
			fmt.Fprintf(e.Out, "well   %s: %s\n", l.Check, w)
		}
		for _, w := range l.Not {
			missed++
			fmt.Fprintf(e.Out, "not looked at  %s: %s\n", l.Check, w)
		}
	}
	switch {
	case len(found) == 0 && missed == 0:
		fmt.Fprintln(e.Out, "nothing was found")
	default:
		fmt.Fprintf(e.Out, "%d found, %d not looked at\n", len(found), missed)
	}
	return result
}

// teller has words told to those who asked for them.
type teller interface {
	Receivers(context.Context) ([]doc.NotifyReceiver, error)
	TellFinding(context.Context, doc.NotifyFinding) error
}

// tellFindings has the server tell each finding. That nobody would hear it is an error.
func tellFindings(ctx context.Context, s *doctor.Subject, r *doctor.Report) error {
	found := r.Findings()
	if len(found) == 0 {
		return nil
	}
	t, ok := s.Server.(teller)
	if !ok {
		return &codeError{exitFailed,
			fmt.Errorf("nobody is told: the server, which tells, does not answer (%s)", s.Away)}
	}
	all, err := t.Receivers(ctx)
	if err != nil {
		return &codeError{exitFailed, fmt.Errorf("nobody is told: who asks for that: %w", err)}
	}
	if !slices.ContainsFunc(all, func(n doc.NotifyReceiver) bool { return slices.Contains(n.Kinds, doc.WordFinding) }) {
		return &codeError{exitFailed, fmt.Errorf("nobody is told: no receiver of [notify] in the server's settings "+
			"asks for %s", doc.WordFinding)}
	}
	for _, f := range found {
		word := doc.NotifyFinding{V: session.Version, Finding: string(f.ID), Title: f.What,
			Text: f.Cause + "\n" + f.Mend}
		if err := t.TellFinding(ctx, word); err != nil {
			return &codeError{exitFailed, fmt.Errorf("finding %s is not told: %w", f.ID, err)}
		}
	}
	return nil
}

func nodeDoctor(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor MACHINE",
		Short: "Have a node look at its network and at itself, and judge what it says",
		Long: `Ask the agent of a machine, which has nothing to do just now, what it sees: the time from its link to
the DHCP server's answer (spanning tree), how large packets may be on the way to the server, whether multicast arrives
and somebody asks for groups, its clock, speed, duplex and errors of its NIC, disks, memory. It looks for about 10
seconds. What it says is its own word. Exit code 0: nothing was found; 1: something was.`,
		Example: "  diskcast node doctor lab-07\n  diskcast node doctor lab-07 --json | jq -r '.looks[].found[]?.id'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			v, err := c.Look(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			return e.report(doctor.OfNode(v))
		},
	}
}
