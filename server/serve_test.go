package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/serve"
)

// lab is a server and a node of software, each in a network namespace of its own.
type lab struct {
	t     *testing.T
	n     *nettest.Net
	state string
	info  serve.Info
	cmd   *exec.Cmd
	log   *bytes.Buffer
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, n: nettest.New(t), state: filepath.Join(t.TempDir(), "state"), log: &bytes.Buffer{}}
	boot := filepath.Join(l.state, "boot")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"undionly.kpxe": "first stage",
		"boot.ipxe": "#!ipxe\nkernel vmlinuz\n", "vmlinuz": strings.Repeat("kernel", 1000),
		"initramfs.img": "initramfs"} {
		if err := os.WriteFile(filepath.Join(boot, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := writeDisk(disk, 16<<20); err != nil {
		t.Fatal(err)
	}
	l.diskcast("image", "import", disk, "--name", "debian")
	t.Cleanup(func() {
		l.kill()
		if t.Failed() {
			t.Logf("server's log:\n%s", l.log)
		}
	})
	l.serve()
	return l
}

// store is not the state's own, to see that the server keeps to what it is told.
func (l *lab) store() string { return filepath.Join(l.state, "elsewhere") }

// serve starts the server and waits until it is ready.
func (l *lab) serve() {
	l.t.Helper()
	l.cmd = exec.Command("diskcast", "serve", "--json", "--debug", "--state", l.state, "--store", l.store(),
		"--interface", nettest.Server, "--dhcp", "full", "--dhcp-range", "10.77.0.100-10.77.0.120")
	l.cmd.Stderr = l.log
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	l.n.Do(func() { err = l.cmd.Start() })
	if err != nil {
		l.t.Fatal(err)
	}
	if err := json.NewDecoder(out).Decode(&l.info); err != nil {
		l.kill()
		l.t.Fatalf("server does not start: %v\n%s", err, l.log)
	}
}

// kill ends the server as a power cut does.
func (l *lab) kill() {
	if l.cmd != nil {
		l.cmd.Process.Signal(syscall.SIGKILL)
		l.cmd.Wait()
		l.cmd = nil
	}
}

// diskcast runs a command on the server's machine and returns what it printed.
func (l *lab) diskcast(args ...string) string {
	l.t.Helper()
	args = append(args, "--state", l.state)
	if args[0] == "image" {
		args = append(args, "--store", l.store())
	}
	cmd := exec.Command("diskcast", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var err error
	l.n.Do(func() { err = cmd.Run() })
	if err != nil {
		l.t.Fatalf("diskcast %s: %v\n%s", strings.Join(args, " "), err, &errs)
	}
	return out.String()
}

// node starts a node; each line that it prints is given to see.
func (l *lab) node(see func(line string)) {
	l.t.Helper()
	cmd := exec.Command("fakenode", "-server", l.info.Server, "-pin", l.info.Pin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	l.n.DoClient(func() { err = cmd.Start() })
	if err != nil {
		l.t.Fatal(err)
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		see(sc.Text())
	}
	if err := cmd.Wait(); err != nil {
		l.t.Fatalf("node: %v\n%s", err, &errs)
	}
}

func (l *lab) session(id string) *doc.Session {
	l.t.Helper()
	var s doc.Session
	if err := json.Unmarshal([]byte(l.diskcast("session", "show", id, "--json")), &s); err != nil {
		l.t.Fatal(err)
	}
	return &s
}

// TestFromPowerOnToBoot is the whole line on real sockets, with the server killed in the middle of the cast.
func TestFromPowerOnToBoot(t *testing.T) {
	l := newLab(t)
	id := strings.TrimSpace(l.diskcast("session", "create", "--image", "debian", "--nodes", "1", "--rate", "40M"))
	before := l.session(id)
	var said []string
	l.node(func(line string) {
		said = append(said, line)
		if line == "step first-byte" {
			l.kill()
			l.serve()
		}
	})
	if got := strings.Join(said[1:], ", "); got != "descriptor "+id+
		" restore, step plan, step first-byte, step last-byte, step written, step grown, step entry, step boot" {
		t.Errorf("the node said: %s", got)
	}
	after := l.session(id)
	if after.State != doc.Done || after.Cast.Group != before.Cast.Group ||
		after.Cast.Feedback != before.Cast.Feedback {
		t.Errorf("session after: %+v", after)
	}
	var missing []string
	for _, step := range []string{"dhcp", "bootfile", "script", "kernel", "initramfs", "agent", "plan", "first-byte",
		"last-byte", "written", "boot"} {
		if after.Parts[0].Steps[step].Time.IsZero() {
			missing = append(missing, step)
		}
	}
	if len(missing) > 0 {
		t.Errorf("timeline lacks %v", missing)
	}
	// The watch of a session that is over shows it and ends well.
	if out := l.diskcast("session", "watch", id); !strings.Contains(out, "first byte") ||
		!strings.Contains(out, "MB/s") {
		t.Errorf("watch: %s", out)
	}
	if out := l.diskcast("node", "list"); !strings.Contains(out, "left") {
		t.Errorf("nodes: %s", out)
	}
	// Switched on again, the machine boots its disk.
	said = nil
	l.node(func(line string) { said = append(said, line) })
	if got := said[len(said)-1]; got != "local disk" {
		t.Errorf("after imaging the machine was sent to: %v", said)
	}
}
