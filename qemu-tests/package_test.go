package qemutests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/qemu-tests/box"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/server/doc"
)

// TestInstalled has a blank Debian become a server by its package and `diskcast up`, looks at the service, kills it,
// and upgrades the package while a session waits. The machine is a box: its systemd, units and packages are real, its
// kernel is this machine's.
func TestInstalled(t *testing.T) {
	d := newDay(t, packages(t, "DISKCAST_PACKAGE", "test-package"), 15*time.Minute)
	up := d.starts()
	d.installs(up)
	d.runs("diskcast session create --on room=210 --min-nodes 2")
	d.judgeServer(up, doc.Waiting)
	d.upgrades("s1")
}

// packages is the folder with two packages that a make target names in the environment.
func packages(t *testing.T, variable, target string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		t.Skipf("make %s runs this (%s=folder of its packages)", target, variable)
	}
	return dir
}

// starts starts the server's machine, and returns the command that makes it serve.
func (d *day) starts() string {
	d.Helper()
	disk := filepath.Join(d.dir, "server.raw")
	if err := sparse.Copy(d.ctx, d.blank.Disk, disk); err != nil {
		d.Fatal(err)
	}
	parts, err := oracle.Table(d.ctx, disk)
	if err != nil {
		d.Fatal(err)
	}
	log, err := os.Create(filepath.Join(d.dir, "server.log"))
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { log.Close() })
	d.server, err = box.Start(d.ctx, d.Lab, d.dir, disk, parts[len(parts)-1].Start, log)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		if err := d.server.Stop(); err != nil {
			d.Error(err)
		}
	})
	d.Operator = d.server.Command
	// The kernel that runs is this machine's, and not in the Debian: apt fetches that of the distribution.
	return "diskcast up --dhcp full --console ttyS0,115200 --image debian=debian.raw --file lab.yaml"
}

// installs installs the package, and has it serve.
func (d *day) installs(up string) {
	d.Helper()
	if said := d.types("apt install -y ./diskcast_*.deb"); !strings.Contains(said, "Setting up ipxe") {
		d.Errorf("the package does not bring ipxe along:\n%s", said)
	}
	d.Log(d.types(up))
}

// runs runs a command on the server's machine that must succeed.
func (d *day) runs(command string) string {
	d.Helper()
	out, err := d.server.Run(d.ctx, command)
	if err != nil {
		d.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// upgrades installs the newer package while a session is not over, and returns how that is afterwards.
func (d *day) upgrades(id string) doc.Session {
	d.Helper()
	version, before := d.runs("diskcast --version"), d.pid()
	d.types("apt install -y ./newer/diskcast_*.deb")
	var now doc.Session
	if err := d.Ask(d.ctx, &now, "session", "show", id); err != nil {
		d.Fatal(err)
	}
	after, newer := d.pid(), d.runs("diskcast --version")
	if now.Over() || after == 0 || after == before || newer == version {
		d.Errorf("the upgrade was to be in the middle of the session: the session is %s, the server's process was %d "+
			"and is %d, %q became %q", now.State, before, after, version, newer)
	}
	d.Logf("upgraded from %s to %s while session %s was %s", version, newer, id, now.State)
	return now
}
