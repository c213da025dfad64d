package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet/selector"
)

func machinePower(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "power",
		Short: "Switch machines on and off, and say what they boot next",
		Long: `Switch machines on and off, and say what they boot next, by their BMC (IPMI, Redfish), a magic packet ` +
			`(Wake-on-LAN), a
web hook or a command of the server's owner. Whatever is asked of a machine is read back: it is done when the machine
is seen to be so, and fails in words when it is not. What Wake-on-LAN did cannot be read back, and is called unknown.`,
		Example: `  diskcast machine power set lab-07 --driver redfish --address 10.9.0.7 --user admin --password-file -
  diskcast machine power bootonce network lab-07 lab-08 && diskcast machine power cycle lab-07 lab-08
  diskcast machine power on --on 'room=210,!spare' --at-once 10
  diskcast machine power state --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(powerSet(e), powerShow(e), powerForget(e))
	for op, short := range map[string]string{
		doc.PowerState: "Read whether machines are on", doc.PowerOn: "Switch machines on, and see that they are",
		doc.PowerOff:   "Take machines' power away, without asking their systems",
		doc.PowerCycle: "Take machines' power away, see them off, and switch them on",
	} {
		cmd.AddCommand(powerDo(e, op, short))
	}
	cmd.AddCommand(powerDo(e, doc.PowerBootOnce, "Have the next start, and no other, boot network, disk or setup"))
	return cmd
}

func powerSet(e *env) *cobra.Command {
	in := doc.PowerSet{V: session.Version}
	var secret, template string
	cmd := &cobra.Command{
		Use: "set MACHINE --driver DRIVER",
		Example: `  diskcast machine power set lab-07 --driver redfish --address 10.9.0.7 --user admin --password-file -
  diskcast machine power set lab-08 --driver wol`,
		Short: "Say how a machine's power is reached, in the place of what was said before",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if in.Driver == "" {
				return usage("name a driver with --driver: command, ipmi, redfish, webhook or wol")
			}
			b, err := e.readText(secret)
			if err != nil {
				return fmt.Errorf("password: %w", err)
			}
			in.Password = strings.TrimRight(b, "\r\n")
			if in.Template, err = e.readText(template); err != nil {
				return fmt.Errorf("template: %w", err)
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			p, err := c.SetPower(cmd.Context(), a[0], in)
			if err != nil {
				return err
			}
			return e.printPower(p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Driver, "driver", "", "command, ipmi, redfish, webhook or wol")
	f.StringVar(&in.Address, "address", "", "of the BMC or the hook; wol: of a relay or a directed broadcast")
	f.StringVar(&in.User, "user", "", "of the BMC")
	f.StringVar(&secret, "password-file", "", "file with the BMC's password or the hook's key; - is standard input")
	f.StringSliceVar(&in.MACs, "mac", nil, "wol: NICs to wake, in place of those that the machine boots from")
	f.StringVar(&in.System, "system", "", "redfish: which of the BMC's systems")
	f.StringVar(&in.Command, "command", "", "command: one of the server owner's")
	f.StringVar(&template, "template-file", "", "webhook: file with the template of the request's body")
	f.StringVar(&in.Pin, "pin", "", "of the BMC's certificate; without it the first one seen is kept")
	return cmd
}

// maxText bounds files that are given to a command.
const maxText = 64 << 10

// readText reads a file or, for -, standard input; nothing where no file is named.
func (e *env) readText(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if name != "-" {
		b, err := readWhole(name, maxText)
		return string(b), err
	}
	b, err := io.ReadAll(io.LimitReader(e.in, maxText+1))
	if err == nil && len(b) > maxText {
		err = fmt.Errorf("it is longer than %d bytes", maxText)
	}
	return string(b), err
}

func powerShow(e *env) *cobra.Command {
	return powerOne(e, "show MACHINE", "Show how a machine's power is reached; its password is shown to nobody",
		"  diskcast machine power show lab-07", (*client.Client).Power)
}

func powerForget(e *env) *cobra.Command {
	return powerOne(e, "forget MACHINE", "Forget how a machine's power is reached, and its password",
		"  diskcast machine power forget lab-07", (*client.Client).ForgetPower)
}

func powerOne(e *env, use, short, example string,
	do func(*client.Client, context.Context, string) (*doc.Power, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			p, err := do(c, cmd.Context(), a[0])
			if err != nil {
				return err
			}
			return e.printPower(p)
		}}
}

func (e *env) printPower(p *doc.Power) error {
	if e.JSON {
		return e.Doc(p)
	}
	secret := "none"
	if p.Secret {
		secret = "stored, sealed"
		if p.Problem != "" {
			secret = p.Problem
		}
	}
	for _, w := range p.Warnings {
		e.Warn(w)
	}
	return ui.Table(e.Out, [][]string{{"machine", p.Machine}, {"name", ui.Dash(p.Name)}, {"driver", p.Driver},
		{"address", ui.Dash(p.Address)}, {"user", ui.Dash(p.User)}, {"password", secret},
		{"NICs", ui.Dash(strings.Join(p.MACs, " "))}, {"system", ui.Dash(p.System)}, {"command", ui.Dash(p.Command)},
		{"certificate", ui.Dash(p.Pin)}})
}

// powerExamples are examples of powerDo's commands.
var powerExamples = map[string]string{
	doc.PowerState: "  diskcast machine power state --all\n  diskcast machine power state --on room=210 --json",
	doc.PowerOn: `  diskcast machine power on lab-07
  diskcast machine power on --on 'room=210,!spare' --at-once 10`,
	doc.PowerOff:   "  diskcast machine power off --on @front",
	doc.PowerCycle: "  diskcast machine power cycle lab-07 lab-08 --gap 5s",
	doc.PowerBootOnce: `  diskcast machine power bootonce network lab-07
  diskcast machine power bootonce disk --on room=210`,
}

func powerDo(e *env, op, short string) *cobra.Command {
	spec := doc.PowerSpec{V: session.Version, Op: op}
	var gap time.Duration
	var on []string
	use := op + " --on SELECTOR|MACHINE..."
	if op == doc.PowerBootOnce {
		use = op + " network|disk|setup --on SELECTOR|MACHINE..."
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Example: powerExamples[op],
		Long: short + `.

Machines are worked at as --at-once and --gap say, so that neither fuses nor networks see all at once. Interrupted, no
machine begins any more. Each machine's end is a line; the exit code is not 0 when one failed.`,
		RunE: func(cmd *cobra.Command, a []string) error {
			if op == doc.PowerBootOnce {
				if len(a) == 0 {
					return usage("say what is to be booted: network, disk or setup")
				}
				spec.Device, a = a[0], a[1:]
			}
			spec.Machines, spec.On = a, strings.Join(on, " ")
			if err := checkOn(spec.On); err != nil {
				return err
			}
			if cmd.Flags().Changed("gap") {
				seconds := gap.Seconds()
				spec.Gap = &seconds
			}
			if err := spec.Check(); err != nil {
				return &codeError{exitUsage, err}
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			return e.power(cmd.Context(), c, spec)
		},
	}
	onFlag(cmd.Flags(), &on)
	cmd.Flags().BoolVar(&spec.All, "all", false, "all machines whose power is set up")
	cmd.Flags().IntVar(&spec.AtOnce, "at-once", 20, "machines in work together")
	cmd.Flags().DurationVar(&gap, "gap", 500*time.Millisecond, "between the starts of two machines")
	return cmd
}

// checkOn refuses a selector that cannot be, as a wrong command line.
func checkOn(on string) error {
	if on == "" {
		return nil
	}
	if _, err := selector.Parse(on); err != nil {
		return usage("--on: %w", err)
	}
	return nil
}

// power does work on machines and shows each one's end.
func (e *env) power(ctx context.Context, c *client.Client, spec doc.PowerSpec) error {
	r, err := c.StartPower(ctx, spec)
	if err != nil {
		return err
	}
	id, shown := r.ID, map[string]bool{}
	var cut error
	for {
		if !e.JSON {
			e.powerLines(r, shown)
		}
		if r.Over() {
			break
		}
		next, err := c.PowerRun(ctx, id, r.Serial)
		if err != nil && ctx.Err() != nil && cut == nil {
			// Interrupted: what is in work is ended, and its end shown.
			cut = ctx.Err()
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer stop()
			next, err = c.CancelPower(ctx, id)
		}
		if err != nil {
			return fmt.Errorf("power work %s: %w (it may go on: ask for the machines' state)", id, err)
		}
		r = next
	}
	if e.JSON {
		if err := e.Doc(r); err != nil {
			return err
		}
	}
	return powerEnd(r, cut)
}

func powerEnd(r *doc.PowerRun, cut error) error {
	n := map[string]int{}
	for _, row := range r.Rows {
		n[row.State]++
	}
	switch {
	case n[doc.Failed]+n[doc.Cancelled] == 0:
		return nil
	case cut != nil:
		return errInterrupted
	}
	return fmt.Errorf("of %d machines, %d failed and %d were cancelled", len(r.Rows), n[doc.Failed], n[doc.Cancelled])
}

// powerLines shows the machines that came to their end since, and what others wait for.
func (e *env) powerLines(r *doc.PowerRun, shown map[string]bool) {
	for _, row := range r.Rows {
		if key := row.Machine + " " + row.Words; row.State == doc.Running && row.Words != "" && !shown[key] {
			shown[key] = true
			fmt.Fprintf(e.Out, "%s waits: %s\n", strings.TrimSpace(row.Machine+" "+row.Name), row.Words)
		}
		if shown[row.Machine] || !doc.Over(row.State) {
			continue
		}
		shown[row.Machine] = true
		who, what := row.Machine, row.State
		if row.Name != "" {
			who += " " + row.Name
		}
		switch {
		case row.State == doc.Done && row.Boot != "":
			what = "boots " + row.Boot + " next"
		case row.State == doc.Done:
			what = row.Power
		}
		if row.Words != "" {
			what += ": " + row.Words
		}
		fmt.Fprintf(e.Out, "%s: %s\n", who, what)
	}
}
