package main

import (
	"os"
	"slices"

	rescuing "github.com/diskcast/diskcast/agent/rescue"
	"github.com/diskcast/diskcast/agent/screen"
	"github.com/diskcast/diskcast/agent/site"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
)

// doing is what the screen says of each action; those without words have none.
var doing = map[string]string{
	session.Restore: "writing image", session.RestorePartition: "writing a partition",
	session.RestoreDisks: "writing disks",
	session.Capture:      "reading the disk for", session.CapturePartition: "reading a partition for",
	erasure.Action: "erasing the disk",
}

// work is the words with the image's name.
func work(words string, d *session.Descriptor) string {
	name := ""
	switch {
	case d.Image != nil:
		name = d.Image.Name
	case d.Upload != nil:
		name = d.Upload.Name
	}
	return plain.Line(words+" "+name, 60)
}

// newScreen is the screen on this node's consoles. With -no-boot they are somebody else's, and with diskcast.shell, or
// diskcast.screen=off, on the kernel's command line there is none.
func (a *agent) newScreen() *screen.Screen {
	return screen.New(screen.Options{Since: sinceBoot, Machine: func() string { return a.client.Node() },
		Terminals: func() []screen.Terminal {
			cmdline, err := os.ReadFile(a.o.cmdline)
			words := site.Words(string(cmdline))
			if a.o.noBoot || err != nil || slices.Contains(words, "diskcast.shell") ||
				slices.Contains(words, "diskcast.screen=off") {
				return nil
			}
			var paths []string
			for _, name := range rescuing.Consoles("/sys/class/tty/console/active") {
				paths = append(paths, "/dev/"+name)
			}
			return screen.Open(paths, a.log)
		}})
}
