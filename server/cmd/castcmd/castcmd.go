// Package castcmd is `diskcast cast`: reliable multicast of one file or pipe, without server, image or session.
//
//	diskcast cast send FILE|-   prints a one-line ticket and sends to whoever presents it
//	diskcast cast recv TICKET   receives into a file or a pipe
//
// The ticket holds the group, the feedback address, the size and the key; a receiver needs nothing else.
package castcmd

import (
	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/server/cmd/ui"
)

// Command returns the command `cast` with its subcommands, which show how they go on u.
func Command(u *ui.UI) *cobra.Command {
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
	cmd.AddCommand(sendCommand(u), recvCommand(u))
	return cmd
}
