package qemutests

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// newPassword is root's after the restore; its hash is `openssl passwd -6 -salt personal personal`.
const (
	newPassword = "personal"
	newHash     = "$6$personal$Eck5nWFi2tlkA6/80Le0vec/gSCwl35QtxMl13i5TwYGInCtcGYhVEwirVrK7JcV7yvwtuyn/smpwTKMDtXaj/"
)

// personalLab is what the operator wrote down: NAME and ADDRESS are the machine's labels, KEY is the operator's.
const personalLab = `machines:
  - {name: seat-1, mac: "52:54:00:dc:00:01", labels: {seat: 1, host: NAME, address: ADDRESS}, profile: lab}
profiles:
  lab:
    image: debian
    disk: only
    verify: true
    personalize:
      hostname: "{{.Labels.host}}"
      machine_id: new
      ssh_host_keys: new
      authorized_keys: {root: "KEY"}
      passwords: {root: "HASH"}
      time_zone: Europe/Berlin
      network:
        - {addresses: ["{{.Labels.address}}/24"], gateways: ["10.77.0.1"], dns: ["10.77.0.1"], search: [lab.example]}
      kernel_words: ["lab.seat={{.Labels.seat}}"]
      files:
        - {path: /etc/lab.conf, mode: "0640", content: "seat={{.Labels.seat}} mac={{.MAC}}"}
      script: {run: "echo by $(cat /etc/hostname) >/opt/by-script; systemctl mask apt-daily.service"}
`

// TestPersonal restores a Debian that has another machine's name, id, keys and password, makes it the machine's own,
// and asks the system that comes up, by SSH with OpenSSH's own tools, who it is. The same image is restored to the same
// disk again, with another name: only what differs is moved, and nothing of the first identity is left.
func TestPersonal(t *testing.T) {
	if os.Getenv("DISKCAST_PERSONAL") == "" {
		t.Skip("make test-personal runs this (DISKCAST_PERSONAL=1)")
	}
	type maker func(ctx context.Context, cache string, log io.Writer) (*osimage.Image, error)
	for _, c := range []struct {
		name   string
		image  maker
		where  string // the root, in the agent's words
		source string // in the system's
		rootAt int64  // from the start of the last partition
		rounds []string
	}{
		{"partition", osimage.Personal, "partition 2 (ext4)", "/dev/vda2", 0, []string{"pc-1", "pc-2"}},
		// LVM's first extent is at 1 MiB.
		{"LVM", osimage.PersonalLVM, "logical volume lab-vg/root (ext4)", "/dev/mapper/lab--vg-root", 1 << 20,
			[]string{"pc-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			need.Tools(t, "ssh", "ssh-keygen", "ssh-keyscan", "lvm")
			b := setupBy(t, 25*time.Minute, func(ctx context.Context, t *testing.T) *osimage.Image {
				im, err := osimage.Personal(ctx, osimage.Cache(), nil)
				if err != nil {
					t.Fatal(err)
				}
				return im
			}, func(*osimage.Image) site.Options { return site.Options{Lab: lab.Options{Snooping: true}} })
			im, err := c.image(b.ctx, osimage.Cache(), nil)
			if err != nil {
				t.Fatal(err)
			}
			b.add("debian", im)
			key := filepath.Join(b.dir, "id")
			if err := proc.Run(b.ctx, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f",
				key); err != nil {
				t.Fatal(err)
			}
			n := b.node("a", site.Hardware{Memory: 768})
			var before []*itself
			for i, name := range c.rounds {
				differ := int64(1) << 62
				if i > 0 {
					differ = differing(t, im.Disk, n.Disk)
				}
				x := b.personal(n, key, name, fmt.Sprintf("10.77.0.%d", 51+i), differ)
				if !strings.Contains(x.said, c.where) {
					t.Errorf("it says %q, want %q", x.said, c.where)
				}
				if x.values["root"] != c.source {
					t.Errorf("the root is %s, want %s", x.values["root"], c.source)
				}
				for _, old := range before {
					// Not the machine-id: under KVM systemd takes the machine's UUID for it (machine-id(5)).
					if slices.ContainsFunc(x.prints, func(p string) bool { return slices.Contains(old.prints, p) }) {
						t.Errorf("%s has a host key of %s", name, old.values["hostname"])
					}
				}
				before = append(before, x)
				parts, err := oracle.Table(b.ctx, n.Disk)
				if err != nil {
					t.Fatal(err)
				}
				if err := oracle.CheckExt(b.ctx, n.Disk, parts[len(parts)-1].Start+c.rootAt); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// itself is what a machine says of itself.
type itself struct {
	said   string // by the agent, of what it wrote
	prints []string
	values map[string]string
}

// ask is what is asked of the restored system, a line for each answer.
const ask = `echo "hostname: $(hostname)"
echo "hosts: $(getent hosts $(hostname))"
echo "id: $(cat /etc/machine-id)"
echo "running id: $(journalctl --header | sed -n 's/^Machine ID: //p' | head -n 1)"
echo "zone: $(date +%Z) $(readlink /etc/localtime)"
echo "address: $(ip -4 -o addr show scope global | tr -s ' ' | cut -d ' ' -f 4)"
echo "route: $(ip -4 route show default | cut -d ' ' -f 1-3)"
echo "resolv: $(grep -v '^#' /etc/resolv.conf | tr '\n' ' ')"
echo "file: $(cat /etc/lab.conf) $(stat -c %a /etc/lab.conf)"
echo "script: $(cat /opt/by-script)"
echo "masked: $(systemctl is-enabled apt-daily.service)"
echo "hash: $(getent shadow root | cut -d : -f 2)"
echo "active: $(systemctl is-active ssh networking | tr '\n' ' ')"
echo "failed: $(systemctl list-units --failed --plain --no-legend)"
echo "cmdline: $(cat /proc/cmdline)"
echo "root: $(findmnt -no SOURCE /)"
`

// personal restores the image to the machine under a name and an address, logs in and asks. differ is at most how many
// bytes of the image the disk does not have.
func (b *bench) personal(n *site.Node, key, name, address string, differ int64) *itself {
	b.Helper()
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.dir, "lab.yaml")
	text := strings.NewReplacer("NAME", name, "ADDRESS", address, "KEY", strings.TrimSpace(string(public)), "HASH",
		newHash).Replace(personalLab)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	if _, err := b.Operate(b.ctx, "apply", "-f", file); err != nil {
		b.Fatal(err)
	}
	se, err := b.Create(b.ctx, "--on", "seat=1")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(se.Stop)
	b.on(n)
	v := b.done(se)
	p := v.Parts[n.ID]
	x := &itself{said: p.Steps[session.StepPersonalized].Message, values: map[string]string{}}
	b.Logf("%s: personalized: %s", name, x.said)
	b.Logf("%s: boot: %s", name, p.Steps[session.StepBoot].Message)
	received, object := p.Progress.Received, v.Session.Image.ObjectSize
	b.Logf("%s: received %d of %d bytes of the image (%.3f)", name, received, object, float64(received)/float64(object))
	if received == 0 || received > differ || differ < 1<<62 && received > object/2 {
		b.Errorf("%s: %d bytes were received; the object has %d, and at most %d bytes of the disk differ", name,
			received, object, differ)
	}

	if _, err := n.Expect(b.ctx, `^`+name+` login: `); err != nil {
		b.Fatal(err)
	}
	b.Logf("%s: login prompt %v after power-on", name, time.Since(n.SwitchedOn()).Round(time.Second))
	for _, step := range [][2]string{{osimage.User + "\n", `^Password: `}, {newPassword + "\n", `# $`}} {
		if err := n.Console().Send(step[0]); err != nil {
			b.Fatal(err)
		}
		if _, err := n.Expect(b.ctx, step[1]); err != nil {
			b.Fatal(err)
		}
	}
	// The prompt is there before the network and its services are.
	const state = "echo is-''up: $(systemctl is-system-running --wait) $(systemctl is-active ssh networking) "
	if err := n.Console().Send(state + "$(ip -4 -br addr)\n"); err != nil {
		b.Fatal(err)
	}
	up, err := n.Expect(b.ctx, `^is-up: (.*)\n`)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%s: %s, %v after power-on", name, strings.TrimSpace(up.Groups[1]),
		time.Since(n.SwitchedOn()).Round(time.Second))
	b.bySSH(x, key, address)
	b.isItself(x, n, name, address)
	if err := n.Console().Send(osimage.PowerOff); err != nil {
		b.Fatal(err)
	}
	b.off(n)
	for what, text := range map[string]string{"console": n.Console().Text(), "server's log": b.read("server.log")} {
		if strings.Contains(text, newHash) {
			b.Errorf("the %s has the password's hash", what)
		}
	}
	return x
}

func (b *bench) read(name string) string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// bySSH has OpenSSH's tools fetch the host keys, and ask the system with the operator's key.
func (b *bench) bySSH(x *itself, key, address string) {
	b.Helper()
	known := filepath.Join(b.dir, "known_hosts")
	keys := b.inLab("ssh-keyscan", "-T", "60", "-t", "rsa,ecdsa,ed25519", address)
	if err := os.WriteFile(known, []byte(keys), 0o600); err != nil {
		b.Fatal(err)
	}
	prints, err := proc.Output(b.ctx, "ssh-keygen", "-l", "-f", known)
	if err != nil {
		b.Fatal(err)
	}
	x.prints = regexp.MustCompile(`SHA256:\S+`).FindAllString(prints, -1)
	out := b.inLab("ssh", "-F", "none", "-i", key, "-o", "UserKnownHostsFile="+known, "-o", "GlobalKnownHostsFile=none",
		"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60", "root@"+address, ask)
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, ": ")
		x.values[name] = strings.TrimSpace(value)
	}
}

// inLab runs a program in the lab's network.
func (b *bench) inLab(name string, args ...string) string {
	b.Helper()
	cmd := proc.Command(b.ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := b.Lab.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		b.Fatalf("%s: %v: %s%s", name, err, &out, &errs)
	}
	return out.String()
}

// isItself holds what a machine says against what it was to become.
func (b *bench) isItself(x *itself, n *site.Node, name, address string) {
	b.Helper()
	for what, want := range map[string]string{
		"hostname": name, "hosts": `127\.0\.1\.1\s+` + name, "id": `[0-9a-f]{32}`,
		"zone":    `CES?T \.\./usr/share/zoneinfo/Europe/Berlin`,
		"address": regexp.QuoteMeta(address) + "/24", "route": "default via 10.77.0.1",
		"resolv": "search lab.example nameserver 10.77.0.1", "file": "seat=1 mac=" + n.MAC + " 640",
		"script": "by " + name, "masked": "masked", "hash": regexp.QuoteMeta(newHash), "active": "active active",
		"failed": "", "cmdline": `.*\blab\.seat=1\b.*`, "running id": x.values["id"],
	} {
		got, there := x.values[what]
		if !there || !regexp.MustCompile(`^(?:`+want+`)$`).MatchString(got) {
			b.Errorf("%s: %s is %q, want %s", name, what, got, want)
		}
	}
	if x.values["id"] == osimage.PersonalID {
		b.Errorf("%s: the machine-id is the image's", name)
	}
	if len(x.prints) != 3 {
		b.Errorf("%s: ssh-keyscan found the keys %q, want three", name, x.prints)
	}
	for _, p := range x.prints {
		if !strings.Contains(x.said, p) {
			b.Errorf("%s: the host key %s is none of those that the agent made", name, p)
		}
	}
}

// differing is how many bytes the cells of the image have in which a disk differs from it.
func differing(t *testing.T, image, disk string) (n int64) {
	t.Helper()
	const cell = 4 << 20
	var files [2]*os.File
	for i, path := range []string{image, disk} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	for at := int64(0); ; at += cell {
		var bufs [2][]byte
		for i, f := range files {
			bufs[i] = make([]byte, cell)
			got, err := f.ReadAt(bufs[i], at)
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			bufs[i] = bufs[i][:got]
		}
		size := len(bufs[0])
		if size == 0 {
			return n
		}
		if !bytes.Equal(bufs[0], bufs[1][:min(size, len(bufs[1]))]) {
			n += int64(size)
		}
	}
}
