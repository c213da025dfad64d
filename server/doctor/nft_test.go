package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
)

// rulesets are firewalls, and the UDP ports of node 0 that packets of node 1 do not come to. A + at the end of a port:
// doctor must say that it does not know; a - too, where the packets come. With ? and ~ it may say so: it depends on
// nft.
var rulesets = []struct{ name, rules, drops string }{
	{"none", "", ""},
	{"a port", "add rule inet f in udp dport 69 drop", "69"},
	{"a set", "add rule inet f in udp dport { 67, 4000-4020 } drop", "67 4011"},
	{"another interface", "add rule inet f in iifname eth1 udp dport 69 drop", ""},
	{"an interface by its head", `add rule inet f in iifname "eth*" udp dport 69 reject`, "69"},
	{"not the interface", `add rule inet f in iifname != "lo" udp dport 69 drop`, "69"},
	{"accept first", "add rule inet f in udp dport 69 accept; add rule inet f in meta l4proto udp drop",
		"67 4011 25000"},
	{"policy", "add chain inet f in { policy drop; }; add rule inet f in udp dport 4011 accept", "67 69 25000"},
	{"known connections only",
		"add chain inet f in { policy drop; }; add rule inet f in ct state established,related " +
			"accept; add rule inet f in ct state new udp dport 67 accept", "69 4011 25000"},
	{"a named set", "add set inet f s { type inet_service; flags interval; elements = { 25000-31999 }; }; " +
		"add rule inet f in udp dport != @s drop", "67 69 4011"},
	{"a map of verdicts", "add rule inet f in udp dport vmap { 67 : drop, 69 : accept, 4011 : drop }", "67 4011"},
	{"a named map", "add map inet f m { type inet_service : verdict; elements = { 69 : drop }; }; " +
		"add rule inet f in udp dport vmap @m", "69"},
	{"states by a map", "add rule inet f in ct state vmap { established : accept, new : continue, invalid : drop }; " +
		"add rule inet f in udp dport 69 drop", "69"},
	{"a jump that returns", "add chain inet f sub; add rule inet f sub udp dport 67 return; add rule inet f sub udp " +
		"dport " +
		"{ 67, 69 } drop; add rule inet f in jump sub; add rule inet f in udp dport 4011 drop", "69 4011"},
	{"a goto", "add chain inet f sub; add rule inet f sub udp dport 67 drop; add rule inet f in udp dport { 67, 69 } " +
		"goto sub; add rule inet f in drop", "67 4011 25000"},
	{"a prefix", "add rule inet f in ip saddr 10.77.0.0/30 udp dport 69 drop", "69"},
	{"a range of addresses", "add rule inet f in ip saddr 10.77.0.100-10.77.0.200 udp dport 69 drop", ""},
	{"to this machine", "add rule inet f in fib daddr type local udp dport 69 drop", "69"},
	{"before", "add chain inet f pre { type filter hook prerouting priority -300; }; add rule inet f pre udp dport " +
		"69 drop; " +
		"add rule inet f in udp dport 69 accept", "69"},
	{"the NIC", "add table netdev n; add chain netdev n i { type filter hook ingress device eth0 priority 0; }; " +
		"add rule netdev n i udp dport 69 drop", "69?"},
	{"another NIC", "add table netdev n; add chain netdev n i { type filter hook ingress device lo priority 0; }; " +
		"add rule netdev n i udp dport 69 drop", "69~"},
	{"protocol by number", "add rule inet f in ip protocol 17 udp dport 69 drop", "69"},
	{"another protocol", "add rule inet f in tcp dport 69 drop; add rule inet f in ip6 nexthdr udp drop", ""},
	{"not another protocol", "add rule inet f in tcp dport != 22 drop", ""},
	{"a mark", "add rule inet f in meta mark 0 udp dport 69 drop", "69+"},
	{"a limit", "add rule inet f in udp dport 69 limit rate 1000/second accept; add rule inet f in udp dport 69 drop",
		"69-"},
}

var ports = []string{"67", "69", "4011", "25000"}

// TestFollow has the kernel judge: what is followed through the rules is sent.
func TestFollow(t *testing.T) {
	l := netlabtest.New(t, 2, "nft")
	listeners := map[string]*net.UDPConn{}
	var sender *net.UDPConn
	err := l.Do(l.Node(0), func() error {
		for _, p := range ports {
			a, err := net.ResolveUDPAddr("udp4", l.Addr(0)+":"+p)
			if err != nil {
				return err
			}
			if listeners[p], err = net.ListenUDP("udp4", a); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = l.Do(l.Node(1), func() (err error) {
			sender, err = net.ListenUDP("udp4", nil)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rulesets {
		if err := l.On(l.Node(0), "nft",
			"flush ruleset; add table inet f; add chain inet f in { type filter hook input "+
				"priority 0; policy accept; }; "+c.rules); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		line := netlab.In(l.Node(0), "nft", "-j", "list", "ruleset")
		text, err := exec.Command(line[0], line[1:]...).Output()
		if err != nil {
			t.Fatal(err)
		}
		rules, err := parseRules(text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, p := range ports {
			want, sure, may := passes, true, false
			for _, d := range strings.Fields(c.drops) {
				switch d {
				case p:
					want = dropped
				case p + "+":
					want, sure = dropped, false
				case p + "-":
					sure = false
				case p + "?":
					want, may = dropped, true
				case p + "~":
					may = true
				}
			}
			var n int
			fmt.Sscan(p, &n)
			e := rules.follow(&probe{iface: "eth0", proto: "udp", src: netip.MustParseAddr(l.Addr(1)),
				dst: netip.MustParseAddr(l.Addr(0)), sport: 40000, dport: n, kind: "host"}, "ingress", "prerouting",
				"input")
			is := passes
			if !arrives(t, sender, listeners[p]) {
				is = dropped
			}
			if may && e.fate == passes|dropped && len(e.ask) > 0 && is == want {
				continue
			}
			if is != want || sure && e.fate != is || !sure && e.fate != passes|dropped || !sure && len(e.ask) == 0 {
				t.Errorf("%s, port %s: the kernel says %d, doctor %d (%q, %v), the table %d", c.name, p, is, e.fate,
					e.ask,
					e.by, want)
			}
		}
	}
}

// arrives sends a packet and waits for it, as long as a machine under load may take; one that is dropped takes that
// long.
func arrives(t *testing.T, from, to *net.UDPConn) bool {
	t.Helper()
	if _, err := from.WriteTo([]byte("x"), to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := to.SetReadDeadline(time.Now().Add(150 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, _, err := to.ReadFrom(make([]byte, 10))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

// TestIPTables reads what iptables-nft made, of which nft's JSON hides what matches ask.
func TestIPTables(t *testing.T) {
	const head = `{"nftables":[{"metainfo":{"version":"1.0.6","json_schema_version":1}},` +
		`{"table":{"family":"ip","name":"filter","handle":2}},` +
		`{"chain":{"family":"ip","table":"filter","name":"INPUT","handle":1,"type":"filter",` +
		`"hook":"input","prio":0,"policy":"%s"}}%s]}`
	rule := func(n int, expr string) string {
		return fmt.Sprintf(`,{"rule":{"family":"ip","table":"filter","chain":"INPUT","handle":%d,"expr":[%s]}}`, n,
			expr)
	}
	const udp67 = `{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":67}}`
	for _, c := range []struct {
		name, policy, rules string
		want                fate
	}{
		{"drop", "accept", rule(2, udp67+`,{"counter":{"packets":0,"bytes":0}},{"drop":null}`), dropped},
		{"reject, with a comment", "accept", rule(2, udp67+`,{"xt":{"type":"match","name":"comment"}},`+
			`{"xt":{"type":"target","name":"REJECT"}}`), dropped},
		{"connections that are there", "drop", rule(2, `{"xt":{"type":"match","name":"conntrack"}},{"accept":null}`),
			dropped},
		{"several ports", "accept", rule(2, `{"xt":{"type":"match","name":"multiport"}},{"drop":null}`),
			passes | dropped},
		{"a log", "accept", rule(2, udp67+`,{"xt":{"type":"target","name":"LOG"}}`), passes},
		{"an unknown target", "accept", rule(2, udp67+`,{"xt":{"type":"target","name":"NEW"}}`), passes | dropped},
		{"an unknown statement", "accept", rule(2, udp67+`,{"queue":null}`), passes | dropped},
		{"a chain that is not there", "accept", rule(2, `{"jump":{"target":"gone"}}`), passes | dropped},
		{"a circle", "accept", rule(2, `{"jump":{"target":"INPUT"}}`), passes | dropped},
	} {
		r, err := parseRules(fmt.Appendf(nil, head, c.policy, c.rules))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		e := r.follow(&probe{iface: "eth0", proto: "udp", dport: 67, kind: "broadcast"}, "input")
		if e.fate != c.want {
			t.Errorf("%s: %d (%q), want %d", c.name, e.fate, e.ask, c.want)
		}
	}
	for _, bad := range []string{"", "{}", "[]", `{"nftables":[]}`, `{"nftables":[{"rule":{"handle":"x"}}]}`} {
		if _, err := parseRules([]byte(bad)); err == nil {
			t.Errorf("%q is taken for rules", bad)
		}
	}
}

func FuzzRules(f *testing.F) {
	f.Add([]byte(`{"nftables":[{"chain":{"family":"ip","table":"t","name":"c","type":"filter","hook":"input",` +
		`"policy":"drop","dev":["a"]}},{"set":{"family":"ip","table":"t","name":"s","elem":[1,{"range":[2,3]}]}},` +
		`{"rule":{"family":"ip","table":"t","chain":"c","handle":1,"expr":[` +
		`{"match":{"op":"in","left":{"payload":{"protocol":"udp","field":"dport"}},"right":"@s"}},` +
		`{"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[["new",{"jump":{"target":"c"}}]]}}}]}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRules(b)
		if err != nil {
			return
		}
		e := r.follow(&probe{iface: "a", proto: "udp", dport: 67, kind: "host"}, "ingress", "prerouting", "input")
		if e.fate&goesOn != 0 || e.fate == 0 {
			t.Errorf("a packet's fate is %d", e.fate)
		}
	})
}
