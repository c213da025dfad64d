package qemutests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// TestCrash has a kernel that panics, whose last words the machine keeps by ACPI's ERST, and an agent that hangs. The
// server hears the words, the machine forgets them, and the watchdog restarts what hangs.
func TestCrash(t *testing.T) {
	if os.Getenv("DISKCAST_CRASH") == "" {
		t.Skip("make test-crash runs this (DISKCAST_CRASH=1)")
	}
	b := setupSite(t, 20*time.Minute, func(*osimage.Image) site.Options {
		return site.Options{Append: "quiet panic=5 diskcast.watchdog=60"}
	})
	erst := filepath.Join(b.dir, "erst")
	n := b.node("a", site.Hardware{Memory: 1024, Extra: []string{
		"-object", "memory-backend-file,id=kept,size=65536,share=on,mem-path=" + erst,
		"-device", "acpi-erst,memdev=kept"}})
	b.menu(n, "rescue", "wait", "--default", "wait", "--timeout", "10m")
	b.on(n)
	b.types(n, `Type a number and Enter\. In \d+ s: it waits`, "1\r")
	b.types(n, `^\$ `, "sleep 2; echo c > /proc/sysrq-trigger\r")
	b.types(n, "records of crashes were taken out", "\r")
	out, err := b.Operate(b.ctx, "node", "log", n.ID)
	if err != nil || !strings.Contains(out, "this machine crashed before: Panic of the kernel") ||
		!strings.Contains(out, "sysrq triggered crash") {
		t.Errorf("the server did not hear of the crash: %v\n%s", err, out)
	}
	if out, err = b.Operate(b.ctx, "node", "show", n.ID); err != nil || !strings.Contains(out, "Panic of the kernel") {
		t.Errorf("node show does not say that it crashed: %v\n%s", err, out)
	}
	b.types(n, `^\$ `, "sleep 2; echo left $(ls /sys/fs/pstore | wc -l)\r")
	b.types(n, `left 0\b`, "\r")
	const hang = `for d in /proc/[0-9]*; do if grep -q '^agent$' $d/comm; then kill -SIGSTOP ${d#/proc/}; fi; done`
	b.types(n, `^\$ `, hang+"\r")
	// From its firmware on: the session of the shell is still there, and the machine opens it again.
	b.expect(n, "iPXE")
	b.expect(n, "a rescue shell")
}
