package main

import (
	"context"

	"github.com/diskcast/diskcast/agent/menu"
	"github.com/diskcast/diskcast/agent/node"
	rescuing "github.com/diskcast/diskcast/agent/rescue"
	"github.com/diskcast/diskcast/internal/session"
)

// menu shows the operator's menu on this node's consoles. With -no-boot they are somebody else's: nil.
func (a *agent) menu() func(context.Context, *session.Menu, *node.Exit) {
	if a.o.noBoot {
		return nil
	}
	return func(ctx context.Context, m *session.Menu, exit *node.Exit) {
		menu.Run(ctx, m, menu.Options{
			Consoles: func() []menu.Console {
				var paths []string
				for _, name := range rescuing.Consoles("/sys/class/tty/console/active") {
					paths = append(paths, "/dev/"+name)
				}
				return menu.Open(paths, a.log)
			},
			Choose: a.client.Choose,
			Restart: func(ctx context.Context, why string) {
				exit.Leave(ctx, session.Info, session.BootReboot, why)
			},
			Log: a.log,
		})
	}
}
