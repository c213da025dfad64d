package network

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/internal/wiring"
)

func wired(t *testing.T, vlan int, bond, ip string) wiring.Settings {
	t.Helper()
	w := wiring.Settings{VLAN: vlan}
	var err error
	if bond != "" {
		if w.Bond, err = wiring.ParseBond(bond); err != nil {
			t.Fatal(err)
		}
	}
	if ip != "" {
		if w.Static, w.NIC, err = wiring.ParseIP(ip); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func two() []Interface {
	return []Interface{{Name: "eth0", MAC: mac(1), Carrier: true}, {Name: "eth1", MAC: mac(2), Carrier: true}}
}

func TestVLAN(t *testing.T) {
	f := &Fake{}
	f.Set(two(), map[string]*Lease{"vlan120": lease("10.0.0.1/24"), "eth1": lease("10.9.0.1/24")})
	link, _, _ := bring(t, f, Options{BootMAC: mac(2), Wiring: wired(t, 120, "", "")}, nil)
	if link.Name != "vlan120" || link.NIC != "eth1" || !slices.Contains(f.Calls, "vlan eth1 120") ||
		f.Configured("eth1") != nil {
		t.Errorf("%+v, %v", link, f.Calls)
	}
}

// TestVLANOfEither has two cables, of which only the second has the server in the VLAN: the first's is taken away.
func TestVLANOfEither(t *testing.T) {
	f := &Fake{}
	f.Set(two(), map[string]*Lease{"vlan120": lease("10.0.0.1/24")})
	tries := 0
	link, _, _ := bring(t, f, Options{Wiring: wired(t, 120, "", ""), Reach: func(context.Context) error {
		if tries++; tries == 1 {
			return errors.New("no route to host")
		}
		return nil
	}}, nil)
	if link.NIC != "eth1" || !slices.Contains(f.Calls, "remove vlan120") {
		t.Errorf("%+v, %v", link, f.Calls)
	}
}

func TestBond(t *testing.T) {
	for name, c := range map[string]struct{ bond, want, said string }{
		"all, the boot NIC first": {"802.3ad", "bond 802.3ad eth1,eth0", ""},
		"named": {"active-backup:eth0,52:54:00:00:00:02", "bond active-backup eth1,eth0",
			""},
		"one is not there": {"active-backup:eth0,eth7", "bond active-backup eth0", "missing=eth7"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Fake{}
			f.Set(two(), map[string]*Lease{"bond0": lease("10.0.0.1/24")})
			link, log, _ := bring(t, f, Options{BootMAC: mac(2), Wiring: wired(t, 0, c.bond, "")}, nil)
			if link.Name != "bond0" || !slices.Contains(f.Calls, c.want) || !strings.Contains(log, c.said) {
				t.Errorf("%+v, %v\n%s", link, f.Calls, log)
			}
		})
	}
}

// TestBondMemberComesLate has a driver that is loaded some seconds after the agent starts, and a server that is silent
// for 45 s: the bond is made once.
func TestBondMemberComesLate(t *testing.T) {
	f := &Fake{}
	f.Set(two()[:1], nil)
	link, _, took := bring(t, f, Options{BootMAC: mac(1), Wiring: wired(t, 0, "802.3ad:eth0,eth1", "")}, func() {
		time.Sleep(5 * time.Second)
		f.Set(two(), nil)
		time.Sleep(45 * time.Second)
		f.Set(two(), map[string]*Lease{"bond0": lease("10.0.0.1/24")})
	})
	bonds := 0
	for _, c := range f.Calls {
		if strings.HasPrefix(c, "bond ") {
			bonds++
		}
	}
	if link.NIC != "eth0" || bonds != 1 || took < 50*time.Second || took > 90*time.Second {
		t.Errorf("%+v after %v, %v", link, took, f.Calls)
	}
}

func TestVLANOnBond(t *testing.T) {
	f := &Fake{}
	f.Set(two(), map[string]*Lease{"vlan7": lease("10.0.0.1/24")})
	link, _, _ := bring(t, f, Options{Wiring: wired(t, 7, "802.3ad", "")}, nil)
	if link.Name != "vlan7" || link.NIC != "eth0" || !slices.Contains(f.Calls, "vlan bond0 7") {
		t.Errorf("%+v, %v", link, f.Calls)
	}
}

func TestStatic(t *testing.T) {
	f := &Fake{}
	f.Set(two(), nil)
	link, _, _ := bring(t, f, Options{BootMAC: mac(1),
		Wiring: wired(t, 0, "", "10.0.0.5::10.0.0.1:255.255.255.0::eth1:none:10.0.0.53")}, nil)
	if link.Name != "eth1" || link.Lease.String() != "10.0.0.5/24 via 10.0.0.1 dns [10.0.0.53]" ||
		link.Lease.Time != 0 {
		t.Errorf("%+v, %v", link, f.Calls)
	}
}

// TestStaticTaken has another machine with the address, which goes away.
func TestStaticTaken(t *testing.T) {
	f := &Fake{}
	f.Set(two(), nil)
	f.SetTaken(netip.MustParseAddr("10.0.0.5"), mac(77))
	link, log, took := bring(t, f, Options{BootMAC: mac(1), Wiring: wired(t, 0, "", "10.0.0.5/24")}, func() {
		time.Sleep(time.Minute)
		f.SetTaken(netip.MustParseAddr("10.0.0.6"), mac(77))
	})
	if took < time.Minute || link.Lease.Addr.String() != "10.0.0.5/24" ||
		!strings.Contains(log, "used by 52:54:00:00:00:4d already") {
		t.Errorf("%+v after %v\n%s", link, took, log)
	}
}

// TestNamedNICIsNotThere waits for the NIC that the settings name, and takes no other.
func TestNamedNICIsNotThere(t *testing.T) {
	f := &Fake{}
	f.Set(two(), map[string]*Lease{"eth0": lease("10.0.0.1/24"), "eth1": lease("10.0.1.1/24"),
		"eth2": lease("10.0.2.1/24")})
	link, log, took := bring(t, f, Options{BootMAC: mac(1), Wiring: wired(t, 0, "", ":::::eth2:dhcp")}, func() {
		time.Sleep(2 * time.Minute)
		f.Set(append(two(), Interface{Name: "eth2", MAC: mac(3), Carrier: true}),
			map[string]*Lease{"eth2": lease("10.0.2.1/24")})
	})
	if link.Name != "eth2" || took < 2*time.Minute ||
		!strings.Contains(log, "the NIC that the settings name is not there") {
		t.Errorf("%+v after %v\n%s", link, took, log)
	}
}

// TestBootNICLeadsNowhere has a machine that says that it booted from a NIC whose network has no server any more:
// after some minutes the other is tried, and taken because the server is behind it.
func TestBootNICLeadsNowhere(t *testing.T) {
	f := &Fake{}
	f.Set(two(), map[string]*Lease{"eth1": lease("10.0.1.1/24")})
	link, _, took := bring(t, f, Options{BootMAC: mac(1), Reach: func(context.Context) error { return nil }}, nil)
	if link.Name != "eth1" || took < 100*time.Second || took > 4*time.Minute {
		t.Errorf("%+v after %v, %v", link, took, f.Calls)
	}
}

// TestDHCPComesLate: a server that is silent for 45 s.
func TestDHCPComesLate(t *testing.T) {
	f := &Fake{}
	f.Set(two(), nil)
	link, log, took := bring(t, f, Options{BootMAC: mac(1)}, func() {
		time.Sleep(45 * time.Second)
		f.Set(two(), map[string]*Lease{"eth0": lease("10.0.0.1/24")})
	})
	if link.Name != "eth0" || took < 45*time.Second || took > 80*time.Second {
		t.Errorf("%+v after %v\n%s", link, took, log)
	}
}

// TestKeepLink: a link that goes is said; when it is back the lease is asked for at once.
func TestKeepLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Fake{}
		nics := two()
		f.Set(nics, nil)
		first := lease("10.0.0.1/24")
		first.Time, first.RenewAfter = 2*time.Hour, time.Hour
		next := *first
		next.Addr = netip.MustParsePrefix("10.0.7.1/24")
		f.SetRenewed(map[string]*Lease{"eth0": &next})
		l := &Link{Name: "eth0", Lease: first, o: Options{System: f}}
		l.o.defaults()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Keep(ctx) }()
		synctest.Wait()
		nics[0].Carrier = false
		f.Set(nics, nil)
		synctest.Wait()
		if f.Configured("eth0") != nil {
			t.Error("asked while the link was away")
		}
		nics = two()
		f.Set(nics, nil)
		synctest.Wait()
		if f.Configured("eth0") != &next {
			t.Errorf("the link is back: %v", f.Calls)
		}
		cancel()
		<-done
	})
}

func FuzzClaims(f *testing.F) {
	f.Add(append(probe(mac(1), netip.MustParseAddr("10.0.0.5")), 0))
	f.Fuzz(func(t *testing.T, p []byte) {
		if who := claims(p, netip.MustParseAddr("10.0.0.5")); who != nil && len(who) != 6 {
			t.Errorf("%v", who)
		}
	})
}
