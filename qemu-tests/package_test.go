package qemutests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/box"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// labFile is what the operator wrote down before the day began.
const labFile = `machines:
  - {name: pc-1, mac: "52:54:00:dc:00:01", labels: {room: 210, seat: 1}, profile: lab}
  - {name: pc-2, mac: "52:54:00:dc:00:02", labels: {room: 210, seat: 2}, profile: lab}
profiles:
  lab:
    image: debian
    disk: only
    verify: true
    personalize:
      hostname: "{{.Name}}"
      machine_id: new
      ssh_host_keys: new
      time_zone: Europe/Berlin
      files:
        - {path: /etc/lab.conf, content: "seat={{.Labels.seat}} mac={{.MAC}}\n"}
`

// day is a server's machine, and an operator at its console.
type day struct {
	*bench
	server *box.Box
	blank  *osimage.Image // of the machine
}

// TestInstalled has a blank Debian become a server by its package and `diskcast up`, looks at the service, kills it,
// and upgrades the package while a session waits. The machine is a box: its systemd, units and packages are real, its
// kernel is this machine's.
func TestInstalled(t *testing.T) {
	d := newDay(t)
	up := d.starts()
	d.installs(up)
	d.runs("diskcast session create --on room=210 --min-nodes 2")
	d.judgeServer(up, doc.Waiting)
	d.upgrades("s1")
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
	// The kernel that runs is this machine's, and not in the Debian: apt fetches that of the distribution.
	return "diskcast up --dhcp full --console ttyS0,115200 --image debian=debian.raw --file lab.yaml"
}

// installs installs the package, and has it serve.
func (d *day) installs(up string) {
	d.Helper()
	if said := d.runs("apt install -y ./diskcast_*.deb"); !strings.Contains(said, "Setting up ipxe") {
		d.Errorf("the package does not bring ipxe along:\n%s", said)
	}
	d.Log(d.runs(up))
}

// newDay makes all but the server's machine.
func newDay(t *testing.T) *day {
	packages := os.Getenv("DISKCAST_PACKAGE")
	if packages == "" {
		t.Skip("make test-package runs this (DISKCAST_PACKAGE=folder of its packages)")
	}
	ready(t)
	need.Tools(t, "dpkg-deb", "unshare", "nsenter", "setpriv", "ip")
	ctx, dir := begin(t, 15*time.Minute)
	blank, err := osimage.Server(ctx, osimage.Cache(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := site.Bare(site.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	d := &day{bench: &bench{T: t, Site: s, ctx: ctx, dir: dir}, blank: blank}
	t.Cleanup(func() {
		s.Close()
		d.tidy()
	})
	if err := d.home(packages); err != nil {
		t.Fatal(err)
	}
	return d
}

// home makes the folder with root's files on the server's machine: two packages, an image and the lab's file.
func (d *day) home(packages string) error {
	dir := filepath.Join(d.dir, "home")
	if err := os.MkdirAll(filepath.Join(dir, "newer"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte(labFile), 0o600); err != nil {
		return err
	}
	for n, sub := range map[string]string{"1": ".", "2": "newer"} {
		list, err := filepath.Glob(filepath.Join(packages, n, "diskcast_*_amd64.deb"))
		if err != nil || len(list) != 1 {
			return fmt.Errorf("packages in %s: %v, %v; make test-package makes them", filepath.Join(packages, n), list,
				err)
		}
		if err := proc.Run(d.ctx, nil, "cp", list[0], filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	return sparse.Copy(d.ctx, debianImage(d.ctx, d.T).Disk, filepath.Join(dir, "debian.raw"))
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

// upgrades installs the newer package while a session is not over.
func (d *day) upgrades(id string) {
	d.Helper()
	version, before := d.runs("diskcast --version"), d.pid()
	d.runs("apt install -y ./newer/diskcast_*.deb")
	var now doc.Session
	if err := json.Unmarshal([]byte(d.runs("diskcast session show "+id+" --json")), &now); err != nil {
		d.Fatal(err)
	}
	after, newer := d.pid(), d.runs("diskcast --version")
	if now.Over() || after == 0 || after == before || newer == version {
		d.Errorf("the upgrade was to be in the middle of the session: the session is %s, the server's process was %d "+
			"and is %d, %q became %q", now.State, before, after, version, newer)
	}
	d.Logf("upgraded from %s to %s while session %s was %s", version, newer, id, now.State)
}
