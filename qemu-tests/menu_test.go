package qemutests

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestMenu has somebody sit at a machine's serial console: a rescue shell is left, an image is chosen and agreed to,
// and later the machine's own disk, of which nobody else was asked. Nobody chooses at the last start, with the server
// away, and the machine starts its own disk all the same.
func TestMenu(t *testing.T) {
	if os.Getenv("DISKCAST_MENU") == "" {
		t.Skip("it has not passed yet: a rescue shell that is left on a serial console hangs it up, and the " +
			"agent then waits for ever to write to it (DISKCAST_MENU=1 runs this)")
	}
	b := setup(t, 14*time.Minute, lab.Options{})
	debian := debianImage(b.ctx, t)
	image := b.add("debian", debian)
	n := b.node("a", site.Hardware{})
	for _, args := range [][]string{
		{"menu", "set", "bench", "rescue", "image=" + image, "own-disk", "wait", "--default", "wait", "--timeout",
			"10m"},
		{"rule", "set", "all", "--mac", n.MAC, "--when-idle", "menu:bench"},
	} {
		if _, err := b.Operate(b.ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	b.on(n)
	b.types(n, `Type a number and Enter\. In \d+ s: it waits`, "1\r")
	b.types(n, "a rescue shell", "exit\r")
	b.types(n, "Type a number and Enter", "2\r")
	if _, err := n.Expect(b.ctx, "ALL THAT IS ON THIS DISK IS LOST"); err != nil {
		t.Fatal(err)
	}
	b.types(n, "Type yes and Enter", "yes\r")
	b.login(n)
	var sessions []doc.Session
	if err := b.Ask(b.ctx, &sessions, "session", "list", "--all"); err != nil {
		t.Fatal(err)
	}
	if len(sessions) != 2 || sessions[1].State != doc.Done || sessions[1].Spec.Menu != "bench" {
		t.Fatalf("the sessions are %+v", sessions)
	}
	if out, err := b.Operate(b.ctx, "node", "log", n.ID); err != nil ||
		!strings.Contains(out, "and agreed to lose what is on") {
		t.Errorf("the node's log does not say who wanted that: %v\n%s", err, out)
	}

	b.on(n)
	b.types(n, "Type a number and Enter", "3\r")
	b.login(n)

	if _, err := b.Operate(b.ctx, "menu", "set", "bench", "own-disk", "wait", "--default", "own-disk", "--timeout",
		"20s"); err != nil {
		t.Fatal(err)
	}
	b.on(n)
	b.types(n, "More: the menu bench", "\x1b[B\r")
	if _, err := n.Expect(b.ctx, `In \d+ s: start its own disk`); err != nil {
		t.Fatal(err)
	}
	b.KillServer()
	if _, err := n.Expect(b.ctx, "The server does not answer"); err != nil {
		t.Fatal(err)
	}
	b.login(n)
}

// types waits for what the console says, and types.
func (b *bench) types(n *site.Node, pattern, keys string) {
	b.Helper()
	if _, err := n.Expect(b.ctx, pattern); err != nil {
		b.Fatal(err)
	}
	if err := n.Console().Send(keys); err != nil {
		b.Fatal(err)
	}
}
