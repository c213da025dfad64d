package ipmi_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/ipmi"
)

const (
	user     = "operator"
	password = "correct-horse"
)

// chassis is what the simulator calls: get, set or check, and parameters. Files of the directory are the
// machine: power, boot, and "lies" has it take what is set and do nothing.
const chassis = `#!/bin/sh
cd %s || exit 1
op=$1; shift
while [ -n "$1" ]; do
	case $op in
	get) echo "$1:$(cat "$1")"; shift;;
	set) [ -e lies ] || echo "$2" >"$1"; echo "$1=$2" >>asked; shift 2;;
	check) shift;;
	esac
done
exit 0
`

// sim is OpenIPMI's simulator of a BMC.
type sim struct{ dir, address string }

func newSim(t *testing.T) *sim { return newSimAt(t, "127.0.0.1:0", "") }

// newSimAt is newSim at an address, with more lines of its LAN's configuration.
func newSimAt(t *testing.T, address, more string) *sim {
	t.Helper()
	path := need.Tool(t, "ipmi_sim")
	s := &sim{dir: t.TempDir()}
	pc, err := net.ListenPacket("udp4", address) // a port that was free a moment ago
	if err != nil {
		t.Fatal(err)
	}
	s.address = pc.LocalAddr().String()
	pc.Close()
	host, port, _ := net.SplitHostPort(s.address)
	s.write(t, "power", "0\n")
	s.write(t, "boot", "none\n")
	s.write(t, "chassis", fmt.Sprintf(chassis, s.dir))
	if err := os.Chmod(s.file("chassis"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write(t, "lan.conf", fmt.Sprintf(`name "test"
set_working_mc 0x20
  startlan 1
    addr %s %s
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "%s"
%s
  user 1 true "" "test" user 10 none md2 md5 straight
  user 2 true "%s" "%s" admin 10 none md2 md5 straight
`, host, port, s.file("chassis"), more, user, password))
	s.write(t, "sim.emu", `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
`)
	cmd := exec.Command(path, "-c", s.file("lan.conf"), "-f", s.file("sim.emu"), "-s", s.dir, "-n")
	log, err := os.Create(s.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, s.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			b, _ := os.ReadFile(s.file("log"))
			t.Logf("ipmi_sim: %s", b)
		}
	})
	return s
}

func (s *sim) file(name string) string { return filepath.Join(s.dir, name) }

func (s *sim) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *sim) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(s.file(name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func (s *sim) do(t *testing.T, user, password string, f func(context.Context, *power.Machine) (*power.Outcome, error)) (
	*power.Outcome, error) {
	t.Helper()
	h := &power.Host{Gate: power.NewGate(0)}
	dev, err := ipmi.Driver.Open(&power.Config{Machine: "m1", Address: s.address, User: user, Password: password}, h)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	return f(t.Context(), power.NewMachine(ipmi.Driver, dev, power.Timing{Request: 10 * time.Second,
		Limit: 300 * time.Millisecond, Poll: 5 * time.Millisecond, Hold: 20 * time.Millisecond, Rest: time.Millisecond,
		Backoff: 50 * time.Millisecond, Tries: 5}))
}

// TestSimulator switches OpenIPMI's BMC, and has its chassis and ipmitool say what came of it.
func TestSimulator(t *testing.T) {
	s := newSim(t)
	on := func(ctx context.Context, m *power.Machine) (*power.Outcome, error) { return m.On(ctx) }
	if o, err := s.do(t, user, password, on); err != nil || o.State != power.On || s.read(t, "power") != "1" {
		t.Fatalf("on: %v, %v; the chassis has power %s", o, err, s.read(t, "power"))
	}
	o, err := s.do(t, user, password, func(ctx context.Context, m *power.Machine) (*power.Outcome, error) {
		return m.BootOnce(ctx, power.Network)
	})
	// This BMC keeps the device and drops the bit that has the firmware heed it.
	if power.WordOf(err) != power.Nothing || !strings.Contains(s.read(t, "asked"), "boot=pxe") {
		t.Errorf("boot by network: %v, %v, asked %q; want the word %q", o, err, s.read(t, "asked"), power.Nothing)
	}
	s.judge(t, "Boot Flag Invalid", "chassis", "bootparam", "get", "5")
	s.judge(t, "Force PXE", "chassis", "bootparam", "get", "5")
	o, err = s.do(t, user, password, func(ctx context.Context, m *power.Machine) (*power.Outcome, error) {
		return m.Cycle(ctx)
	})
	if err != nil || o.State != power.On || !strings.HasSuffix(s.read(t, "asked"), "power=0\npower=1") {
		t.Errorf("cycle: %v, %v; the chassis was asked for %q", o, err, s.read(t, "asked"))
	}
	s.judge(t, "Chassis Power is on", "chassis", "power", "status")

	s.write(t, "lies", "")
	o, err = s.do(t, user, password, func(ctx context.Context, m *power.Machine) (*power.Outcome, error) {
		return m.Off(ctx)
	})
	if power.WordOf(err) != power.Nothing {
		t.Errorf("a chassis that does nothing: %v, %v; want the word %q", o, err, power.Nothing)
	}
	if o, err := s.do(t, user, "wrong", on); power.WordOf(err) != power.Password {
		t.Errorf("a wrong password: %v, %v; want the word %q", o, err, power.Password)
	}
	if o, err := s.do(t, "nobody", password, on); power.WordOf(err) != power.Password {
		t.Errorf("a user that is not there: %v, %v; want the word %q", o, err, power.Password)
	}
}

// judge has ipmitool look at the BMC.
func (s *sim) judge(t *testing.T, want string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("ipmitool"); err != nil {
		t.Log("ipmitool is not here (Debian package ipmitool): it does not judge")
		return
	}
	host, port, _ := net.SplitHostPort(s.address)
	all := append([]string{"-I", "lanplus", "-C", "3", "-H", host, "-p", port, "-U", user, "-P", password}, args...)
	out, err := exec.CommandContext(t.Context(), "ipmitool", all...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("ipmitool %v: %v, %s; want %q", args, err, out, want)
	}
}

// TestNobody has an address where no BMC is end in its word.
func TestNobody(t *testing.T) {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close() // it takes all and answers nothing
	h := &power.Host{Gate: power.NewGate(0)}
	dev, err := ipmi.Driver.Open(&power.Config{Address: pc.LocalAddr().String(), User: user, Password: password}, h)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m := power.NewMachine(ipmi.Driver, dev, power.Timing{Request: 300 * time.Millisecond, Tries: 1})
	if s, err := m.State(t.Context()); power.WordOf(err) != power.Silent {
		t.Errorf("nobody there: %v, %v; want the word %q", s, err, power.Silent)
	}
}
