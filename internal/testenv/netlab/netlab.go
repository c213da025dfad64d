// Package netlab builds a small LAN of network namespaces for tests and benches of the cast: a bridge, and nodes on it
// by veth pairs. The namespaces have no names: they are gone with Close, and with the process however it ends. It needs
// root, ip, nsenter and unshare, and for some calls tc, ethtool and nft.
package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Lab is a bridge with nodes. Node i has the addresses 10.77.0.i+1/24 and fd77::i+1/64 on its interface eth0.
type Lab struct {
	bridge *os.File
	nodes  []*os.File
}

// Missing says which of the tools that a lab needs cannot be used here, and why; empty if none.
func Missing(tools ...string) string {
	if os.Geteuid() != 0 {
		return "not root"
	}
	for _, t := range append([]string{"ip", "nsenter", "unshare"}, tools...) {
		if _, err := exec.LookPath(t); err != nil {
			return "no " + t
		}
	}
	return ""
}

// New builds a lab of n nodes, whose cables have their carrier.
func New(n int) (*Lab, error) {
	l := &Lab{}
	if err := l.build(n); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) build(n int) error {
	var err error
	if l.bridge, err = Namespace(); err != nil {
		return err
	}
	// No spanning tree, no waiting; snooping off until a test asks for it: a bridge without a querier floods anyway.
	if err := l.On(l.Bridge(), "ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0", "forward_delay",
		"0"); err != nil {
		return err
	}
	if err := l.On(l.Bridge(), "ip", "link", "set", "br0", "up"); err != nil {
		return err
	}
	for i := range n {
		node, err := Namespace()
		if err != nil {
			return err
		}
		l.nodes = append(l.nodes, node)
		ns, port := l.Node(i), Port(i)
		for _, args := range [][]string{
			{"ip", "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", l.Bridge()},
			{"ip", "link", "set", "lo", "up"},
			{"ip", "addr", "add", fmt.Sprintf("10.77.0.%d/24", i+1), "brd", "+", "dev", "eth0"},
			{"ip", "addr", "add", fmt.Sprintf("fd77::%d/64", i+1), "dev", "eth0", "nodad"},
			{"ip", "link", "set", "eth0", "up"},
			{"ip", "route", "add", "224.0.0.0/4", "dev", "eth0"},
		} {
			if err := l.On(ns, args...); err != nil {
				return err
			}
		}
		if err := l.On(l.Bridge(), "ip", "link", "set", port, "master", "br0", "up"); err != nil {
			return err
		}
	}
	for i := range n {
		if err := l.Do(l.Node(i), func() error { return Running("eth0") }); err != nil {
			return err
		}
		if err := l.Do(l.Bridge(), func() error { return Running(Port(i)) }); err != nil {
			return err
		}
	}
	return nil
}

// Namespace makes a network namespace without a name, which lives as long as the file, or a process in it.
func Namespace() (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	made := make(chan result)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and nobody else comes into its namespace.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{nil, fmt.Errorf("network namespace: %w", err)}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		made <- result{f, err}
	}()
	r := <-made
	return r.f, r.err
}

// path names a namespace for other programs.
func path(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

// Bridge is the path of the namespace of the bridge br0.
func (l *Lab) Bridge() string { return path(l.bridge) }

// Node is the path of the namespace of node i.
func (l *Lab) Node(i int) string { return path(l.nodes[i]) }

// Port is the bridge's port to node i.
func Port(i int) string { return fmt.Sprintf("port%d", i) }

// Addr is the IPv4 address of node i.
func (l *Lab) Addr(i int) string { return fmt.Sprintf("10.77.0.%d", i+1) }

// In is the command line that runs args in the namespace at a path, with its own devices under /sys.
func In(ns string, args ...string) []string {
	return append([]string{"nsenter", "--net=" + ns, "unshare", "--mount", "sh", "-c",
		`mount -t sysfs sysfs /sys && exec "$@"`, "sh"}, args...)
}

// On runs a command in a namespace.
func (l *Lab) On(ns string, args ...string) error {
	cmd := In(ns, args...)
	out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Plain makes every node's wire carry single packets: segmentation is switched off at the bridge's ports, where the
// super-packets of a sender are cut up as its NIC would, and the nodes gather what they receive, as NICs do. A queue
// (Shape) stands before that: it counts a super-packet as the bytes of all its packets, headers included, and drops it
// whole.
func (l *Lab) Plain() error {
	// Bridged packets that go through the firewall one by one are no part of a switch.
	for _, family := range []string{"iptables", "ip6tables", "arptables"} {
		// Without br_netfilter in the kernel there is nothing to switch off.
		_ = l.On(l.Bridge(), "sysctl", "-q", "-w", "net.bridge.bridge-nf-call-"+family+"=0")
	}
	for i := range l.nodes {
		if err := l.On(l.Bridge(), "ethtool", "-K", Port(i), "tx-udp-segmentation", "off", "gso", "off", "tso", "off",
			"gro", "off"); err != nil {
			return err
		}
		if err := l.On(l.Node(i), "ethtool", "-K", "eth0", "gro", "on"); err != nil {
			return err
		}
	}
	return nil
}

// Shape lets node i receive at most mbit Mbit/s, with a queue of limit bytes in front: a switch port. Call Plain first.
func (l *Lab) Shape(i, mbit, limit int) error {
	return l.On(l.Bridge(), "tc", "qdisc", "replace", "dev", Port(i), "root", "tbf",
		"rate", fmt.Sprintf("%dmbit", mbit), "burst", fmt.Sprint(max(mbit*125, 16000)), "limit", fmt.Sprint(limit))
}

// Lose makes node i lose permille thousandths of the multicast it receives. Call Plain first.
func (l *Lab) Lose(i, permille int) error {
	// The first time there is no such table.
	_ = l.On(l.Node(i), "nft", "delete", "table", "ip", "lose")
	// What a NIC gathered would be lost together.
	gather := "off"
	if permille == 0 {
		gather = "on"
	}
	if err := l.On(l.Node(i), "ethtool", "-K", "eth0", "gro", gather); err != nil {
		return err
	}
	if permille == 0 {
		return nil
	}
	chance := fmt.Sprintf("numgen random mod 1000 < %d ", permille)
	if permille >= 1000 {
		chance = ""
	}
	for _, rule := range []string{
		"add table ip lose",
		"add chain ip lose in { type filter hook prerouting priority -300 ; }",
		"add rule ip lose in ip protocol udp ip daddr 224.0.0.0/4 " + chance + "drop",
	} {
		if err := l.On(l.Node(i), "nft", rule); err != nil {
			return err
		}
	}
	return nil
}

// Do runs f on an OS thread in a namespace. Sockets that f opens stay there.
func (l *Lab) Do(ns string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and with it its namespace.
		runtime.LockOSThread()
		fd, err := unix.Open(ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- fmt.Errorf("namespace %s: %w", ns, err)
			return
		}
		err = unix.Setns(fd, unix.CLONE_NEWNET)
		unix.Close(fd)
		if err != nil {
			done <- fmt.Errorf("namespace %s: %w", ns, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Close removes the lab.
func (l *Lab) Close() {
	for _, f := range append(l.nodes, l.bridge) {
		if f != nil {
			_ = f.Close()
		}
	}
}
