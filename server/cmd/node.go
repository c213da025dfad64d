package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func nodeCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "node", Aliases: []string{"nodes"},
		Short: "List and inspect nodes",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(nodeList(e), nodeShow(e), nodeLog(e), nodeForget(e), nodeDoctor(e))
	return cmd
}

// maxAskers is how many nodes are listed that only asked for an address: anybody on the LAN can make a thousand.
const maxAskers = 20

// withoutAskers leaves out all but the latest of the nodes that asked for an address and fetched no kernel, and says
// how many. Who has a name is never one of them.
func withoutAskers(nodes []doc.Node) (shown []doc.Node, left int) {
	asker := func(n *doc.Node) bool {
		_, fetched := n.Trace[doc.StepKernel]
		return n.Where == doc.Booting && n.Agent == "" && !fetched && n.Name == "" && n.Session == ""
	}
	var seen []time.Time
	for i := range nodes {
		if asker(&nodes[i]) {
			seen = append(seen, nodes[i].LastSeen)
		}
	}
	if len(seen) <= maxAskers {
		return nodes, 0
	}
	slices.SortFunc(seen, func(a, b time.Time) int { return b.Compare(a) })
	room := maxAskers
	for i := range nodes {
		switch ask := asker(&nodes[i]); {
		case ask && (room == 0 || nodes[i].LastSeen.Before(seen[maxAskers-1])):
			left++
			continue
		case ask:
			room--
		}
		shown = append(shown, nodes[i])
	}
	return shown, left
}

func nodeList(e *env) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List all nodes that were ever seen",
		Example: "  diskcast node list\n  diskcast node list --json | jq -r '.[] | select(.where==\"agent\") | .id'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			nodes, err := c.Nodes(cmd.Context())
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(nodes)
			}
			left := 0
			if !all {
				nodes, left = withoutAskers(nodes)
			}
			rows := [][]string{{"NODE", "NAME", "WHERE", "ADDRESS", "SESSION", "MEMORY", "DISKS", "SEEN", "MACHINE"}}
			for _, n := range nodes {
				rows = append(rows, []string{n.ID, ui.Dash(n.Name), n.Where, ui.Dash(n.Addr), ui.Dash(n.Session),
					memory(&n), disks(&n), ui.Ago(n.LastSeen),
					strings.TrimSpace(n.Inventory.Vendor + " " + n.Inventory.Product)})
			}
			if err := ui.List(e.Out, rows); err != nil {
				return err
			}
			for _, n := range nodes {
				if n.Problem != "" {
					fmt.Fprintf(e.Out, "%s: %s\n", n.ID, n.Problem)
				}
				for _, w := range n.Warnings {
					fmt.Fprintf(e.Out, "%s: warning: %s\n", n.ID, w)
				}
			}
			if left > 0 {
				fmt.Fprintf(e.Out, "and %d more that asked for an address and fetched no kernel: `diskcast node list "+
					"--all` has them\n", left)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also each node that only asked for an address")
	return cmd
}

func memory(n *doc.Node) string {
	if n.Inventory.Memory == 0 {
		return "-"
	}
	return units.Bytes(n.Inventory.Memory)
}

func disks(n *doc.Node) string {
	var out []string
	for _, d := range n.Inventory.Disks {
		out = append(out, strings.TrimPrefix(d.Path, "/dev/")+" "+units.Bytes(d.Size))
	}
	return ui.Dash(strings.Join(out, ", "))
}

// diskWords is a disk with all that a rule of session create --disk can use.
func diskWords(d *session.Disk) string {
	w := []string{d.Path, units.Bytes(d.Size), strconv.Itoa(d.SectorSize) + "-byte sectors", "model=" +
		ui.Dash(d.Model), "serial=" + ui.Dash(d.Serial),
		"wwn=" + ui.Dash(d.WWN), "by-path=" + ui.Dash(d.BusPath)}
	if d.Unfit != "" {
		return strings.Join(append(w[:3], "no disk rule means it: "+d.Unfit), "  ")
	}
	if d.HCTL != "" {
		w = append(w, "hctl="+d.HCTL)
	}
	switch {
	case d.Bus == session.BusUSB:
		w = append(w, "type=usb")
	case d.Bus == "nvme":
		w = append(w, "type=nvme")
	case d.Rotational:
		w = append(w, "type=hdd")
	default:
		w = append(w, "type=ssd")
	}
	if d.Removable {
		w = append(w, "removable")
	}
	if d.ReadOnly {
		w = append(w, "read-only")
	}
	return strings.Join(w, "  ")
}

func nodeShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "show NODE",
		Short:   "Show a node's hardware and its latest boot",
		Example: "  diskcast node show 52:54:00:12:34:56",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			n, err := c.Node(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(n)
			}
			inv := &n.Inventory
			rows := [][]string{
				{"node", n.ID}, {"where", n.Where}, {"waits for", ui.Dash(n.Waits)}, {"address", ui.Dash(n.Addr)},
				{"session", ui.Dash(n.Session)},
				{"last session", ui.Dash(n.Last)},
				{"machine", ui.Dash(strings.TrimSpace(n.Machine + " " + n.Name))},
				{"product", ui.Dash(strings.TrimSpace(inv.Vendor + " " + inv.Product))},
				{"serial", ui.Dash(inv.Serial)}, {"uuid", ui.Dash(inv.UUID)},
				{"firmware", ui.Dash(inv.Firmware) + map[bool]string{true: ", Secure Boot"}[inv.SecureBoot]},
				{"cpus", strconv.Itoa(inv.CPUs)}, {"memory", memory(n)}, {"agent", ui.Dash(n.Agent)},
				{"first seen", ui.Ago(n.FirstSeen)}, {"last seen", ui.Ago(n.LastSeen)},
			}
			if n.Problem != "" {
				rows = append(rows, []string{"problem", n.Problem})
			}
			if inv.Problem != "" {
				rows = append(rows, []string{"problem", inv.Problem})
			}
			if inv.Crashed != "" {
				rows = append(rows, []string{"crashed", inv.Crashed + " (diskcast node log " + n.ID + ")"})
			}
			for _, w := range n.Warnings {
				rows = append(rows, []string{"warning", w})
			}
			for _, what := range inv.Undriven {
				rows = append(rows, []string{"no driver", what})
			}
			for _, d := range inv.Disks {
				rows = append(rows, []string{"disk", diskWords(&d)})
				if c := inv.Survey.Of(&d); c != nil {
					rows = append(rows, onDisk(c, n.Surveyed)...)
				}
			}
			for _, nic := range inv.NICs {
				rows = append(rows, []string{"nic",
					fmt.Sprintf("%s  %s  %s  %s", nic.Name, nic.MAC, link(&nic), strings.Join(nic.Addrs, " "))})
			}
			if err := ui.Table(e.Out, rows); err != nil {
				return err
			}
			return printTimeline(e.Out, n.Trace, nil, nil)
		},
	}
}

func link(n *session.NIC) string {
	switch {
	case !n.Up:
		return "no link"
	case n.Mbps == 0:
		return "link"
	}
	return fmt.Sprintf("%d Mbit/s", n.Mbps)
}

func nodeLog(e *env) *cobra.Command {
	var lines int
	var all bool
	cmd := &cobra.Command{
		Use:     "log NODE",
		Short:   "Show the end of a node's log",
		Example: "  diskcast node log 52:54:00:12:34:56 --lines 20",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			events, err := c.Log(cmd.Context(), a[0], lines, all)
			if err != nil {
				return err
			}
			for _, ev := range events {
				if e.JSON {
					if err := e.Doc(ev); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintln(e.Out, eventLine(&ev))
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&lines, "lines", 50, "how many")
	cmd.Flags().BoolVar(&all, "all", false, "steps of the timeline too")
	return cmd
}

func eventLine(ev *doc.Event) string {
	level := ""
	if ev.Event.Level != session.Info {
		level = strings.ToUpper(ev.Event.Level) + " "
	}
	return fmt.Sprintf("%s %s %-10s %s%s", ev.Event.Time.Local().Format("15:04:05.000"), ev.Node, ev.Event.Step, level,
		ev.Event.Message)
}

func nodeForget(e *env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "forget NODE...",
		Short: "Forget nodes and their logs; their next network boot is as their first",
		Long: `Forget nodes and their logs; their next network boot is as their first.

A node whose disk a session left half-written is refused: such a disk is not started, and forgotten it could be. Restore
it again, or, if the disk was made good otherwise, say --force: that ends the mark too, also of a node that is gone.`,
		Example: "  diskcast node forget 52:54:00:12:34:56\n  diskcast node forget 52:54:00:12:34:56 --force",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return e.eachGone(a, "forgotten", func(c *client.Client, id string) error {
				return c.Forget(cmd.Context(), id, force)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "forget also that its disk is half-written: it may be started then")
	return cmd
}
