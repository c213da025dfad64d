package cmd

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func machineCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "machine", Aliases: []string{"machines"},
		Short: "Name machines, and say which sightings are of which",
		Long: `A machine is a computer that you own; a node is what was seen of one on the network. Name, labels and ` +
			`notes belong to
the machine, and stay when its nodes are forgotten or its cards are changed. The server tells machines apart by the
NIC that they boot from and by the UUID and serial of their boards; a NIC that two boot from (a dock) and an identity
that two have count no more. Where it is wrong, merge or split; trust where somebody spoke in a machine's name.

MACHINE is an id, a name, or a MAC address of any of its NICs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(machineList(e), machineShow(e), machineName(e), machineLabel(e), machineNotes(e), machineMerge(e),
		machineSplit(e), machineTrust(e), machineRemove(e),
		machineApprove(e), machineProfile(e), machineSet(e), machineInventory(e), machineExport(e),
		machineImport(e), machinePower(e), machineConsole(e))
	return cmd
}

func machineList(e *env) *cobra.Command {
	var on []string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List all machines, or those that a selector fits",
		Long:  selectorHelp,
		Example: "  diskcast machine list\n  diskcast machine list --select 'room=210,!spare'\n  diskcast machine " +
			"list --json | jq -r '.[] | " +
			"select(.labels.room==\"101\") | .name'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			all, err := e.machinesOf(cmd, c, on)
			if err != nil {
				return err
			}
			return e.listMachines(all)
		},
	}
	selectFlag(cmd, &on)
	return cmd
}

func labels(m *doc.Machine) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		out = append(out, k+"="+m.Labels[k])
	}
	return strings.Join(out, " ")
}

func machineShow(e *env) *cobra.Command {
	cmd := machineDo(e, "show MACHINE", "Show what was entered of a machine, and what it is known by", 1,
		func(cmd *cobra.Command, c *client.Client, a []string) (*doc.Machine, error) {
			return c.Machine(cmd.Context(), a[0])
		})
	cmd.Example = "  diskcast machine show lab-07\n  diskcast machine show 52:54:00:12:34:56 --json"
	return cmd
}

// machineDo is a command that does something and prints the machine that came of it.
func machineDo(e *env, use, short string, args int,
	do func(*cobra.Command, *client.Client, []string) (*doc.Machine, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			m, err := do(cmd, c, a)
			if err != nil {
				return err
			}
			return e.printMachine(m)
		},
	}
}

func (e *env) printMachine(m *doc.Machine) error {
	if e.JSON {
		return e.Doc(m)
	}
	rows := [][]string{{"machine", m.ID}, {"name", ui.Dash(m.Name)}, {"labels", ui.Dash(labels(m))},
		{"profile", ui.Dash(m.Profile)}, {"approved", approval(m)}, {"when idle", m.Idle},
		{"where", ui.Dash(m.Where)}, {"waits for", ui.Dash(m.Waits)}, {"first seen", ui.Ago(m.Made)},
		{"last seen", ui.Ago(m.Seen)}}
	if m.OwnDisk != "" {
		rows = append(rows, []string{"its own disk", m.OwnDisk})
	}
	if m.Port != "" {
		rows = append(rows, []string{"plugged into", m.Switch + "/" + m.Port})
	}
	if m.Relay != "" {
		rows = append(rows, []string{"relayed by", m.Relay})
	}
	for _, mac := range m.Boots {
		rows = append(rows, []string{"boots from", mac})
	}
	for _, b := range m.Boards {
		rows = append(rows, []string{"board", fmt.Sprintf("UUID %s, serial %s", ui.Dash(b.UUID), ui.Dash(b.Serial))})
	}
	for _, n := range m.Nodes {
		rows = append(rows, []string{"node", n})
	}
	for line := range strings.SplitSeq(m.Notes, "\n") {
		if line != "" {
			rows = append(rows, []string{"notes", line})
		}
	}
	for _, w := range m.Warnings {
		rows = append(rows, []string{"warning", w})
	}
	return ui.Table(e.Out, rows)
}

func approval(m *doc.Machine) string {
	if m.Approved {
		return m.Approval
	}
	return "no: " + m.Approval
}

func machineName(e *env) *cobra.Command {
	cmd := machineDo(e, "name MACHINE NAME", "Name a machine; an empty NAME takes the name away", 2,
		func(cmd *cobra.Command, c *client.Client, a []string) (*doc.Machine, error) {
			return c.EditMachine(cmd.Context(), a[0], doc.MachineChange{V: session.Version, Name: &a[1]})
		})
	cmd.Example = "  diskcast machine name 52:54:00:12:34:56 lab-07\n  diskcast session create --image debian " +
		"--nodes lab-07"
	return cmd
}

func machineNotes(e *env) *cobra.Command {
	cmd := machineDo(e, "notes MACHINE TEXT",
		"Write notes on a machine, in the place of those before; an empty TEXT takes them away", 2,
		func(cmd *cobra.Command, c *client.Client, a []string) (*doc.Machine, error) {
			return c.EditMachine(cmd.Context(), a[0], doc.MachineChange{V: session.Version, Notes: &a[1]})
		})
	cmd.Example = "  diskcast machine notes lab-07 'fan is loud; board changed in May'"
	return cmd
}

func machineLabel(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "label MACHINE LABEL=VALUE|LABEL- ...",
		Short:   "Put labels on a machine, and take them off",
		Example: "  diskcast machine label lab-07 room=101 row=2\n  diskcast machine label lab-07 row-",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			change := doc.MachineChange{V: session.Version, Labels: map[string]*string{}}
			for _, arg := range a[1:] {
				k, v, set := strings.Cut(arg, "=")
				off, isOff := strings.CutSuffix(arg, "-")
				switch {
				case set:
					change.Labels[k] = &v
				case isOff:
					change.Labels[off] = nil
				default:
					return usage("label %q: LABEL=VALUE puts one on, LABEL- takes one off", arg)
				}
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			m, err := c.EditMachine(cmd.Context(), a[0], change)
			if err != nil {
				return err
			}
			return e.printMachine(m)
		},
	}
}

func machineMerge(e *env) *cobra.Command {
	cmd := machineDo(e, "merge FROM INTO",
		"Make one machine of two that are the same computer; what was entered of either stays", 2,
		func(cmd *cobra.Command, c *client.Client, a []string) (*doc.Machine, error) {
			return c.MergeMachines(cmd.Context(), a[1], a[0])
		})
	cmd.Example = "  diskcast machine merge m12 lab-07    # lab-07 has a new board, and came as m12"
	return cmd
}

func machineSplit(e *env) *cobra.Command {
	cmd := machineDo(e, "split MACHINE NODE",
		"Make a node that was taken for a machine one of its own; what was entered stays with MACHINE", 2,
		func(cmd *cobra.Command, c *client.Client, a []string) (*doc.Machine, error) {
			return c.SplitMachine(cmd.Context(), a[0], a[1])
		})
	cmd.Example = "  diskcast machine split lab-07 52:54:00:12:34:57"
	return cmd
}

func machineTrust(e *env) *cobra.Command {
	cmd := machineDo(e, "trust MACHINE",
		"Say that what spoke in a machine's name was not it: its NICs are its alone again, warnings end, nothing is "+
			"lost",
		1, func(cmd *cobra.Command, c *client.Client, a []string) (*doc.Machine, error) {
			return c.TrustMachine(cmd.Context(), a[0])
		})
	cmd.Long = `Whoever is on the nodes' network can say hello from a MAC address that is not his. By his UUID and
serial he is then another machine (m12) at a NIC of MACHINE: he gets no session, and warnings say so. trust takes
MACHINE's NICs from machines of which nothing was entered, forgets those that have no other, and ends the warnings of
its nodes. What was entered stays. It is refused while the other one's agent is heard, and where he is a machine of
which something was entered.`
	cmd.Example = "  diskcast machine trust lab-07"
	return cmd
}

func machineRemove(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "remove MACHINE...", Aliases: []string{"rm"},
		Short:   "Forget machines and all that was entered of them; their nodes stay",
		Example: "  diskcast machine remove lab-07 m12",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return e.removeEach(cmd.Context(), a, (*client.Client).RemoveMachine)
		},
	}
}
