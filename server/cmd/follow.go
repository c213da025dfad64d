package cmd

import (
	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

func watchCommand(e *env) *cobra.Command {
	var f client.Filter
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Follow what happens on the server: everything, one machine, or one session",
		Long: `Follow what happens on the server until it is interrupted: what becomes of machines and sessions, and ` +
			`what
machines report. It begins with how things are. A connection that breaks is made again, and nothing is missed. A server
that restarts is waited for; a line says that events may have been lost, and then how things are now.

With --json, every change is one line of JSON (docs/operator-api.md). The lines of the beginning end with one of the
type "live"; it and all later ones have a cursor, from which --after goes on, with any filter.
` + "`diskcast session watch`" + ` ends with its session.`,
		Example: `  diskcast watch
  diskcast watch --node 52:54:00:12:34:56
  diskcast watch --json --after "$LAST"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			show := watcher(newLineWatcher(e.Out))
			if e.JSON {
				show = jsonWatcher{e}
			}
			defer show.close()
			return c.Follow(cmd.Context(), f, func(l doc.Line) error { return show.line(&l) },
				func(err error) { e.Warn(plain.Line(err.Error(), 0) + "; asking again") })
		},
	}
	serverFlag(cmd, e)
	cmd.Flags().StringVar(&f.Session, "session", "", "only this session, until it is over")
	cmd.Flags().StringVar(&f.Node, "node", "", "only this machine, by its name, its id or any of its MAC addresses")
	cmd.Flags().StringVar(&f.After, "after", "", "go on after this cursor (of --json)")
	return cmd
}
