package cmd

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func leaseCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lease", Aliases: []string{"leases"},
		Short: "List and free the addresses that DHCP gave",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	serverFlag(cmd, e)
	cmd.AddCommand(leaseList(e), leaseFree(e))
	return cmd
}

func leaseList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List addresses and who has them, other DHCP servers, and what goes wrong",
		Long: `List the addresses of serve --dhcp full and who has them. A machine that booted from this server is ` +
			`known: its lease
is for the whole time, and is never taken from it. Below are the other DHCP servers that were heard on the LAN.`,
		Example: "  diskcast lease list\n  diskcast lease list --json | jq -r '.leases[] | select(.known | not) | " +
			".mac'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			v, err := c.DHCP(cmd.Context())
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(v)
			}
			return printDHCP(e, v, time.Now())
		},
	}
}

func printDHCP(e *env, v *doc.DHCP, now time.Time) error {
	if v.Range == "" {
		fmt.Fprintf(e.Out, "This server gives no addresses: it runs with --dhcp %s.\n", v.Mode)
	} else {
		rows := [][]string{{"ADDRESS", "MAC", "STATE", "MACHINE", "UNTIL"}}
		for _, l := range v.Leases {
			machine := "unknown"
			switch {
			case l.State == doc.LeaseConflict:
				machine = "-"
			case l.Known:
				machine = "known"
			}
			rows = append(rows, []string{l.Addr, ui.Dash(l.MAC), l.State, machine, until(l.Until, now)})
		}
		if err := ui.Table(e.Out, rows); err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%d of %d addresses of %s are free\n", v.Free, v.Addresses, v.Range)
	}
	for _, s := range v.Others {
		fmt.Fprintf(e.Out, "another DHCP server: %s, MAC %s, gives %s, heard %s\n", s.Server, ui.Dash(s.MAC), s.Gives,
			ui.Ago(s.Last))
	}
	for _, w := range v.Warnings {
		fmt.Fprintf(e.Out, "warning: %s\n", w)
	}
	return nil
}

// until says how long a lease still has, or for how long it has been over.
func until(t, now time.Time) string {
	if d := t.Sub(now).Round(time.Second); d > 0 {
		return "in " + d.String()
	}
	return now.Sub(t).Round(time.Second).String() + " ago"
}

func leaseFree(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "free ADDRESS|MAC",
		Short: "Free an address, so that it may be given to another machine",
		Long: `Free an address of serve --dhcp full: end its lease or offer, or no longer set it aside. The machine ` +
			`is not told, and
keeps the address until it next renews; while it answers there, the address is given to no other.`,
		Example: "  diskcast lease free 10.0.0.117\n  diskcast lease free 52:54:00:12:34:56",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if _, err := netip.ParseAddr(a[0]); err != nil {
				if _, err := net.ParseMAC(a[0]); err != nil {
					return usage("%q is neither an IPv4 address nor a MAC address: `diskcast lease list` has them",
						a[0])
				}
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			if err := c.FreeLease(cmd.Context(), a[0]); err != nil {
				return err
			}
			return e.gone("freed", a[0])
		},
	}
}
