package qemutests

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// sshKey is the operator's private key.
func (d *day) sshKey() string { return filepath.Join(d.dir, "operator.key") }

// serverStarted is when the server's process was started, by systemd's word.
func (d *day) serverStarted() time.Time {
	d.Helper()
	text := d.runs("systemctl show --timestamp=us+utc --property ExecMainStartTimestamp --value diskcast.service")
	at, err := time.Parse("Mon 2006-01-02 15:04:05.999999 MST", text)
	if err != nil {
		d.Fatalf("systemd says that the server was started at %q: %v", text, err)
	}
	return at
}

// question is what is asked of a machine over SSH; each line of the answer has a word for what it is.
const question = `echo hostname $(hostname)
echo machine-id $(cat /etc/machine-id)
echo address $(ip -4 -o address show scope global | while read -r n dev family a more; do echo $a; done)
echo zone $(readlink -f /etc/localtime)
echo lab $(cat /etc/lab.conf)
echo root $(findmnt -no UUID /)
echo failed $(systemctl --failed --no-legend --plain)
for k in /etc/ssh/ssh_host_*_key.pub; do echo $k $(ssh-keygen -lf $k) sum $(sha256sum <$k); done
`

// looksInto logs in on a machine's console and by SSH, with the operator's key, and holds what it finds against what
// its profile says. It returns what no other machine may have.
func (d *day) looksInto(n *site.Node, seat int) map[string]string {
	d.Helper()
	if err := osimage.LoginTo(d.ctx, n.VM, d.golden.RootUUID, n.Name()); err != nil {
		d.Fatal(err)
	}
	address := "10.77.0.1" + strconv.Itoa(seat)
	keys := d.hostKeys(n, address)
	out := d.inLab("ssh", "-F", "none", "-i", d.sshKey(), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile="+keys, "-o", "GlobalKnownHostsFile=none", "root@"+address, question)
	d.Logf("%s answers by SSH:\n%s", n.Name(), out)
	is := map[string]string{}
	for line := range strings.Lines(out) {
		what, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		is[what] = value
	}
	for what, want := range map[string]string{"hostname": n.Name(), "address": address + "/24",
		"zone": "/usr/share/zoneinfo/Europe/Berlin", "lab": "seat=" + strconv.Itoa(seat) + " mac=" + n.MAC,
		"root": d.golden.RootUUID, "failed": ""} {
		if got, ok := is[what]; !ok || got != want {
			d.Errorf("%s: its %s is %q, want %q", n.Name(), what, got, want)
		}
	}
	own := map[string]string{"machine-id": is["machine-id"]}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(own["machine-id"]) ||
		own["machine-id"] == osimage.GoldenMachineID {
		d.Errorf("%s: its machine-id is %q", n.Name(), own["machine-id"])
	}
	for what, value := range is {
		if !strings.HasPrefix(what, "/etc/ssh/") {
			continue
		}
		print, sum, _ := strings.Cut(value, " sum ")
		if sum, _, _ = strings.Cut(sum, " "); sum == d.golden.Root[what[1:]].Sum {
			d.Errorf("%s: %s is the image's", n.Name(), what)
		}
		own[what] = print
	}
	if len(own) != 4 {
		d.Errorf("%s has host keys %v, want three", n.Name(), slices.Sorted(maps.Keys(own)))
	}
	return own
}

// hostKeys writes a known_hosts of the keys that a machine shows at an address, after each was found among those that
// the session says it made for that machine.
func (d *day) hostKeys(n *site.Node, address string) (file string) {
	d.Helper()
	shown := d.inLab("ssh-keyscan", "-T", "60", "-t", "rsa,ecdsa,ed25519", address)
	file = filepath.Join(d.dir, n.Name()+".known_hosts")
	if err := os.WriteFile(file, []byte(shown), 0o600); err != nil {
		d.Fatal(err)
	}
	told := d.runs("diskcast session show s1")
	prints := d.inLab("ssh-keygen", "-l", "-f", file)
	count := 0
	for line := range strings.Lines(prints) {
		if f := strings.Fields(line); len(f) > 1 {
			count++
			if !strings.Contains(told, f[1]) {
				d.Errorf("%s shows the host key %s, which the session does not name:\n%s", n.Name(), line, told)
			}
		}
	}
	if count != 3 {
		d.Errorf("%s shows %d host keys, want three:\n%s", n.Name(), count, prints)
	}
	return file
}

// inLab runs a program of this machine on the lab's network, and returns what it wrote to standard output.
func (d *day) inLab(name string, args ...string) string {
	d.Helper()
	cmd := proc.Command(d.ctx, name, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := d.Lab.Start(cmd); err != nil {
		d.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		d.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, &said, &out)
	}
	return out.String()
}
