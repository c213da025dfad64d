package qemutests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/box"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// labFile is what the operator wrote down before the day began; KEY is the operator's SSH key.
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
      authorized_keys: {root: "KEY"}
      time_zone: Europe/Berlin
      network:
        - addresses: ["10.77.0.1{{.Labels.seat}}/24"]
      files:
        - {path: /etc/lab.conf, content: "seat={{.Labels.seat}} mac={{.MAC}}\n"}
`

// day is a server's machine, an operator at its console, and what was typed there.
type day struct {
	*bench
	server *box.Box
	blank  *osimage.Image // of the machine
	golden *osimage.Image // that the lab's machines become
	began  time.Time
	typed  int
	said   []string
}

// TestDay is an operator's day: a blank Debian becomes a server, and two blank UEFI machines on its LAN become
// themselves, by three commands. In the middle of their cast the server's package is upgraded.
func TestDay(t *testing.T) {
	d := newDay(t, packages(t, "DISKCAST_DAY", "test-day"), 40*time.Minute)
	nodes := []*site.Node{d.node("pc-1", site.Hardware{Memory: 1024, Firmware: uefi}),
		d.node("pc-2", site.Hardware{Memory: 1024, Firmware: uefi})}
	up := d.starts()
	d.began = time.Now()
	d.installs(up)
	created := d.typesAside("diskcast session create --on room=210 --watch")
	needed := d.typed
	se := d.Follow(d.ctx, "s1")
	d.Cleanup(se.Stop)
	d.on(nodes...)
	d.note("pc-1 and pc-2 are switched on: blank disks, UEFI, boot from the network")

	v := d.until(se, "bytes of both machines", func(v site.View) bool {
		return received(v, nodes[0]) > 0.1 && received(v, nodes[1]) > 0.1
	})
	d.note("pc-1 has received %.0f %%, pc-2 %.0f %%; a newer package:", 100*received(v, nodes[0]),
		100*received(v, nodes[1]))
	d.upgrades(se.ID)
	restarted := d.serverStarted()

	v = d.done(se)
	if err := <-created; err != nil {
		t.Errorf("the command that follows the session: %v", err)
	}
	d.judgeCast(v, nodes, restarted)
	d.note("session s1 is done: of %d MB pc-1 received %d by multicast, pc-2 %d", v.Session.Image.ObjectSize/1e6,
		v.Parts[nodes[0].ID].Progress.Multicast/1e6, v.Parts[nodes[1].ID].Progress.Multicast/1e6)
	for _, n := range nodes {
		if _, err := n.Expect(d.ctx, `^`+n.Name()+` login: `); err != nil {
			t.Fatal(err)
		}
		d.note("%s login: on its console, %.0f s after power-on", n.Name(), time.Since(n.SwitchedOn()).Seconds())
	}
	if needed > 3 {
		t.Errorf("%d commands were typed for the first login prompt, and 3 are allowed", needed)
	}
	d.note("%d commands typed until the login prompts, and the upgrade", needed)
	d.judgeMachines(nodes)
	t.Logf("the day:\n    %s", strings.Join(d.said, "\n    "))
}

// note writes down what happened, with the seconds since the day began.
func (d *day) note(format string, args ...any) {
	d.Helper()
	words := fmt.Sprintf("[%6.1f s] ", time.Since(d.began).Seconds()) + fmt.Sprintf(format, args...)
	d.said = append(d.said, words)
	d.Log(words)
}

// types is runs of a command that the operator types: it is counted and written down.
func (d *day) types(command string) string {
	d.Helper()
	d.typed++
	d.note("# %s", command)
	return d.runs(command)
}

// typesAside is types of a command that ends later, and then says how on the channel. What it prints is in a log.
func (d *day) typesAside(command string) <-chan error {
	d.Helper()
	d.typed++
	d.note("# %s", command)
	ended := make(chan error, 1)
	go func() { // ends with the command, or the test's time
		out, err := d.server.Run(d.ctx, command)
		ended <- err
		if err := os.WriteFile(filepath.Join(d.dir, "watch.log"), []byte(out), 0o644); err != nil {
			d.Log(err)
		}
	}()
	return ended
}

// newDay makes all but the server's machine.
func newDay(t *testing.T, packages string, limit time.Duration) *day {
	t.Helper()
	ready(t)
	need.Tools(t, "dpkg-deb", "unshare", "nsenter", "setpriv", "ip", "ssh", "ssh-keygen", "ssh-keyscan")
	if _, err := os.Stat(uefi.Code); err != nil {
		need.Skip(t, "%v: .ci/packages machine", err)
	}
	ctx, dir := begin(t, limit)
	blank, err := osimage.Server(ctx, osimage.Cache(), nil)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := osimage.Golden(ctx, osimage.Cache(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := site.Bare(site.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	d := &day{bench: &bench{T: t, Site: s, ctx: ctx, dir: dir}, blank: blank, golden: golden, began: time.Now()}
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
	if err := proc.Run(d.ctx, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator",
		"-f", d.sshKey()); err != nil {
		return err
	}
	key, err := os.ReadFile(d.sshKey() + ".pub")
	if err != nil {
		return err
	}
	lab := strings.Replace(labFile, "KEY", strings.TrimSpace(string(key)), 1)
	if err := os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte(lab), 0o600); err != nil {
		return err
	}
	for n, sub := range map[string]string{"1": ".", "2": "newer"} {
		list, err := filepath.Glob(filepath.Join(packages, n, "diskcast_*_amd64.deb"))
		if err != nil || len(list) != 1 {
			return fmt.Errorf("packages in %s: %v, %v; its make target makes them", filepath.Join(packages, n), list,
				err)
		}
		if err := proc.Run(d.ctx, nil, "cp", list[0], filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	return sparse.Copy(d.ctx, d.golden.Disk, filepath.Join(dir, "debian.raw"))
}

// judgeCast holds that the server was started anew while the bytes of both machines moved, and that both were given
// them by multicast.
func (d *day) judgeCast(v site.View, nodes []*site.Node, restarted time.Time) {
	d.Helper()
	for _, n := range nodes {
		p := v.Parts[n.ID]
		first, last := p.Steps[session.StepFirstByte].Time, p.Steps[session.StepLastByte].Time
		if !first.Before(restarted) || !restarted.Before(last) {
			d.Errorf("%s received from %v to %v, and the server was started anew at %v", n.Name(), first, last,
				restarted)
		}
		if q := p.Progress; q == nil || q.Multicast < q.Needed/2 || p.Warning != "" || p.Unbootable != "" ||
			!reached(v, n, session.StepVerified) || !reached(v, n, session.StepPersonalized) {
			d.Errorf("%s: %+v, progress %+v", n.Name(), p, p.Progress)
		}
	}
}

// judgeMachines looks into both machines, sees that they are two, and switches them off; their file systems are clean.
func (d *day) judgeMachines(nodes []*site.Node) {
	d.Helper()
	shared := map[string]string{} // whose it is, by what only one machine may have
	for i, n := range nodes {
		d.lives(n, fmt.Sprintf("10.77.0.1%d", i+1))
		for what, is := range d.looksInto(n, i+1) {
			if other := shared[what+is]; other != "" {
				d.Errorf("%s and %s have the same %s: %s", other, n.Name(), what, is)
			}
			shared[what+is] = n.Name()
		}
		if err := n.Console().Send(osimage.PowerOff); err != nil {
			d.Fatal(err)
		}
	}
	d.off(nodes...)
	for _, n := range nodes {
		parts, err := oracle.Table(d.ctx, n.Disk)
		if err != nil {
			d.Fatal(err)
		}
		if err := oracle.CheckExt(d.ctx, n.Disk, parts[len(parts)-1].Start); err != nil {
			d.Errorf("%s: %v", n.Name(), err)
		}
	}
}

// lives waits until the server has seen that a machine's own system lives at its address.
func (d *day) lives(n *site.Node, address string) {
	d.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var now doc.Session
		if err := d.Ask(d.ctx, &now, "session", "show", "s1"); err != nil {
			d.Fatal(err)
		}
		alive := ""
		for i := range now.Parts {
			if now.Parts[i].Node == n.ID {
				alive = now.Parts[i].Alive
			}
		}
		if strings.HasPrefix(alive, "alive: SSH answers at "+address+" ") {
			d.note("%s %s", n.Name(), alive)
			return
		}
		select {
		case <-tick.C:
		case <-d.ctx.Done():
			d.Fatalf("%s lives at %s, and the server says %q", n.Name(), address, alive)
		}
	}
}
