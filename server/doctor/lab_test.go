package doctor_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/server/cmd"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/doctor"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/netboot/bootca"
)

// asDiskcast has the test binary be diskcast itself.
const asDiskcast = "DISKCAST_DOCTOR_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asDiskcast) == "" {
		os.Exit(m.Run())
	}
	err := cmd.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		cmd.WriteError(os.Stderr, os.Args[1:], err)
	}
	os.Exit(cmd.ExitCode(err))
}

// ofTheHost are findings of the machine that the test runs on.
var ofTheHost = []doctor.ID{doctor.ClockFree, doctor.ClockWrong, doctor.RoomState, doctor.RoomImages, doctor.BootKernel,
	doctor.OpenFiles, doctor.Buffers}

// ward is a server on a LAN of namespaces, with the LAN's DHCP server at node 1.
type ward struct {
	t     *testing.T
	l     *netlab.Lab
	state string
}

func (w *ward) diskcast(args ...string) *exec.Cmd {
	line := netlab.In(w.l.Node(0), append([]string{os.Args[0]}, args...)...)
	c := exec.Command(line[0], line[1:]...)
	c.Env = append(os.Environ(), asDiskcast+"=1", "DISKCAST_STATE="+w.state)
	return c
}

// serve starts the server, and returns when it is ready.
func (w *ward) serve() {
	w.t.Helper()
	c := w.diskcast("serve", "--interface", "eth0", "--config", "none", "--dhcp", "proxy", "--address", second,
		"--boot-https", ":8444")
	w.begin(c, "ready")
}

// begin starts a program that is ended with the test, and returns when it says a word.
func (w *ward) begin(c *exec.Cmd, word string) {
	w.t.Helper()
	r, wr, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	c.Stdout, c.Stderr = wr, wr
	if err := proc.Start(c); err != nil {
		w.t.Fatal(err)
	}
	wr.Close()
	w.t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		r.Close()
	})
	var all strings.Builder
	for sc := bufio.NewScanner(r); sc.Scan(); {
		all.WriteString(sc.Text() + "\n")
		if strings.Contains(sc.Text(), word) {
			go func() { // ends with the program
				for sc.Scan() {
				}
			}()
			return
		}
	}
	w.t.Fatal(all.String())
}

// dhcp starts a DHCP server that other people made on a node.
func (w *ward) dhcp(node int, more ...string) {
	w.t.Helper()
	args := []string{need.Tool(w.t, "dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
		"--bind-interfaces", "--interface=eth0", "--user=root", "--no-ping", "--dhcp-range=10.77.0.50,10.77.0.60,1h",
		"--dhcp-leasefile=" + filepath.Join(w.t.TempDir(), "leases"), "--log-facility=-", "--pid-file="}
	if i := slices.Index(more, "--ping"); i >= 0 { // as is dnsmasq's default
		args = slices.DeleteFunc(args, func(a string) bool { return a == "--no-ping" })
		more = slices.Delete(slices.Clone(more), i, i+1)
	}
	line := netlab.In(w.l.Node(node), append(args, more...)...)
	w.begin(exec.Command(line[0], line[1:]...), "sockets bound exclusively to interface")
}

// doctor runs `diskcast doctor` and returns what it found, but for what is of the host.
func (w *ward) doctor() ([]doctor.Finding, *doctor.Report) {
	w.t.Helper()
	return w.ask("--interface", "eth0", "--config", "none", "--dhcp", "proxy", "--address", second, "--boot-https",
		":8444")
}

// ask runs `diskcast doctor` with more arguments.
func (w *ward) ask(more ...string) ([]doctor.Finding, *doctor.Report) {
	w.t.Helper()
	c := w.diskcast(append([]string{"doctor", "--json"}, more...)...)
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	var r doctor.Report
	if jerr := json.Unmarshal(out.Bytes(), &r); jerr != nil {
		w.t.Fatalf("%v, %v: %s%s", err, jerr, out.String(), said.String())
	}
	all := r.Findings()
	var exit *exec.ExitError
	if code := 0; errors.As(err, &exit) {
		if code = exit.ExitCode(); code != 1 || len(all) == 0 {
			w.t.Errorf("exit code %d with %d findings: %s", code, len(all), said.String())
		}
	} else if err != nil || len(all) > 0 {
		w.t.Errorf("%v with %d findings", err, len(all))
	}
	return slices.DeleteFunc(all, func(f doctor.Finding) bool { return slices.Contains(ofTheHost, f.ID) }), &r
}

// second is the server's address: another than the first of its interface.
const second = "10.77.0.200"

// bootDir makes a boot directory that leads to the server, whose address is given to its interface.
func (w *ward) bootDir() {
	w.t.Helper()
	if err := w.l.On(w.l.Node(0), "ip", "address", "add", second+"/24", "dev", "eth0"); err != nil {
		w.t.Fatal(err)
	}
	id, err := identity.Load(w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	m := bootdir.Manifest{V: 1, Kernel: "999.0", Generator: "mkimage dev", Files: map[string]bootdir.File{},
		Site: bootdir.Site{V: 1, Server: "https://" + second + ":8443", Pin: id.Pin}}
	dir := filepath.Join(w.state, "boot")
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for name, size := range map[string]int{"undionly.kpxe": 70_001, "snponly.efi": 200_000} {
		b := bytes.Repeat([]byte(name), size/len(name))
		sum := sha256.Sum256(b)
		m.Files[name] = bootdir.File{Size: int64(len(b)), SHA256: hex.EncodeToString(sum[:])}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	b, err := json.Marshal(&m)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, bootdir.ManifestFile), b, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// on runs a program on the server's machine.
func (w *ward) on(args ...string) {
	w.t.Helper()
	if err := w.l.On(w.l.Node(0), args...); err != nil {
		w.t.Fatal(err)
	}
}

// TestLab: a sound lab gives no finding, and each fault its own. Each has a lab of its own, for most of the time a
// doctor waits for answers.
func TestLab(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(w *ward)
		want  doctor.ID
		words string
		mend  string
		dhcp  []string
	}{
		{"a firewall", func(w *ward) {
			w.on("nft", "add table inet f; add chain inet f in { type filter hook input priority 0; policy accept; }; "+
				"add rule inet f in iifname eth0 udp dport 69 drop")
		}, doctor.Firewall, "TFTP (UDP port 69), in inet f in",
			"nft insert rule inet f in iifname eth0 udp dport 69 accept", nil},
		{"a small MTU", func(w *ward) { w.on("ip", "link", "set", "eth0", "mtu", "1280") }, doctor.MTUSmall,
			"is 1280", "ip link set eth0 mtu 1500", nil},
		{"another boot CA", func(w *ward) {
			if err := os.Remove(filepath.Join(w.state, bootca.File)); err != nil {
				w.t.Fatal(err)
			}
			if _, err := bootca.Load(w.state); err != nil {
				w.t.Fatal(err)
			}
		}, doctor.HTTPSCert, "another certificate than boot-ca.pem", "systemctl restart", nil},
		{"a second DHCP server", func(w *ward) { w.dhcp(2) }, doctor.DHCPSecond, "10.77.0.3", "stop all but one", nil},
		{"a boot file of the LAN's DHCP server", func(*ward) {}, doctor.DHCPBoot, "evil.0 on 10.77.0.9", "dhcp-boot",
			[]string{"--dhcp-boot=evil.0,,10.77.0.9"}},
		{"a boot file for firmware alone", func(*ward) {}, doctor.DHCPBoot, "evil.efi on 10.77.0.2", "dhcp-boot",
			[]string{"--dhcp-match=set:efi,option:client-arch,7", "--dhcp-boot=tag:efi,evil.efi"}},
		{"a boot file for BIOS alone", func(*ward) {}, doctor.DHCPBoot, "evil.0 on 10.77.0.2", "dhcp-boot",
			[]string{"--dhcp-match=set:bios,option:client-arch,0", "--dhcp-boot=tag:bios,evil.0"}},
		{"a boot file for iPXE alone", func(*ward) {}, doctor.DHCPBoot, "evil.ipxe on 10.77.0.2", "dhcp-boot",
			[]string{"--dhcp-userclass=set:ipxe,iPXE", "--dhcp-boot=tag:ipxe,evil.ipxe"}},
		{"a second DHCP server that pings first", func(w *ward) { w.dhcp(2, "--ping") }, doctor.DHCPSecond,
			"10.77.0.3", "stop all but one", nil},
		{"a boot file of a server that pings first", func(*ward) {}, doctor.DHCPBoot, "evil.0 on 10.77.0.2",
			"dhcp-boot", []string{"--ping", "--dhcp-match=set:bios,option:client-arch,0",
				"--dhcp-boot=tag:bios,evil.0"}},
		{"a boot file that leads to this server", func(w *ward) { w.dhcp(2) }, doctor.DHCPSecond, "10.77.0.3",
			"stop all but one", []string{"--dhcp-boot=snponly.efi,," + second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newLab(t, c.dhcp...)
			c.make(w)
			found, _ := w.doctor()
			if len(found) != 1 || found[0].ID != c.want || !strings.Contains(found[0].What, c.words) ||
				!strings.Contains(found[0].Mend, c.mend) {
				t.Errorf("%+v; want %s with %q, mended by %q", found, c.want, c.words, c.mend)
			}
		})
	}
	t.Run("the server itself", func(t *testing.T) {
		t.Parallel()
		itself(t)
	})
	t.Run("sound", func(t *testing.T) {
		t.Parallel()
		sound(t)
	})
}

// newLab is a sound lab with a server that runs; dhcp are more words to the LAN's DHCP server.
func newLab(t *testing.T, dhcp ...string) *ward {
	t.Helper()
	w := &ward{t: t, l: netlabtest.New(t, 3, "nft"), state: filepath.Join(t.TempDir(), "state")}
	w.bootDir()
	w.dhcp(1, dhcp...)
	w.serve()
	return w
}

// itself has a server that runs look at itself: it finds what the command finds, all but the firewall is looked at, and
// it does not look twice for two who ask.
func itself(t *testing.T) {
	w := newLab(t)
	w.dhcp(2)
	found, r := w.ask("--server", "https://"+second+":8443")
	if len(found) != 1 || found[0].ID != doctor.DHCPSecond || found[0].Grave != doc.GraveStops {
		t.Errorf("%+v; want %s", found, doctor.DHCPSecond)
	}
	for _, l := range r.Looks {
		if apart := l.Check == "firewall"; (len(l.Not) > 0) != apart && l.Check != "clock" {
			t.Errorf("%s: found %v, well %q, not looked at %q", l.Check, l.Found, l.Well, l.Not)
		}
	}
	w.on("ip", "link", "set", "eth0", "mtu", "1280")
	if again, _ := w.ask("--server", "https://"+second+":8443"); len(again) != 1 {
		t.Errorf("asked again at once: %+v; want what was found", again)
	}
}

// sound has all of a sound lab looked at, and all of it well.
func sound(t *testing.T) {
	found, r := newLab(t).doctor()
	if len(found) > 0 {
		t.Errorf("a sound lab: %+v", found)
	}
	var well []string
	for _, l := range r.Looks {
		if len(l.Not) > 0 && l.Check != "clock" {
			t.Errorf("%s: not looked at: %q", l.Check, l.Not)
		}
		well = append(well, l.Well...)
	}
	for _, want := range []string{"one DHCP server gives addresses: 10.77.0.2", "comes by TFTP from " + second,
		"comes by HTTP from " + second + ":8080", "comes by HTTPS from " + second + ":8444", "leads to this server",
		"the firewall lets pass: DHCP (UDP port 67)"} {
		if !slices.ContainsFunc(well, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("it does not say that %q is well: %q", want, well)
		}
	}
}

// TestServerAway looks at a server that does not run: nothing that only it knows is called well, and who has a port of
// it is found.
func TestServerAway(t *testing.T) {
	t.Parallel()
	w := &ward{t: t, l: netlabtest.New(t, 2, "nft"), state: filepath.Join(t.TempDir(), "state")}
	w.bootDir()
	w.dhcp(1)
	py := netlab.In(w.l.Node(0), need.Tool(t, "dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
		"--user=root", "--enable-tftp", "--tftp-root=/", "--interface=eth0", "--bind-interfaces", "--log-facility=-",
		"--pid-file=")
	w.begin(exec.Command(py[0], py[1:]...), "TFTP")
	found, r := w.doctor()
	if len(found) != 1 || found[0].ID != doctor.PortTaken || !strings.Contains(found[0].What, "dnsmasq") {
		t.Errorf("found %+v", found)
	}
	for _, l := range r.Looks {
		if slices.Contains([]string{"server", "boot files", "limits", "machines"}, l.Check) && len(l.Not) == 0 {
			t.Errorf("%s: well %q, and the server does not run", l.Check, l.Well)
		}
	}
	if len(found) == 1 {
		if text := fmt.Sprint(found[0]); !strings.Contains(text, "ss -lunp 'sport = 69'") {
			t.Error(text)
		}
	}
}
