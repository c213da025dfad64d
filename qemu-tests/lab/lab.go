// Package lab is a network of its own for machines under test: a network namespace with one bridge, the server's
// address on the bridge, and a tap for each machine.
//
// Nothing of it can outlive the test. The namespace has no name and no file: it belongs to one locked thread of
// this process, and every program of the lab is started from that thread with a parent-death signal. When the
// process ends, however it ends (SIGKILL too), the kernel kills the programs, and the namespace goes with the last
// of them, taking bridge and taps along. So there is nothing to sweep up, and no interface of the host is touched.
//
// To look inside while a lab runs: nsenter --net=/proc/PID/ns/net with the pid of any QEMU or diskcast of the lab.
package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The lab's network. The names are the namespace's own and cannot clash with the host's.
const Bridge = "br0"

// Server is the address of the bridge: the machine that runs the server. Network is the lab's subnet.
var (
	Server  = netip.MustParseAddr("10.77.0.1")
	Network = netip.MustParsePrefix("10.77.0.0/24")
	// Server6 is the server's address, with its prefix, in a lab with IPv6 alone.
	Server6 = netip.MustParsePrefix("fd77::1/64")
)

// Options of a lab.
type Options struct {
	// Snooping makes the bridge a managed switch: it forwards a group only to ports that joined it, and is itself the
	// querier that keeps the joins alive. Without it the bridge floods like an unmanaged switch.
	Snooping bool
	// IPv6 makes a LAN without any IPv4: nobody has an address of it, and there is no router.
	IPv6 bool
	Log  *slog.Logger
}

// Lab is a running network namespace.
type Lab struct {
	log   *slog.Logger
	calls chan call
	quit  chan struct{} // closed by Close
	ended chan struct{} // closed when the thread is gone
	once  sync.Once

	mu    sync.Mutex
	procs map[*exec.Cmd]struct{}
}

type call struct {
	fn  func() error
	err chan error
}

// ErrClosed is returned by every call to a lab that was closed.
var ErrClosed = errors.New("the lab is closed")

// New makes the namespace and its bridge. It needs root.
func New(o Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a lab needs root: it makes a network namespace with a bridge and taps")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Lab{log: o.Log, calls: make(chan call), quit: make(chan struct{}), ended: make(chan struct{}),
		procs: map[*exec.Cmd]struct{}{}}
	go l.thread()
	if err := l.Do(func() error { return setup(o) }); err != nil {
		l.Close()
		return nil, fmt.Errorf("lab: %w", err)
	}
	return l, nil
}

// thread is the lab's own thread. It never unlocks: when the function returns, the thread ends, and with it the
// programs that it started and the namespace.
func (l *Lab) thread() {
	runtime.LockOSThread()
	defer close(l.ended)
	err := enter()
	for {
		select {
		case c := <-l.calls:
			if err != nil {
				c.err <- err
				continue
			}
			c.err <- c.fn()
		case <-l.quit:
			return
		}
	}
}

// enter gives the calling thread a network namespace, and a mount namespace whose /sys shows that network:
// a program that reads /sys/class/net must not see the host's interfaces.
func enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	return nil
}

func setup(o Options) error {
	// No IPv6 but on the bridge itself: neighbour chatter of every tap would only blur captures.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil &&
		!os.IsNotExist(err) {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	// Snooping is set explicitly. The kernel's default is snooping without a querier: joins are learned, never
	// refreshed, and forgotten after the membership interval (260 s, RFC 2236 section 8.4), after which a group
	// reaches nobody or everybody depending on whether some querier was ever heard.
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: Bridge}, MulticastSnooping: &o.Snooping}
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("add bridge: %w", err)
	}
	settings := map[string]string{
		// Without STP, a port still spends the forward delay (15 s) learning before it forwards: the firmware of a
		// machine that is just switched on would send its first DHCP requests into the void.
		"forward_delay":     "0",
		"multicast_querier": "0",
	}
	if o.Snooping {
		settings["multicast_querier"] = "1"
	}
	if err := setBridge(settings); err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: Server.AsSlice(), Mask: net.CIDRMask(Network.Bits(), 32)}}
	if err := enableIPv6(Bridge); err != nil {
		return fmt.Errorf("IPv6 on the bridge: %w", err)
	}
	if o.IPv6 {
		addr.IPNet = &net.IPNet{IP: Server6.Addr().AsSlice(), Mask: net.CIDRMask(Server6.Bits(), 128)}
	}
	if err := netlink.AddrAdd(br, addr); err != nil {
		return fmt.Errorf("address of the bridge: %w", err)
	}
	if err := netlink.LinkSetUp(br); err != nil {
		return err
	}
	if o.IPv6 {
		return nil
	}
	// Multicast that a program sends without naming an interface goes to the bridge as well.
	_, all, _ := net.ParseCIDR("224.0.0.0/4")
	return netlink.RouteAdd(&netlink.Route{LinkIndex: br.Attrs().Index, Dst: all, Scope: netlink.SCOPE_LINK})
}

// setBridge needs a writable sysfs for a moment: the netlink library has no attributes for these.
func setBridge(settings map[string]string) (err error) {
	if err := unix.Mount("", "/sys", "", unix.MS_REMOUNT, ""); err != nil {
		return fmt.Errorf("remount sysfs: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Mount("", "/sys", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")) }()
	for name, value := range settings {
		if err := os.WriteFile("/sys/class/net/"+Bridge+"/bridge/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("bridge %s=%s: %w", name, value, err)
		}
	}
	return nil
}

// Do runs a function on the lab's thread: sockets that it opens belong to the lab's network for good, wherever they
// are used later.
func (l *Lab) Do(fn func() error) error {
	c := call{fn, make(chan error, 1)}
	select {
	case l.calls <- c:
		return <-c.err
	case <-l.ended:
		return ErrClosed
	}
}

// Tap adds a tap to the bridge, for QEMU to open by its name.
func (l *Lab) Tap(name string) error {
	err := l.Do(func() error {
		br, err := netlink.LinkByName(Bridge)
		if err != nil {
			return err
		}
		tap := &netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: br.Attrs().Index},
			Mode:      netlink.TUNTAP_MODE_TAP,
			Flags:     netlink.TUNTAP_ONE_QUEUE | netlink.TUNTAP_VNET_HDR,
		}
		if err := netlink.LinkAdd(tap); err != nil {
			return err
		}
		for _, fd := range tap.Fds {
			fd.Close() // the tap is persistent; QEMU opens its own queue
		}
		return netlink.LinkSetUp(tap)
	})
	if err != nil {
		return fmt.Errorf("lab: tap %s: %w", name, err)
	}
	return nil
}

// Start starts a program in the lab. It is killed when the lab is closed or this process ends.
func (l *Lab) Start(cmd *exec.Cmd) error {
	return l.Do(func() error {
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
		// Its own group: Ctrl-C in the terminal goes to us, and we take the lab down in order.
		cmd.SysProcAttr.Setpgid = true
		if err := cmd.Start(); err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.procs[cmd] = struct{}{}
		return nil
	})
}

// Close kills every program of the lab and gives the namespace back. It may be called more than once.
func (l *Lab) Close() {
	l.once.Do(func() {
		close(l.quit)
		<-l.ended
		l.mu.Lock()
		defer l.mu.Unlock()
		for cmd := range l.procs {
			_ = cmd.Process.Kill() // already ended is fine
		}
	})
}

// enableIPv6 gives one interface a link-local address: the server answers IPv6 router solicitations of firmware from
// it.
func enableIPv6(ifname string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+ifname+"/disable_ipv6", []byte("0"), 0)
	if os.IsNotExist(err) {
		return nil // a kernel without IPv6
	}
	// The address must be usable at once, not after a second of duplicate detection.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+ifname+"/accept_dad", []byte("0"), 0)
	return err
}
