// Package survey is what a node sees of its network and of itself when the operator asks (`diskcast node doctor`): how
// long its link took, how large packets may be, whether multicast arrives, whether somebody asks for groups, what its
// NIC counted. It changes nothing, and says what it could not see.
package survey

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/cast/querier"
	"github.com/diskcast/diskcast/internal/session"
)

// Options of a look.
type Options struct {
	Root      string // of the file systems of the kernel: /
	Interface string // through which the server is reached
	Server    netip.Addr
	// LinkWait is from the link to the lease; 0: it was not seen.
	LinkWait  time.Duration
	Inventory func() session.Inventory
	Now       func() time.Time
}

// counters are what a cable, a switch port or a driver that is at fault makes grow.
var counters = []string{"rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_crc_errors", "rx_frame_errors",
	"rx_length_errors", "rx_fifo_errors", "rx_missed_errors", "rx_dropped", "tx_dropped", "tx_carrier_errors",
	"collisions", "multicast"}

// Run looks, for about l.Listen seconds.
func Run(ctx context.Context, o Options, l *session.Look) *session.LookResult {
	r := &session.LookResult{V: session.Version, ID: l.ID, NIC: o.Interface}
	if o.LinkWait > 0 {
		s := o.LinkWait.Seconds()
		r.LinkWait = &s
	} else {
		miss(r, "how long the link took: this agent did not bring the network up")
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	// Each looks at one thing, and ends after l.Listen at the latest.
	for _, f := range []func(context.Context) func(){
		func(ctx context.Context) func() { return hearGroup(ctx, o, l, r) },
		func(ctx context.Context) func() { return hearQuerier(ctx, o, l, r) },
		func(ctx context.Context) func() { return probePath(ctx, o, l, r) },
	} {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, time.Duration(l.Listen*float64(time.Second)))
			defer cancel()
			set := f(ctx)
			mu.Lock()
			defer mu.Unlock()
			set()
		})
	}
	all.Wait()
	nic(o, r)
	inv := o.Inventory()
	r.Disks, r.Undriven, r.Memory = inv.Disks, inv.Undriven, inv.Memory
	free, err := available(filepath.Join(o.Root, "proc/meminfo"))
	if err != nil {
		miss(r, "how much memory is free: "+err.Error())
	}
	r.MemoryFree = free
	r.Clock = o.Now()
	return r
}

// hearGroup counts the server's packets to the group.
func hearGroup(ctx context.Context, o Options, l *session.Look, r *session.LookResult) func() {
	if !l.Group.IsValid() {
		return func() { miss(r, "whether multicast arrives: the server sends none for this") }
	}
	n, err := countPackets(ctx, o.Interface, l)
	if err != nil {
		return func() { miss(r, "whether multicast arrives: "+err.Error()) }
	}
	return func() { r.Heard = &n }
}

// enough is how many packets of the group are waited for.
const enough = 3

func countPackets(ctx context.Context, iface string, l *session.Look) (int, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return 0, err
	}
	c, err := net.ListenMulticastUDP("udp4", ifi, net.UDPAddrFromAddrPort(l.Group))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	n := 0
	for buf := make([]byte, 2048); n < enough; {
		k, _, err := c.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if string(buf[:k]) == l.ID {
			n++
		}
	}
	return n, nil
}

func hearQuerier(ctx context.Context, o Options, l *session.Look, r *session.LookResult) func() {
	if !l.Group.IsValid() {
		return func() { miss(r, "whether somebody asks for multicast groups: the server names no group") }
	}
	from, err := querier.Hear(ctx, o.Interface, l.Group.Addr())
	who := ""
	switch {
	case err == nil:
		who = from.String()
	case !errors.Is(err, context.DeadlineExceeded):
		return func() { miss(r, "whether somebody asks for multicast groups: "+err.Error()) }
	}
	return func() { r.Querier = &who }
}

func miss(r *session.LookResult, words string) { r.Missed = append(r.Missed, words) }

// nic reads what the kernel has of the NIC.
func nic(o Options, r *session.LookResult) {
	dir := filepath.Join(o.Root, "sys/class/net", o.Interface)
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(line(filepath.Join(dir, name)), 10, 64)
		return n, err == nil
	}
	if n, ok := number("mtu"); ok && n > 0 {
		r.MTU = int(n)
	} else {
		miss(r, "the MTU of "+o.Interface)
	}
	if n, ok := number("speed"); ok && n > 0 && n < 1<<31 {
		r.Mbps = int(n)
	} else {
		miss(r, "the speed of "+o.Interface+": its driver does not say")
	}
	r.Duplex = line(filepath.Join(dir, "duplex"))
	r.Counters = map[string]int64{}
	for _, c := range counters {
		if n, ok := number("statistics/" + c); ok {
			r.Counters[c] = n
		}
	}
	if n, ok := number("carrier_down_count"); ok {
		r.Counters["carrier_down"] = n
	}
}

func line(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// available reads MemAvailable of proc_meminfo(5), in bytes.
func available(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for l := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, "MemAvailable:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New(file + " has no MemAvailable")
}
