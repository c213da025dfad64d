package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/store"
)

const secret = "correct horse"

// lab is machines by id; a driver of it reaches them.
type lab struct {
	mu    sync.Mutex
	state map[string]power.State
	got   map[string]string // passwords that came
	fails map[string]error
	now   int // machines in work, and how many there were at most
	most  int
}

type device struct {
	l *lab
	c *power.Config
	h *power.Host
}

func (d *device) State(ctx context.Context) (power.State, error) {
	if err := d.h.Next(ctx); err != nil {
		return "", err
	}
	d.l.mu.Lock()
	defer d.l.mu.Unlock()
	d.l.got[d.c.Machine] = d.c.Password
	if d.l.state[d.c.Machine] == "" {
		return power.Off, d.l.fails[d.c.Machine]
	}
	return d.l.state[d.c.Machine], d.l.fails[d.c.Machine]
}

func (d *device) set(ctx context.Context, s power.State) error {
	if err := d.h.Keep(ctx, "sha256:first"); err != nil {
		return err
	}
	d.l.mu.Lock()
	defer d.l.mu.Unlock()
	d.l.state[d.c.Machine] = s
	return nil
}

func (d *device) On(ctx context.Context) error               { return d.set(ctx, power.On) }
func (d *device) Off(ctx context.Context) error              { return d.set(ctx, power.Off) }
func (d *device) BootOnce(context.Context, power.Boot) error { return nil }
func (d *device) Boot(context.Context) (power.Boot, error)   { return power.Network, nil }
func check(*power.Config) error                              { return nil }
func machine(i int) Machine                                  { return Machine{ID: fmt.Sprintf("m%d", i)} }
func (l *lab) open(c *power.Config, h *power.Host) (power.Device, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now++
	l.most = max(l.most, l.now)
	return &device{l, c, h}, nil
}

func (d *device) Close() {
	d.l.mu.Lock()
	defer d.l.mu.Unlock()
	d.l.now--
}

func newDesk(t *testing.T) (*Desk, *lab, store.Store) {
	t.Helper()
	key, err := sealed.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{state: map[string]power.State{}, got: map[string]string{}, fails: map[string]error{}}
	db := store.NewMemory()
	return New(Config{Store: db, Key: key, Timing: power.Usual, Pause: 200 * time.Millisecond,
		Drivers: power.Drivers{{Name: "lab", Check: check, Open: l.open}}}), l, db
}

func set(t *testing.T, d *Desk, m Machine) {
	t.Helper()
	p, err := d.Set(t.Context(), m, doc.PowerSet{V: 1, Driver: "lab", Address: m.ID, User: "u", Password: secret})
	if err != nil || !p.Secret {
		t.Fatalf("%+v, %v", p, err)
	}
}

// TestSecret has a password come to its driver and to nobody else.
func TestSecret(t *testing.T) {
	d, _, db := newDesk(t)
	m := machine(1)
	set(t, d, m)
	p, err := d.Show(t.Context(), m)
	b, jerr := json.Marshal(p)
	if err := errors.Join(err, jerr); err != nil || bytes.Contains(b, []byte("horse")) {
		t.Errorf("shown: %s, %v", b, err)
	}
	err = db.View(t.Context(), func(tx store.Tx) error {
		return tx.Walk("", func(key string, v []byte) error {
			if bytes.Contains(v, []byte("horse")) {
				return fmt.Errorf("%s has the password", key)
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	// Merged, the secret is sealed for the machine that stays; forgotten, nothing is left.
	if err := d.Merge(t.Context(), "m1", "m2"); err != nil {
		t.Fatal(err)
	}
	r, err := d.read(t.Context(), machine(2))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := d.config(machine(2), r); err != nil || c.Password != secret {
		t.Errorf("after the merge: %+v, %v", c, err)
	}
	if _, err := d.Show(t.Context(), m); !errors.Is(err, ErrUnset) {
		t.Errorf("of the machine that went: %v, want ErrUnset", err)
	}
	if err := d.Forget(t.Context(), "m2"); err != nil {
		t.Error(err)
	}
	if has, err := d.Has(t.Context(), machine(2)); err != nil || has {
		t.Errorf("forgotten: %v, %v", has, err)
	}
}

// TestShared says which machines are switched by the same BMC, and refuses a command that the owner did not name.
func TestShared(t *testing.T) {
	d, _, _ := newDesk(t)
	in := doc.PowerSet{V: 1, Driver: "lab", Address: "10.0.0.7"}
	for i, want := range []string{"", "Machine m0 is reached by the same (driver lab, address 10.0.0.7)"} {
		p, err := d.Set(t.Context(), machine(i), in)
		if err != nil || strings.Join(p.Warnings, "") != "" != (want != "") ||
			!strings.Contains(strings.Join(p.Warnings, ""), want) {
			t.Errorf("machine %d: %+v, %v; want the warning %q", i, p, err, want)
		}
	}
	if p, err := d.Set(t.Context(), machine(1), in); err != nil || len(p.Warnings) != 1 {
		t.Errorf("set again: %+v, %v", p, err)
	}
	in.Address = "10.0.0.8"
	if p, err := d.Set(t.Context(), machine(1), in); err != nil || len(p.Warnings) > 0 {
		t.Errorf("corrected: %+v, %v", p, err)
	}
	in.Command = "nosuch"
	if _, err := d.Set(t.Context(), machine(1), in); err == nil ||
		!strings.Contains(err.Error(), `no command "nosuch"`) {
		t.Errorf("a command that is not there: %v", err)
	}
}

// TestClosed names the machines whose passwords were sealed with a key that is lost.
func TestClosed(t *testing.T) {
	d, _, _ := newDesk(t)
	set(t, d, machine(1))
	closed := func(want ...string) {
		t.Helper()
		if got, err := d.Closed(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	closed()
	other, err := sealed.New(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	d.cfg.Key = other
	closed("m1")
	if p, err := d.Show(t.Context(), machine(1)); err != nil || !strings.Contains(p.Problem, "does not open") {
		t.Errorf("%+v, %v", p, err)
	}
	set(t, d, machine(1))
	closed()
}

// follow waits until work is over.
func follow(t *testing.T, d *Desk, r *doc.PowerRun) *doc.PowerRun {
	t.Helper()
	for !r.Over() {
		var err error
		if r, err = d.Wait(t.Context(), r.ID, r.Serial); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestRun works on machines of which one fails and one is not set up, and is cancelled in the middle of others.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l, _ := newDesk(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		<-d.Ready()
		var all []Machine
		for i := range 100 {
			all = append(all, machine(i))
			set(t, d, machine(i))
		}
		l.fails["m3"] = power.Fail(power.Refused, "its role may look only")
		if err := d.Forget(ctx, "m5"); err != nil {
			t.Fatal(err)
		}
		r, err := d.Start(doc.PowerSpec{V: 1, Op: doc.PowerOn}, all[:10])
		if err != nil {
			t.Fatal(err)
		}
		r = follow(t, d, r)
		for i, row := range r.Rows {
			want, word := doc.Done, power.Word("")
			switch i {
			case 3:
				want, word = doc.Failed, power.Refused
			case 5:
				want, word = doc.Failed, power.Cannot
			}
			if row.State != want || row.Word != string(word) || want == doc.Done && row.Power != "on" {
				t.Errorf("machine %d: %+v; want it %s, %q", i, row, want, word)
			}
		}
		if r.State != doc.Failed || l.got["m1"] != secret {
			t.Errorf("work is %s, and the driver had the password %q", r.State, l.got["m1"])
		}
		if p, err := d.Show(ctx, machine(1)); err != nil || p.Pin != "sha256:first" {
			t.Errorf("the pin that was seen first: %+v, %v", p, err)
		}
		if r, err = d.Start(doc.PowerSpec{V: 1, Op: doc.PowerCycle}, all); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second) // of the bubble's clock
		if _, err := d.Cancel(r.ID); err != nil {
			t.Fatal(err)
		}
		r = follow(t, d, r)
		n := map[string]int{}
		for _, row := range r.Rows {
			n[row.State]++
			if row.Words == "not begun" {
				n[row.Words]++
			}
		}
		if r.State != doc.Cancelled || n[doc.Cancelled] < 80 || n["not begun"] < 70 ||
			n[doc.Running]+n[doc.Waiting] > 0 {
			t.Errorf("cancelled: work is %s, machines %v", r.State, n)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := d.Start(doc.PowerSpec{V: 1, Op: doc.PowerOn}, all); err == nil ||
			!strings.Contains(err.Error(), "ends") {
			t.Errorf("after the end: %v", err)
		}
	})
}
