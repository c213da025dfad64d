package redfish_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/redfish"
	"github.com/diskcast/diskcast/server/power/redfish/redfishtest"
)

var quick = power.Timing{Request: 20 * time.Second, Limit: 200 * time.Millisecond, Poll: time.Millisecond,
	Hold: 5 * time.Millisecond, Rest: time.Millisecond, Backoff: time.Millisecond, Tries: 3}

// desk works at one service.
type desk struct {
	conf power.Config
	host power.Host
	time power.Timing
	kept []string
}

func at(s *redfishtest.Server) *desk {
	d := &desk{conf: power.Config{Machine: "m1", Address: s.Address(), User: redfishtest.User,
		Password: redfishtest.Password}, time: quick}
	d.host = power.Host{Gate: power.NewGate(0), Keep: func(_ context.Context, pin string) error {
		d.kept = append(d.kept, pin)
		return nil
	}}
	return d
}

func (d *desk) do(t *testing.T, f func(context.Context, *power.Machine) (*power.Outcome, error)) (*power.Outcome,
	error) {
	t.Helper()
	if err := d.host.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.host.Leave()
	conf := d.conf
	dev, err := redfish.Driver.Open(&conf, &d.host)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	return f(t.Context(), power.NewMachine(redfish.Driver, dev, d.time))
}

func on(ctx context.Context, m *power.Machine) (*power.Outcome, error)    { return m.On(ctx) }
func cycle(ctx context.Context, m *power.Machine) (*power.Outcome, error) { return m.Cycle(ctx) }
func network(ctx context.Context, m *power.Machine) (*power.Outcome, error) {
	return m.BootOnce(ctx, power.Network)
}

// TestLies holds each lie of a BMC against the word that it ends in; with no word it is found out and set right.
func TestLies(t *testing.T) {
	for name, c := range map[string]struct {
		lies redfishtest.Lies
		do   func(context.Context, *power.Machine) (*power.Outcome, error)
		want power.Word
		says string
	}{
		"honest on":    {redfishtest.Lies{}, on, "", ""},
		"honest cycle": {redfishtest.Lies{}, cycle, "", ""},
		"honest boot":  {redfishtest.Lies{}, network, "", ""},

		"200 and nothing": {redfishtest.Lies{Nothing: true}, on, power.Nothing, "still reads off in place of on"},

		"202 and then nothing":     {redfishtest.Lies{Accepted: true}, on, power.Nothing, "still reads off"},
		"silently reverted":        {redfishtest.Lies{Reverts: true}, on, power.Reverted, "off again"},
		"an old state for a while": {redfishtest.Lies{Old: 3}, on, "", ""},
		"an old state for ever":    {redfishtest.Lies{Old: 1 << 30}, on, power.Nothing, "still reads off"},
		"boot override ignored": {redfishtest.Lies{BootIgnored: true}, network, power.Nothing,
			"default in place of network"},
		"boot override resets":    {redfishtest.Lies{BootResets: true}, network, power.Reverted, "default again"},
		"once becomes for ever":   {redfishtest.Lies{ForEver: true}, network, power.Nothing, "network for ever"},
		"the mode is dropped":     {redfishtest.Lies{DropsMode: true}, network, "", ""},
		"the mode cannot be sent": {redfishtest.Lies{ModeFixed: true}, network, "", ""},
		"the mode becomes another": {redfishtest.Lies{Legacy: true}, network, power.Nothing,
			"network by the mode Legacy, which was UEFI"},
		"a role that only looks":     {redfishtest.Lies{ReadOnly: true}, on, power.Refused, "role"},
		"no free session":            {redfishtest.Lies{Sessions: true}, on, power.Frozen, "SessionLimitExceeded"},
		"busy at first":              {redfishtest.Lies{Busy: 2}, on, "", ""},
		"busy for ever":              {redfishtest.Lies{Busy: 1 << 30}, on, power.Frozen, "again and again"},
		"wrong content type":         {redfishtest.Lies{ContentType: "text/plain"}, on, power.Odd, "text/plain"},
		"a login page":               {redfishtest.Lies{Login: true}, on, power.Odd, "web interface"},
		"a redirect to a login page": {redfishtest.Lies{Redirect: true}, on, power.Odd, "login page"},
		"slow":                       {redfishtest.Lies{Slow: true}, on, "", ""},
		"two systems":                {redfishtest.Lies{SeveralBlade: true}, on, power.Refused, "--system"},
		"another host":               {redfishtest.Lies{Elsewhere: "203.0.113.7"}, on, power.Odd, "nobody else's"},
	} {
		t.Run(name, func(t *testing.T) {
			s := redfishtest.New(t, c.lies)
			d := at(s)
			if c.want == "" {
				d.time.Limit = 20 * time.Second
			}
			o, err := d.do(t, c.do)
			if c.want == "" {
				if err != nil || o == nil {
					t.Fatalf("got %v, %v; want it done", o, err)
				}
			} else if power.WordOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, %v; want the word %q and %q", o, err, c.want, c.says)
			}
			if c.want == "" && (o.State == power.On) != (s.Power() == "On") {
				t.Errorf("it is believed to be %q, and is %s", o.State, s.Power())
			}
			if s.Mode() != "UEFI" && !c.lies.Legacy {
				t.Errorf("the mode is %s now, and was UEFI", s.Mode())
			}
			if n := s.Most(); n > 1 {
				t.Errorf("it had %d requests at once", n)
			}
			if err != nil && strings.Contains(err.Error(), redfishtest.Password) {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

// TestSilence tells a BMC that never answered from one that did before.
func TestSilence(t *testing.T) {
	for name, c := range map[string]struct {
		lies redfishtest.Lies
		want power.Word
	}{
		"never an answer":           {redfishtest.Lies{Hangs: true}, power.Silent},
		"frozen by the first write": {redfishtest.Lies{Freezes: true}, power.Frozen},
	} {
		t.Run(name, func(t *testing.T) {
			s := redfishtest.New(t, c.lies)
			d := at(s)
			d.time.Request, d.time.Tries = 500*time.Millisecond, 2
			if o, err := d.do(t, on); power.WordOf(err) != c.want {
				t.Errorf("got %v, %v; want the word %q", o, err, c.want)
			}
		})
	}
	s := redfishtest.New(t, redfishtest.Lies{})
	s.Close()
	if o, err := at(s).do(t, on); power.WordOf(err) != power.Silent {
		t.Errorf("nobody there: got %v, %v; want the word %q", o, err, power.Silent)
	}
}

// TestPassword has a wrong one end in its word, said by nobody, even by a BMC that repeats it.
func TestPassword(t *testing.T) {
	d := at(redfishtest.New(t, redfishtest.Lies{Parrots: true}))
	d.conf.Password = "tr0ub4dor"
	_, err := d.do(t, on)
	if power.WordOf(err) != power.Password || strings.Contains(err.Error(), d.conf.Password) {
		t.Errorf("got %v; want the word %q, without the password", err, power.Password)
	}
}

// TestPin keeps the first certificate, and sends nothing to who has another.
func TestPin(t *testing.T) {
	s := redfishtest.New(t, redfishtest.Lies{})
	d := at(s)
	if _, err := d.do(t, on); err != nil {
		t.Fatal(err)
	}
	want := power.PinOf(s.Certificate().RawSubjectPublicKeyInfo)
	if len(d.kept) == 0 || slices.ContainsFunc(d.kept, func(p string) bool { return p != want }) {
		t.Fatalf("kept %q, want %s", d.kept, want)
	}
	d.conf.Pin = want
	if _, err := d.do(t, on); err != nil {
		t.Errorf("with the pin: %v", err)
	}
	d.conf.Pin = "sha256:" + strings.Repeat("0", 64)
	if _, err := d.do(t, cycle); power.WordOf(err) != power.Stranger || !strings.Contains(err.Error(), want) {
		t.Errorf("another pin: %v; want the word %q and the pin that was seen", err, power.Stranger)
	}
	if w := s.Writes(); !slices.Equal(w, []string{"On"}) {
		t.Errorf("it was asked for %q, and of all three only the first should have come to it", w)
	}
	d.conf.Pin, d.host.Keep = "", func(context.Context, string) error { return errors.New("disk full") }
	if _, err := d.do(t, cycle); err == nil || !strings.Contains(err.Error(), "disk full") || s.Power() != "On" {
		t.Errorf("a pin that cannot be kept: %v, machine is %s", err, s.Power())
	}
}

// TestBurst has ten who want the same BMC freeze it not.
func TestBurst(t *testing.T) {
	s := redfishtest.New(t, redfishtest.Lies{Burst: true})
	d := at(s)
	d.conf.Pin = power.PinOf(s.Certificate().RawSubjectPublicKeyInfo)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if _, err := d.do(t, on); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if w := s.Writes(); s.Most() != 1 || !slices.Equal(w, []string{"On"}) {
		t.Errorf("it had %d requests at once, and was asked for %q; want one at a time, and On once", s.Most(), w)
	}
}
