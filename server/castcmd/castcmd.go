// Package castcmd is `diskcast cast`: reliable multicast of one file or pipe, without server, image or session.
//
//	diskcast cast send FILE|-   prints a one-line ticket and sends to whoever presents it
//	diskcast cast recv TICKET   receives into a file or a pipe
//
// The ticket holds the group, the feedback address, the size and the key; a receiver needs nothing else.
package castcmd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Command returns the command `cast` with its subcommands.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cast",
		Short: "Send one file or pipe to many machines at once by multicast",
		Long: `Send one file or pipe to many machines at once by reliable, encrypted multicast.

  server$ diskcast cast send disk.img
  diskcast2.AAAAB...                       (the ticket: pass it on secretly, it holds the key)
  node1$  diskcast cast recv diskcast2.AAAAB... -o /dev/sda
  node2$  diskcast cast recv diskcast2.AAAAB... | tar x`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(sendCommand(), recvCommand())
	return cmd
}

// bits is a rate flag: bits a second, with k, M or G.
type bits int64

func (b *bits) String() string {
	switch v := int64(*b); {
	case v == 0:
		return "0"
	case v%1e9 == 0:
		return fmt.Sprintf("%dG", v/1e9)
	case v%1e6 == 0:
		return fmt.Sprintf("%dM", v/1e6)
	default:
		return fmt.Sprint(v)
	}
}

func (b *bits) Type() string { return "bits/s" }

func (b *bits) Set(s string) error {
	unit := 1.0
	t := strings.TrimSuffix(strings.TrimSuffix(s, "bit"), "bit/s")
	if t != "" {
		switch t[len(t)-1] {
		case 'k', 'K':
			unit = 1e3
		case 'm', 'M':
			unit = 1e6
		case 'g', 'G':
			unit = 1e9
		}
		if unit > 1 {
			t = t[:len(t)-1]
		}
	}
	v, err := strconv.ParseFloat(t, 64)
	if err != nil || v < 0 || v*unit > 1e13 {
		return fmt.Errorf("%q is no rate: write 900M or 2.5G, in bits a second", s)
	}
	*b = bits(v * unit)
	return nil
}
