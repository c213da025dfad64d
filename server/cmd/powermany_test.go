package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/desk"
)

// plugs are many machines' power, and how much of it is worked at together.
type plugs struct {
	mu        sync.Mutex
	on        map[string]bool
	now, most int
	opened    int
	hold      chan struct{} // closed: no answer waits
}

type plug struct {
	p  *plugs
	id string
}

func (p *plugs) driver() power.Drivers {
	return power.Drivers{{Name: "plug", Check: func(*power.Config) error { return nil },
		Open: func(c *power.Config, _ *power.Host) (power.Device, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.now++
			p.opened++
			p.most = max(p.most, p.now)
			return plug{p, c.Machine}, nil
		}}}
}

func (d plug) State(ctx context.Context) (power.State, error) {
	select {
	case <-d.p.hold:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	if d.p.on[d.id] {
		return power.On, nil
	}
	return power.Off, nil
}

func (d plug) On(context.Context) error {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	d.p.on[d.id] = true
	return nil
}

func (d plug) Off(context.Context) error                  { return power.Fail(power.Cannot, "no way") }
func (d plug) BootOnce(context.Context, power.Boot) error { return power.Fail(power.Cannot, "no way") }
func (d plug) Boot(context.Context) (power.Boot, error)   { return power.Default, nil }
func (d plug) Close() {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	d.p.now--
}

// TestPowerMany switches 500 machines on by a selector: paced, each with a line of its own, and once interrupted.
func TestPowerMany(t *testing.T) {
	p := &plugs{on: map[string]bool{}, hold: make(chan struct{})}
	o := newPowerOffice(t, func(c *desk.Config) { c.Drivers = p.driver() })
	csv := "name,macs,label:room\n"
	for i := range 500 {
		csv += fmt.Sprintf("pc-%03d,52:54:00:01:%02x:%02x,210\n", i, i/256, i%256)
	}
	path := filepath.Join(t.TempDir(), "lab.csv")
	if err := os.WriteFile(path, []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, said := o.run("machine", "import", path); code != 0 {
		t.Fatal(said)
	}
	cred, err := client.ReadCredentials(o.state)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(o.url, *cred)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		name := fmt.Sprintf("pc-%03d", i)
		if _, err := c.SetPower(t.Context(), name, doc.PowerSet{V: 1, Driver: "plug"}); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"machine", "power", "on", "--on", "room=210", "--gap", "1ms"}
	cut := func() (int, string) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var out, errs bytes.Buffer
		done := make(chan error, 1)
		go func() {
			done <- Run(ctx, append(args, "--server", o.url, "--state", o.state), strings.NewReader(""), &out, &errs)
		}()
		for {
			p.mu.Lock()
			full := p.now == 20
			p.mu.Unlock()
			if full {
				break
			}
			select {
			case err := <-done:
				t.Fatalf("it ended: %v", err)
			case <-time.After(time.Millisecond):
			}
		}
		stop()
		err := <-done
		return ExitCode(err), out.String()
	}
	code, said := cut()
	begun, notBegun := strings.Count(said, "cancelled in its middle"), strings.Count(said, "not begun")
	if code == 0 || begun != 20 || notBegun != 480 || p.opened != 20 || len(p.on) != 0 {
		t.Errorf("interrupted: exit code %d, %d in their middle, %d not begun, %d opened, %d on", code, begun, notBegun,
			p.opened, len(p.on))
	}
	close(p.hold)
	code, out, errs := o.run(args...)
	if lines := regexp.MustCompile(`(?m)^m\d+ pc-\d{3}: on$`).FindAllString(out, -1); code != 0 || len(lines) != 500 ||
		len(p.on) != 500 || p.most > 20 {
		t.Errorf("exit code %d, %d lines, %d machines on, %d at once at most: %s", code, len(lines), len(p.on), p.most,
			errs)
	}
}
