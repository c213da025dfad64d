package command

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/power"
)

// plug imitates a PDU's program: its state is a file.
const plug = `#!/bin/sh
read -r password
cd "$2" || exit 1
[ "$password" = secret ] || { echo "outlet 7: wrong password $password" >&2; exit 3; }
[ -z "$DISKCAST_TOKEN" ] || { echo "the server's environment is here" >&2; exit 4; }
case $1 in
state) cat power;;
on|off) echo "$1" >power;;
bootonce) echo "$3" >boot;;
boot) cat boot;;
esac
`

func machine(t *testing.T, dir, password string, argv ...string) (*power.Machine, error) {
	t.Helper()
	h := &power.Host{Gate: power.NewGate(0), Commands: map[string][]string{"plug": argv}}
	dev, err := Driver.Open(&power.Config{Machine: "m1", Command: "plug", Address: dir, Password: password}, h)
	if err != nil {
		return nil, err
	}
	return power.NewMachine(Driver, dev, power.Timing{Request: 20 * time.Second, Limit: 5 * time.Second,
		Poll: time.Millisecond, Hold: time.Millisecond, Tries: 1}), nil
}

func TestCommand(t *testing.T) {
	t.Setenv("DISKCAST_TOKEN", "the operator's")
	dir := t.TempDir()
	script := filepath.Join(dir, "plug")
	for name, text := range map[string]string{"plug": plug, "power": "off\n", "boot": "default\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m, err := machine(t, dir, "secret", script, "{op}", "{address}", "{device}")
	if err != nil {
		t.Fatal(err)
	}
	if o, err := m.On(t.Context()); err != nil || o.State != power.On {
		t.Errorf("on: %v, %v", o, err)
	}
	if o, err := m.Cycle(t.Context()); err != nil || o.State != power.On {
		t.Errorf("cycle: %v, %v", o, err)
	}
	if o, err := m.BootOnce(t.Context(), power.Disk); err != nil || o.Boot != power.Disk {
		t.Errorf("boot: %v, %v", o, err)
	}
	m, err = machine(t, dir, "tr0ub4dor", script, "{op}", "{address}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.State(t.Context()); power.WordOf(err) != power.Refused ||
		!strings.Contains(err.Error(), "outlet 7") || strings.Contains(err.Error(), "tr0ub4dor") {
		t.Errorf("refused: %v; want its own words without the password", err)
	}
	if _, err := machine(t, dir, "", []string{}...); power.WordOf(err) != power.Fault {
		t.Errorf("a command that the owner has not named: %v", err)
	}
}

// TestBounded ends a program that does not, and what that one started.
func TestBounded(t *testing.T) {
	m, err := machine(t, t.TempDir(), "", "/bin/sh", "-c", "sleep 1000 & wait")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	begin := time.Now()
	if _, err := m.State(ctx); err == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("it ended with %v after %v", err, time.Since(begin))
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	if c, err := Read(path); err != nil || len(c) != 0 {
		t.Errorf("no file: %v, %v", c, err)
	}
	for text, want := range map[string]string{
		`{"pdu": ["/usr/bin/pdu", "{op}"]}`: "",
		`{"pdu": ["pdu", "{op}"]}`:          "whole path",
		`{"pdu": []}`:                       "whole path",
		`{"pdu": "pdu"}`:                    "string",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Read(path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", text, c, err, want)
		}
	}
	if err := os.Chmod(path, 0o622); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a file that others can write: %v", err)
	}
}
