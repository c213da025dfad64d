// Package nettest gives a test a network of its own: a network namespace without a name, which is gone with the test
// however that ends, with a pair of connected interfaces in it.
package nettest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Names and addresses of the two ends in each Net.
const (
	Server     = "srv0"
	ServerCIDR = "10.77.0.1/24"
	Client     = "cli0"
)

// Net is a network namespace with Server, which has ServerCIDR, connected to Client, which has no address.
type Net struct {
	t  testing.TB
	ns *os.File
}

// New makes the network. Without root it skips the test, except where CI=true: there it fails it.
func New(t testing.TB) *Net {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("network namespaces need root")
		}
		t.Skip("network namespaces need root")
	}
	n := &Net{t: t}
	err := make(chan error)
	go func() {
		// Never unlocked: the thread, which is in another namespace now, ends with this goroutine.
		runtime.LockOSThread()
		err <- n.setup()
	}()
	if err := <-err; err != nil {
		t.Fatalf("network namespace: %v", err)
	}
	t.Cleanup(func() { n.ns.Close() })
	return n
}

func (n *Net) setup() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	var err error
	if n.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: Server}, PeerName: Client}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	addr, err := netlink.ParseAddr(ServerCIDR)
	if err != nil {
		return err
	}
	for _, name := range []string{"lo", Server, Client} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if name == Server {
			if err := netlink.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("address of %s: %w", name, err)
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("%s up: %w", name, err)
		}
	}
	return nil
}

// Go runs f in the namespace: sockets that f opens itself, and programs that it starts, are there. What f's own
// goroutines open is not. The channel is closed when f returns.
func (n *Net) Go(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, as above
		if err := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			n.t.Errorf("enter network namespace: %v", err)
			return
		}
		f()
	}()
	return done
}

// Do runs f in the namespace and waits for it.
func (n *Net) Do(f func()) { <-n.Go(f) }
