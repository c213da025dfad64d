// Package nettest gives a test a network of its own: two network namespaces without names, which are gone with the test
// however that ends, connected by a cable.
package nettest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// The interface of each side, and the server's address. The client's has none: DHCP is for it to try.
const (
	Server     = "srv0"
	ServerCIDR = "10.77.0.1/24"
	Client     = "cli0"
)

// Net is a server's and a client's network namespace.
type Net struct {
	t              testing.TB
	server, client *os.File
}

// New makes the network, whose cable has its carrier. It needs root.
func New(t testing.TB) *Net {
	need.Root(t)
	n := &Net{t: t}
	err := make(chan error)
	go func() {
		// Never unlocked: the thread, which is in another namespace now, ends with this goroutine.
		runtime.LockOSThread()
		err <- n.setup()
	}()
	if err := <-err; err != nil {
		t.Fatalf("network namespaces: %v", err)
	}
	t.Cleanup(func() { n.server.Close(); n.client.Close() })
	return n
}

func (n *Net) setup() error {
	var err error
	if n.client, err = netlab.Namespace(); err != nil {
		return err
	}
	if n.server, err = netlab.Namespace(); err != nil {
		return err
	}
	if err := unix.Setns(int(n.server.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: Server}, PeerName: Client,
		PeerNamespace: netlink.NsFd(n.client.Fd())}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	if err := up("lo", ""); err != nil {
		return err
	}
	if err := up(Server, ServerCIDR); err != nil {
		return err
	}
	if err := unix.Setns(int(n.client.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	if err := up("lo", ""); err != nil {
		return err
	}
	if err := up(Client, ""); err != nil {
		return err
	}
	// The carrier comes when both ends are up, and later than that call returns.
	if err := netlab.Running(Client); err != nil {
		return err
	}
	if err := unix.Setns(int(n.server.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	return netlab.Running(Server)
}

// up brings an interface up and gives it the address, if any.
func up(name, cidr string) error {
	// Link-local addresses of IPv6 are usable at once this way, not after a second of duplicate detection.
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if cidr != "" {
		if err := addAddr(link, cidr); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("%s up: %w", name, err)
	}
	return nil
}

func addAddr(link netlink.Link, cidr string) error {
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("address %s of %s: %w", cidr, link.Attrs().Name, err)
	}
	return nil
}

// AddAddr gives an address to an interface of the caller's namespace.
func AddAddr(name, cidr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return addAddr(link, cidr)
}

// Go runs f in the server's namespace: sockets that f opens itself, and programs that it starts, are there. What
// goroutines of f's open is not. The channel is closed when f returns.
func (n *Net) Go(f func()) <-chan struct{} { return n.run(n.server, f) }

// Do runs f in the server's namespace and waits for it.
func (n *Net) Do(f func()) { <-n.run(n.server, f) }

// DoClient runs f in the client's namespace and waits for it.
func (n *Net) DoClient(f func()) { <-n.run(n.client, f) }

func (n *Net) run(ns *os.File, f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, as above
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			n.t.Errorf("enter network namespace: %v", err)
			return
		}
		f()
	}()
	return done
}
