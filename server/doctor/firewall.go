package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/server/caster"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// traffic is a sort of packets that must pass.
type traffic struct {
	what string // in words
	open string // what a rule of nft says of them
	port string // as firewall-cmd and ufw take it; empty: they have no word
	p    []probe
}

// Ports of casts: of the nodes' reports to the server, and of groups.
const (
	firstReport, lastReport = engine.FirstPort, engine.LastPort
	firstGroup, lastGroup   = caster.FirstPort, caster.LastPort
)

// lookFirewall follows what nodes and server send each other through the rules of this machine.
func lookFirewall(ctx context.Context, s *Subject, l *Look) {
	if b, err := os.ReadFile("/proc/thread-self/net/ip_tables_names"); err == nil &&
		strings.TrimSpace(string(b)) != "" {
		l.not("the rules of the old iptables (tables %s), which nft does not show: iptables-legacy-save prints them",
			strings.Join(strings.Fields(string(b)), ", "))
	}
	text, err := s.Host.Output(ctx, "nft", "-j", "list", "ruleset")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		l.not("the firewall: the program nft is not there (apt install nftables)")
		return
	case err != nil:
		l.not("the firewall: %v; is this run as root?", err)
		return
	}
	rules, err := parseRules(text)
	if err != nil {
		l.not("the firewall: nft -j list ruleset: %v", err)
		return
	}
	judgeFirewall(rules, s, l)
}

func judgeFirewall(rules *ruleset, s *Subject, l *Look) {
	var pass []string
	for _, t := range flows(s) {
		all := end{fate: passes}
		for i := range t.p {
			e := rules.follow(&t.p[i], hooks(&t.p[i])...)
			if all.fate == passes || e.fate == dropped {
				all = e
			}
			if e.fate == dropped {
				break
			}
		}
		switch {
		case all.fate == dropped:
			l.find(Firewall, fmt.Sprintf("the firewall drops %s, in %s", t.what, chainWords(all.by)), harm(t),
				t.mend(all.by[0], s.Interface))
		case all.fate&dropped != 0:
			slices.Sort(all.ask)
			l.not("whether the firewall lets %s pass: %s", t.what, strings.Join(slices.Compact(all.ask), "; "))
		default:
			pass = append(pass, t.what)
		}
	}
	if len(pass) > 0 {
		l.well("the firewall lets pass: %s", strings.Join(pass, ", "))
	}
}

func hooks(p *probe) []string {
	if p.out {
		return []string{"output", "postrouting", "egress"}
	}
	return []string{"ingress", "prerouting", "input"}
}

func chainWords(by []chainID) string {
	var out []string
	for _, id := range by {
		out = append(out, id.String())
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " and ")
}

func harm(t traffic) string {
	if t.p[0].out {
		return "nodes do not receive what the server sends"
	}
	return "the server does not receive what nodes send"
}

// mend is the command that lets the traffic pass, of the program that made the rules where that shows.
func (t *traffic) mend(by chainID, iface string) string {
	way := "iifname"
	if t.p[0].out {
		way = "oifname"
	}
	switch {
	case by.table == "firewalld" && t.port != "":
		return fmt.Sprintf("firewall-cmd --permanent --add-port=%s && firewall-cmd --reload", t.port)
	case by.table == "filter" && t.port != "" && !t.p[0].out && usesUFW():
		n, proto, _ := strings.Cut(t.port, "/")
		return fmt.Sprintf("ufw allow in on %s to any port %s proto %s", iface, strings.ReplaceAll(n, "-", ":"), proto)
	case by.family == "netdev":
		return fmt.Sprintf("nft insert rule %s %s accept", by, t.open)
	}
	return fmt.Sprintf("nft insert rule %s %s %s %s accept", by, way, iface, t.open)
}

func usesUFW() bool {
	_, err := os.Stat("/etc/ufw/ufw.conf")
	return err == nil
}

// flows is all that must pass.
func flows(s *Subject) []traffic {
	self := s.LAN.Addr()
	node := self.Next()
	if !s.LAN.Contains(node) {
		node = self.Prev()
	}
	in := func(proto string, ports ...int) []probe {
		var out []probe
		for _, n := range ports {
			out = append(out, probe{iface: s.Interface, proto: proto, src: node, dst: self, sport: 40000, dport: n,
				kind: "host"})
		}
		return out
	}
	var out []traffic
	all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if s.DHCP != dhcp.Off {
		out = append(out,
			traffic{"DHCP (UDP port 67)", "udp dport 67", "67/udp", []probe{{iface: s.Interface, proto: "udp",
				src: netip.IPv4Unspecified(), dst: all, sport: 68, dport: 67, kind: "broadcast"}}},
			traffic{"PXE (UDP port 4011)", "udp dport 4011", "4011/udp", in("udp", 4011)},
			traffic{"answers of DHCP (from UDP port 67)", "udp sport 67", "", []probe{{iface: s.Interface, out: true,
				proto: "udp", src: self, dst: all, sport: 67, dport: 68}}})
	}
	if s.TFTP {
		out = append(out, traffic{"TFTP (UDP port 69)", "udp dport 69", "69/udp", in("udp", tftpPort)})
		more := in("udp", 40001)
		more[0].old = true
		out = append(out, traffic{"what follows on TFTP's first packet", "ct state established,related", "", more})
	}
	for _, p := range []struct {
		what string
		at   netip.AddrPort
	}{{"boot files by HTTP", s.HTTP}, {"the API", s.API}, {"boot files by HTTPS", s.HTTPS}} {
		if !p.at.IsValid() {
			continue
		}
		n := int(p.at.Port())
		out = append(out, traffic{fmt.Sprintf("%s (TCP port %d)", p.what, n), fmt.Sprintf("tcp dport %d", n),
			fmt.Sprintf("%d/tcp", n), in("tcp", n)})
	}
	out = append(out, traffic{fmt.Sprintf("reports of nodes in casts (UDP ports %d-%d)", firstReport, lastReport),
		fmt.Sprintf("udp dport %d-%d", firstReport, lastReport), fmt.Sprintf("%d-%d/udp", firstReport, lastReport),
		in("udp", firstReport, (firstReport+lastReport)/2, lastReport)})
	group := s.Groups.Masked().Addr().Next()
	out = append(out, traffic{fmt.Sprintf("casts (UDP to %v)", s.Groups), fmt.Sprintf("ip daddr %v", s.Groups), "",
		[]probe{
			{iface: s.Interface, out: true, proto: "udp", src: self, dst: group, sport: firstReport, dport: firstGroup},
			{iface: s.Interface, out: true, proto: "udp", src: self, dst: group, sport: lastReport, dport: lastGroup}}})
	if s.Querier {
		out = append(out, traffic{"questions for groups (IGMP)", "ip protocol igmp", "", []probe{{iface: s.Interface,
			out: true, proto: "igmp", src: self, dst: netip.AddrFrom4([4]byte{224, 0, 0, 1})}}})
	}
	return out
}
