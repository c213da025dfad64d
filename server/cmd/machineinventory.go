package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/doc"
)

func machineInventory(e *env) *cobra.Command {
	var on []string
	cmd := &cobra.Command{
		Use: "inventory [--select SELECTOR]", Short: "Print the hardware of machines, for mkimage --for",
		Long: `Prints, as JSON, what each machine said last of its hardware: board, memory, disks, network ` +
			`cards, and what its
devices ask the kernel for: drivers and firmware. mkimage --for makes a boot directory of it that holds no other. ` +
			`Machines
that have not told what drivers they need are left out, and named.`,
		Example: "  diskcast machine inventory --select room=101 > 101.json\n" +
			"  mkimage --for 101.json --kernel ... --out boot",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			machines, err := e.machinesOf(cmd, c, on)
			if err != nil {
				return err
			}
			nodes, err := c.Nodes(cmd.Context())
			if err != nil {
				return err
			}
			by := map[string]*doc.Node{}
			for i := range nodes {
				by[nodes[i].ID] = &nodes[i]
			}
			list, silent, old := []doc.Node{}, []string{}, []string{}
			for _, m := range machines {
				name := cmp.Or(m.Name, m.ID)
				switch n := told(&m, by); {
				case n == nil:
					silent = append(silent, name)
				case n.Inventory.Hardware == nil || len(n.Inventory.Hardware.Devices) == 0:
					old = append(old, name)
				default:
					list = append(list, *n)
				}
			}
			if len(silent) > 0 {
				fmt.Fprintf(e.Err, "left out, since they have told nothing of their hardware yet: %s\n",
					strings.Join(silent, ", "))
			}
			if len(old) > 0 {
				fmt.Fprintf(e.Err, "left out, since the agent that they had last did not tell what drivers they need: "+
					"%s; start them once from this server's boot directory, made by this release without --for\n",
					strings.Join(old, ", "))
			}
			if len(list) == 0 {
				return errors.New("no machine has told what drivers it needs: start one from this server's boot " +
					"directory, until its agent has said hello")
			}
			return e.Doc(list)
		},
	}
	selectFlag(cmd, &on)
	return cmd
}

// told is the latest node of the machine that told something of its hardware: with what it needs drivers for, if one
// did. Nil for none.
func told(m *doc.Machine, nodes map[string]*doc.Node) *doc.Node {
	var last *doc.Node
	for _, id := range m.Nodes { // the latest is the last
		n := nodes[id]
		if n == nil || len(n.Inventory.NICs) == 0 || last != nil && last.Inventory.Hardware != nil &&
			n.Inventory.Hardware == nil {
			continue
		}
		last = n
	}
	return last
}
