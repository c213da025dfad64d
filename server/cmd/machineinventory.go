package cmd

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/doc"
)

func machineInventory(e *env) *cobra.Command {
	var on []string
	cmd := &cobra.Command{
		Use: "inventory [--select SELECTOR]", Short: "Print the hardware of machines, for mkimage --for",
		Long: `Prints, as JSON, what each machine said last of its hardware: board, memory, disks, network ` +
			`cards, and what its
devices ask the kernel for: drivers and firmware. mkimage --for makes a boot directory of it that holds no other.`,
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
			list := []doc.Node{}
			for _, m := range machines {
				n := told(&m, by)
				if n == nil {
					fmt.Fprintf(e.Err, "%s has told nothing of its hardware yet, and is left out\n",
						cmp.Or(m.Name, m.ID))
					continue
				}
				list = append(list, *n)
			}
			if len(list) == 0 {
				return errors.New("no machine has told anything of its hardware: start one from this server's boot " +
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
