package network

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func mac(last byte) net.HardwareAddr { return net.HardwareAddr{0x52, 0x54, 0, 0, 0, last} }

func lease(addr string) *Lease { return &Lease{Addr: netip.MustParsePrefix(addr)} }

// bring runs Up in a bubble of time and returns the link, what was logged, and how long it took.
func bring(t *testing.T, f *Fake, o Options, meanwhile func()) (link *Link, log string, took time.Duration) {
	t.Helper()
	return bringBeside(t, f, o, 0, meanwhile)
}

// bringBeside is bring while drivers are loaded for so long.
func bringBeside(t *testing.T, f *Fake, o Options, load time.Duration, meanwhile func()) (link *Link, log string,
	took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var buf bytes.Buffer
		o.System, o.Log = f, slog.New(slog.NewTextHandler(&buf, nil))
		if load > 0 {
			drivers := make(chan struct{})
			o.Drivers = drivers
			time.AfterFunc(load, func() { close(drivers) })
		}
		if meanwhile != nil {
			go meanwhile()
		}
		start := time.Now()
		var err error
		link, err = Up(ctx, o)
		if err != nil {
			t.Errorf("%v\n%s", err, &buf)
		}
		took = time.Since(start)
		log = buf.String()
		// The channel of changes belongs to this bubble.
		f.changed = nil
	})
	return link, log, took
}

func TestBootNIC(t *testing.T) {
	f := &Fake{}
	f.Set([]Interface{{Name: "eth0", MAC: mac(1), Carrier: true}, {Name: "eth1", MAC: mac(2), Carrier: true}},
		map[string]*Lease{"eth0": lease("10.0.0.1/24"), "eth1": lease("10.0.1.1/24")})
	link, _, _ := bring(t, f, Options{BootMAC: mac(2)}, nil)
	if link.Name != "eth1" || f.Configured("eth0") != nil {
		t.Errorf("%+v, %v", link, f.Calls)
	}
}

// TestBootNICComesLate has a driver that is loaded some seconds after the agent starts.
func TestBootNICComesLate(t *testing.T) {
	f := &Fake{}
	f.Set([]Interface{{Name: "eth0", MAC: mac(1), Carrier: true}}, map[string]*Lease{"eth0": lease("10.0.0.1/24")})
	link, log, took := bring(t, f, Options{BootMAC: mac(2)}, func() {
		time.Sleep(5 * time.Second)
		f.Set([]Interface{{Name: "eth0", MAC: mac(1), Carrier: true}, {Name: "eth1", MAC: mac(2), Carrier: true}},
			map[string]*Lease{"eth1": lease("10.0.1.1/24")})
	})
	if link.Name != "eth1" || took != 5*time.Second ||
		!strings.Contains(log, "waiting for the NIC that the node booted from") {
		t.Errorf("%s after %v\n%s", link.Name, took, log)
	}
}

// TestBootNICBesideDrivers: as long as drivers are loaded, the boot NIC is waited for, and no other is taken.
func TestBootNICBesideDrivers(t *testing.T) {
	const load = 90 * time.Second
	for name, c := range map[string]struct {
		at   time.Duration // when it comes
		want string
		took time.Duration
	}{
		"beside": {70 * time.Second, "eth1", 70 * time.Second},
		"behind": {load + 10*time.Second, "eth1", load + 10*time.Second},
		"never":  {time.Hour, "eth0", load + 20*time.Second},
	} {
		f := &Fake{}
		first := Interface{Name: "eth0", MAC: mac(1), Carrier: true}
		f.Set([]Interface{first}, map[string]*Lease{"eth0": lease("10.0.0.1/24")})
		link, log, took := bringBeside(t, f, Options{BootMAC: mac(2)}, load, func() {
			time.AfterFunc(c.at, func() {
				f.Set([]Interface{first, {Name: "eth1", MAC: mac(2), Carrier: true}},
					map[string]*Lease{"eth1": lease("10.0.1.1/24")})
			})
		})
		if link.Name != c.want || took != c.took {
			t.Errorf("%s: %s after %v, want %s after %v\n%s", name, link.Name, took, c.want, c.took, log)
		}
		if said := strings.Contains(log, "waiting for the NIC"); said != (name != "beside") {
			t.Errorf("%s: that it is waited for is said: %t; it is where all drivers are loaded\n%s", name, said, log)
		}
	}
}

func TestBootNICNeverComes(t *testing.T) {
	f := &Fake{}
	f.Set([]Interface{{Name: "eth0", MAC: mac(1), Carrier: true}}, map[string]*Lease{"eth0": lease("10.0.0.1/24")})
	link, log, _ := bring(t, f, Options{BootMAC: mac(9)}, nil)
	if link.Name != "eth0" || !strings.Contains(log, "Is its driver in the boot directory?") {
		t.Errorf("%s\n%s", link.Name, log)
	}
}

func TestOnlyOneHasCarrier(t *testing.T) {
	f := &Fake{}
	f.Set([]Interface{{Name: "eth0", MAC: mac(1)}, {Name: "eth1", MAC: mac(2), Carrier: true}},
		map[string]*Lease{"eth0": lease("10.0.0.1/24"), "eth1": lease("10.0.1.1/24")})
	link, _, _ := bring(t, f, Options{}, nil)
	if link.Name != "eth1" {
		t.Errorf("%s, %v", link.Name, f.Calls)
	}
}

// TestServerIsBehindTheOther: two NICs get leases, and only one leads to the server.
func TestServerIsBehindTheOther(t *testing.T) {
	f := &Fake{}
	f.Set([]Interface{{Name: "eth0", MAC: mac(1), Carrier: true}, {Name: "eth1", MAC: mac(2), Carrier: true}},
		map[string]*Lease{"eth0": lease("10.0.0.1/24"), "eth1": lease("10.0.1.1/24")})
	link, log, _ := bring(t, f, Options{Reach: func(context.Context) error {
		if f.Configured("eth1") == nil {
			return errors.New("no route to host")
		}
		return nil
	}}, nil)
	if link.Name != "eth1" || f.Configured("eth0") != nil || !strings.Contains(log, "cannot be reached through it") {
		t.Errorf("%s, %v\n%s", link.Name, f.Calls, log)
	}
}

// TestNothingThenEverything: no NIC, then one without a cable, then no DHCP server, then one.
func TestNothingThenEverything(t *testing.T) {
	f := &Fake{}
	link, log, _ := bring(t, f, Options{}, func() {
		time.Sleep(30 * time.Second)
		f.Set([]Interface{{Name: "eth0", MAC: mac(1)}}, nil)
		time.Sleep(2 * time.Minute)
		f.Set([]Interface{{Name: "eth0", MAC: mac(1), Carrier: true}}, nil)
		time.Sleep(3 * time.Minute)
		f.Set([]Interface{{Name: "eth0", MAC: mac(1), Carrier: true}}, map[string]*Lease{"eth0": lease("10.0.0.1/24")})
	})
	if link == nil {
		t.Fatal("no link")
	}
	for _, words := range []string{"the kernel knows no NIC", "Is the cable plugged in?",
		"no DHCP server answered within", "network is up"} {
		if !strings.Contains(log, words) {
			t.Errorf("%q was not said:\n%s", words, log)
		}
	}
	if n := strings.Count(log, "\n"); n > 30 {
		t.Errorf("%d lines in five minutes:\n%s", n, log)
	}
}

func TestUpEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := Up(ctx, Options{System: &Fake{}, BootMAC: mac(1)})
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Fake{}
		first := lease("10.0.0.1/24")
		first.Time, first.RenewAfter = 2*time.Minute, time.Minute
		again, other := *first, *first
		other.Addr = netip.MustParsePrefix("10.0.0.2/24")
		l := &Link{Name: "eth0", Lease: first, o: Options{System: f}}
		l.o.defaults()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Keep(ctx) }()

		f.SetRenewed(map[string]*Lease{"eth0": &again})
		time.Sleep(61 * time.Second)
		if got := f.Configured("eth0"); got != &again {
			t.Errorf("after a renewal: %v", got)
		}
		// A server that is away for ten minutes takes nothing from the node.
		f.SetRenewed(nil)
		time.Sleep(10 * time.Minute)
		if got := f.Configured("eth0"); got != &again {
			t.Errorf("without a server: %v", got)
		}
		f.SetRenewed(map[string]*Lease{"eth0": &other})
		time.Sleep(time.Minute)
		if got := f.Configured("eth0"); got != &other || f.Calls[len(f.Calls)-2] != "deconfigure eth0 10.0.0.1/24" {
			t.Errorf("another address: %v, %v", got, f.Calls)
		}
		cancel()
		<-done
	})
}

// TestWaited: a port that forwards nothing at first shows as the time from the link to the lease.
func TestWaited(t *testing.T) {
	f := &Fake{}
	nics := []Interface{{Name: "eth0", MAC: mac(1), Carrier: true}}
	f.Set(nics, nil)
	link, _, took := bring(t, f, Options{BootMAC: mac(1)}, func() {
		time.Sleep(31 * time.Second)
		f.Set(nics, map[string]*Lease{"eth0": lease("10.0.0.1/24")})
	})
	if link.Waited < 31*time.Second || link.Waited > took {
		t.Errorf("%v from the link to the lease, of %v in all", link.Waited, took)
	}
}
