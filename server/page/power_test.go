package page

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/desk"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// socket is the power of one machine.
type socket struct {
	mu    sync.Mutex
	state power.State
}

func (s *socket) State(context.Context) (power.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, nil
}

func (s *socket) set(to power.State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = to
	return nil
}

func (s *socket) On(context.Context) error                   { return s.set(power.On) }
func (s *socket) Off(context.Context) error                  { return s.set(power.Off) }
func (s *socket) BootOnce(context.Context, power.Boot) error { return nil }
func (s *socket) Boot(context.Context) (power.Boot, error)   { return power.Network, nil }
func (s *socket) Close()                                     {}

// TestPower: a machine's power is switched from its page, after it is asked for once more; a machine whose power is not
// set up has no buttons, and a viewer has none.
func TestPower(t *testing.T) {
	r := newRig(t, options{})
	s := &socket{state: power.Off}
	key, err := sealed.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := desk.New(desk.Config{Store: store.NewMemory(), Key: key, Timing: quick,
		Drivers: power.Drivers{{Name: "socket", Check: func(*power.Config) error { return nil },
			Open: func(*power.Config, *power.Host) (power.Device, error) { return s, nil }}}})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }() // ends with the test
	<-d.Ready()
	t.Cleanup(func() { stop(); <-done })
	r.page.API.(*web.API).WithPower(d)
	r.hello(t, 1, session.Inventory{})
	r.hello(t, 2, session.Inventory{})
	b, viewer := r.logged(t, access.Operator), r.logged(t, access.Viewer)
	if _, err := d.Set(t.Context(), desk.Machine{ID: "m1"}, doc.PowerSet{V: 1, Driver: "socket"}); err != nil {
		t.Fatal(err)
	}
	const button = `href="/machines/%/power/on"`
	for _, x := range []struct {
		who     *visitor
		machine string
		want    bool
	}{{b, "m1", true}, {b, "m2", false}, {viewer, "m1", false}} {
		body := x.who.get("/machines/" + x.machine)
		if strings.Contains(body, strings.Replace(button, "%", x.machine, 1)) != x.want {
			t.Errorf("%s: a button is there: %v, want %v\n%s", x.machine, !x.want, x.want, body)
		}
	}
	for _, x := range []struct {
		op   string
		want power.State
	}{{"on", power.On}, {"state", power.On}, {"off", power.Off}} {
		path := "/machines/m1/power/" + x.op
		was, _ := s.State(t.Context())
		if body := b.get(path); !strings.Contains(body, `action="`+path+`"`) {
			t.Errorf("%s is not asked for once more:\n%s", x.op, body)
		}
		if now, _ := s.State(t.Context()); now != was {
			t.Errorf("to look at the question of %s switched the machine %s", x.op, now)
		}
		to := b.post(path, url.Values{})
		if !strings.HasPrefix(to, "/power/") {
			t.Fatalf("%s leads to %s", x.op, to)
		}
		run := await(t, d, strings.TrimPrefix(to, "/power/"))
		body := b.get(to)
		harmlessPage(t, to, body)
		now, _ := s.State(t.Context())
		if run.State != doc.Done || now != x.want || !strings.Contains(body, ">"+string(x.want)+"<") {
			t.Errorf("%s: %s, the machine is %s:\n%s", x.op, run.State, now, body)
		}
	}
}

// quick is the timing of a socket that answers at once.
var quick = power.Timing{Request: 10 * time.Second, Limit: 10 * time.Second, Poll: 10 * time.Millisecond,
	Hold: 10 * time.Millisecond, Rest: 10 * time.Millisecond, Backoff: 10 * time.Millisecond, Tries: 2}

// await waits for the end of work on power.
func await(t *testing.T, d *desk.Desk, id string) *doc.PowerRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for after := uint64(0); ; {
		run, err := d.Wait(ctx, id, after)
		if err != nil {
			t.Fatal(err)
		}
		if run.Over() {
			return run
		}
		after = run.Serial
	}
}
