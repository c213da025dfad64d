package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
)

// Bounds on what a node says.
const (
	slowLink   = 8 * time.Second // a port with spanning tree takes 15 s to 30 s
	clockOff   = 5 * time.Minute
	slowMbps   = 1000
	leastFree  = 128 << 20 // bytes
	errorShare = 10_000    // one packet of so many that is in error is too many
	maxErrors  = 1_000_000 // of a kind, however many packets there were
)

// OfNode judges what a node saw of its network and of itself.
func OfNode(v *doc.NodeLook) *Report {
	r := &Report{V: 1, Machine: v.Node, Interface: v.Look.NIC}
	for _, c := range []struct {
		name string
		look func(*doc.NodeLook, *Look)
	}{{"link", nodeLink}, {"packets", nodePackets}, {"multicast", nodeMulticast}, {"clock", nodeClock},
		{"nic", nodeNIC},
		{"disks", nodeDisks}, {"memory", nodeMemory}} {
		l := Look{doc.DoctorLook{Check: c.name}}
		c.look(v, &l)
		r.Looks = append(r.Looks, l.DoctorLook)
	}
	missed := Look{doc.DoctorLook{Check: "the node itself"}}
	for _, w := range v.Look.Missed {
		missed.not("%s", w)
	}
	if len(missed.Not) > 0 {
		r.Looks = append(r.Looks, missed.DoctorLook)
	}
	return r
}

func nodeLink(v *doc.NodeLook, l *Look) {
	if v.Look.LinkWait == nil {
		l.not("how long it took from the link to the DHCP server's answer")
		return
	}
	d := time.Duration(*v.Look.LinkWait * float64(time.Second)).Round(100 * time.Millisecond)
	if d >= slowLink {
		l.find(NodeSlowLink, fmt.Sprintf("from the link to the DHCP server's answer it took %v", d),
			"a switch port with spanning tree forwards nothing at first: firmware gives up before that",
			"set portfast (edge port) on the switch's ports to machines")
		return
	}
	l.well("from the link to the DHCP server's answer it took %v", d)
}

func nodePackets(v *doc.NodeLook, l *Look) {
	switch p := v.Look.PathMTU; {
	case p == nil:
		l.not("how large packets to the server may be")
	case *p == 0:
		l.find(NodeSilent, "the server answers none of the node's echo requests",
			"its firewall drops them, or packets do not come back: how large they may be is not known",
			"nft list ruleset, on the server; sysctl net.ipv4.icmp_echo_ignore_all")
	case *p < packet:
		l.find(NodeMTU, fmt.Sprintf("packets of %d bytes come to the server and back, larger ones do not; a cast's "+
			"have %d", *p,
			packet), "a tunnel, a VLAN or a switch port on the way has a small MTU: casts do not arrive",
			fmt.Sprintf("raise the MTU on the way (the node's %s has %d)", v.Look.NIC, v.Look.MTU))
	default:
		l.well("packets of %d bytes come to the server and back; a cast's have %d", *p, packet)
	}
}

func nodeMulticast(v *doc.NodeLook, l *Look) {
	switch h := v.Look.Heard; {
	case h == nil:
		l.not("whether multicast arrives")
	case *h == 0:
		l.find(NodeMulticast, "of the server's packets to a multicast group none came",
			"a switch or a firewall between does not forward groups: nodes fetch each image by themselves",
			"diskcast doctor, on the server; IGMP snooping and querier of the switch")
	default:
		l.well("the server's packets to a multicast group come")
	}
	switch q := v.Look.Querier; {
	case q == nil:
		l.not("whether somebody asks for multicast groups (IGMP)")
	case *q == "":
		l.find(NodeQuerier, "nobody asked for multicast groups (IGMP) while the node listened, also not who stays in "+
			"a group that it said to leave",
			"a switch that snoops forgets members whom nobody asks, and casts stop arriving",
			"querier = true in the server's settings file (the default), or the querier of the switch")
	default:
		l.well("%s asks for multicast groups", *q)
	}
}

func nodeClock(v *doc.NodeLook, l *Look) {
	off := v.Look.Clock.Sub(v.Answered).Round(time.Second)
	if off.Abs() >= clockOff {
		l.find(NodeClock, fmt.Sprintf("the node's clock is %v away from the server's", off),
			"its battery is empty, or it keeps local time; what is restored starts with that clock",
			"hwclock --systohc --utc in the restored system, or firmware setup")
		return
	}
	l.well("the node's clock is %v away from the server's", off)
}

func nodeNIC(v *doc.NodeLook, l *Look) {
	r := &v.Look
	switch {
	case r.Duplex == "half":
		l.find(NodeDuplex, fmt.Sprintf("%s is half duplex", r.NIC),
			"one side has a fixed speed, the other negotiates: packets "+
				"collide and are lost", "set the switch port to auto-negotiation")
	case r.Duplex == "":
		l.not("whether %s is full duplex", r.NIC)
	default:
		l.well("%s is %s duplex", r.NIC, r.Duplex)
	}
	switch {
	case r.Mbps == 0:
		l.not("the speed of %s", r.NIC)
	case r.Mbps < slowMbps:
		l.find(NodeSpeed, fmt.Sprintf("%s has a link of %d Mbit/s", r.NIC, r.Mbps),
			"a cast is as slow as its slowest machine; two of a cable's four pairs may be broken",
			"another cable, another switch port")
	default:
		l.well("%s has a link of %d Mbit/s", r.NIC, r.Mbps)
	}
	nodeErrors(r, l)
}

func nodeErrors(r *session.LookResult, l *Look) {
	if len(r.Counters) == 0 {
		l.not("what %s counted", r.NIC)
		return
	}
	packets := max(r.Counters["rx_packets"], 1)
	var bad []string
	for name, n := range r.Counters {
		if strings.HasSuffix(name, "_errors") && n > 0 && (n > maxErrors || n > packets/errorShare) ||
			name == "collisions" && n > 0 {
			bad = append(bad, fmt.Sprintf("%s %d", name, n))
		}
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		l.find(NodeErrors, fmt.Sprintf("%s counts errors: %s, of %d packets", r.NIC, strings.Join(bad, ", "), packets),
			"packets are lost: a bad cable (crc, frame), or a machine too slow for its link (missed, fifo)",
			"another cable, another switch port")
		return
	}
	l.well("%s counts no errors to speak of in %d packets", r.NIC, packets)
}

func nodeDisks(v *doc.NodeLook, l *Look) {
	var words []string
	for _, d := range v.Look.Disks {
		words = append(words, strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Path, units.Bytes(d.Size), d.Model)))
	}
	if len(words) == 0 {
		l.find(NodeNoDisk, "the node's kernel sees no disk",
			"its driver is not in the boot directory, the controller is in "+
				"RAID mode in the firmware's setup, or there is none",
			"mkimage --modules (docs/booting.md); firmware setup: AHCI")
	} else {
		l.well("it sees %s", few(words))
	}
	if len(v.Look.Undriven) > 0 {
		l.find(NodeUndriven, "no driver for "+few(v.Look.Undriven), "disks or network cards behind them are not seen",
			"mkimage --modules, --firmware (docs/booting.md)")
	}
}

func nodeMemory(v *doc.NodeLook, l *Look) {
	r := &v.Look
	switch words := fmt.Sprintf("%s of %s of memory are free", units.Bytes(r.MemoryFree), units.Bytes(r.Memory)); {
	case r.MemoryFree == 0:
		l.not("how much memory is free")
	case r.MemoryFree < leastFree:
		l.find(NodeMemory, words, "blocks of a cast that cannot be written yet wait in memory: it goes slower",
			"more memory, or a smaller userland (mkimage without --modules)")
	default:
		l.well("%s", words)
	}
}
