package doctor

import (
	"encoding/json"
	"net/netip"
	"strings"
)

// probe is a packet whose way through the firewall is followed.
type probe struct {
	iface        string
	out          bool // it leaves
	proto        string
	src, dst     netip.Addr
	sport, dport int
	kind         string // meta pkttype: host, broadcast or multicast
	old          bool   // of a connection that is there
}

// tri is an answer that may not be known.
type tri uint8

// The answers.
const (
	unknown tri = iota
	no
	yes
)

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}

func not(t tri) tri {
	switch t {
	case yes:
		return no
	case no:
		return yes
	}
	return unknown
}

// absent is the value of what the packet does not have: a match on it fails.
type absent struct{}

// protocols are numbers of protocols that rules name instead.
var protocols = map[string]int{"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17}

// value is the packet's value of the left side of a match: a string, an int, an address, absent, or nil where it is not
// known.
func (p *probe) value(left json.RawMessage) any {
	var e struct {
		Meta    *struct{ Key string }
		Ct      *struct{ Key, Dir string }
		Payload *struct{ Protocol, Field string }
		Fib     *struct {
			Result string
			Flags  json.RawMessage
		}
	}
	if json.Unmarshal(left, &e) != nil {
		return nil
	}
	switch {
	case e.Meta != nil:
		return p.meta(e.Meta.Key)
	case e.Ct != nil && e.Ct.Key == "state":
		if p.old {
			return "established"
		}
		return "new"
	case e.Payload != nil:
		return p.field(e.Payload.Protocol, e.Payload.Field)
	case e.Fib != nil && e.Fib.Result == "type" && strings.Contains(string(e.Fib.Flags), "daddr"):
		switch {
		case p.out:
			return nil
		case p.kind == "host":
			return "local"
		}
		return p.kind
	}
	return nil
}

func (p *probe) meta(key string) any {
	switch key {
	case "iif", "iifname":
		if p.out {
			return absent{}
		}
		return p.iface
	case "oif", "oifname":
		if !p.out {
			return absent{}
		}
		return p.iface
	case "l4proto":
		return p.proto
	case "nfproto":
		return "ipv4"
	case "protocol":
		return "ip"
	case "pkttype":
		if p.out {
			return nil
		}
		return p.kind
	}
	return nil
}

func (p *probe) field(protocol, field string) any {
	switch protocol {
	case "udp", "tcp", "th":
		if protocol != "th" && protocol != p.proto || p.proto == "igmp" {
			return absent{}
		}
		switch field {
		case "dport":
			return p.dport
		case "sport":
			return p.sport
		}
	case "ip":
		switch field {
		case "protocol":
			return p.proto
		case "saddr":
			return p.src
		case "daddr":
			return p.dst
		case "version":
			return 4
		}
	case "ip6", "icmp", "icmpv6", "arp", "sctp", "dccp", "esp", "ah":
		return absent{}
	case "igmp":
		if p.proto != "igmp" {
			return absent{}
		}
	}
	return nil
}

// match says whether the packet fits a match.
func (w *walk) match(c *chain, raw json.RawMessage) tri {
	var m struct {
		Op          string
		Left, Right json.RawMessage
	}
	if json.Unmarshal(raw, &m) != nil {
		return unknown
	}
	have := w.p.value(m.Left)
	switch have.(type) {
	case nil:
		return unknown
	case absent:
		return no // also of !=: the packet has no such field
	}
	switch m.Op {
	case "==", "in":
		return w.fits(c, have, m.Right)
	case "!=":
		return not(w.fits(c, have, m.Right))
	}
	return unknown
}

// fits compares a value of the packet with the right side of a match: a value, a set, a range, a prefix, a name of a
// set.
func (w *walk) fits(c *chain, have any, right json.RawMessage) tri {
	var v any
	if json.Unmarshal(right, &v) != nil {
		return unknown
	}
	if s, ok := v.(string); ok && strings.HasPrefix(s, "@") {
		raw, there := w.r.sets[c.id.family+" "+c.id.table+" "+s[1:]]
		if !there {
			return unknown
		}
		return anyOf(have, list(raw), 0)
	}
	return one(have, v, 0)
}

func anyOf(have any, all []any, depth int) tri {
	out := no
	for _, v := range all {
		switch one(have, v, depth+1) {
		case yes:
			return yes
		case unknown:
			out = unknown
		}
	}
	return out
}

// one compares with one value, or with the values that it stands for.
func one(have, v any, depth int) tri {
	if depth > 4 {
		return unknown
	}
	if _, ok := have.(absent); ok {
		return no
	}
	switch v := v.(type) {
	case []any:
		return anyOf(have, v, depth)
	case map[string]any:
		return within(have, v, depth)
	case string:
		return equal(have, v)
	case float64:
		switch h := have.(type) {
		case int:
			return truth(float64(h) == v)
		case string:
			if n, ok := protocols[h]; ok {
				return truth(float64(n) == v)
			}
		}
	}
	return unknown
}

// equal compares with a word: a name, one with * at its end, an address.
func equal(have any, v string) tri {
	switch h := have.(type) {
	case string:
		if head, ok := strings.CutSuffix(v, "*"); ok {
			return truth(strings.HasPrefix(h, head))
		}
		return truth(h == v)
	case netip.Addr:
		if a, err := netip.ParseAddr(v); err == nil {
			return truth(a == h)
		}
	}
	return unknown
}

// within compares with a set, a range, a prefix, or an element that has a comment or a time.
func within(have any, v map[string]any, depth int) tri {
	if set, ok := v["set"].([]any); ok {
		return anyOf(have, set, depth)
	}
	if elem, ok := v["elem"].(map[string]any); ok {
		return one(have, elem["val"], depth+1)
	}
	if r, ok := v["range"].([]any); ok && len(r) == 2 {
		switch h := have.(type) {
		case int:
			lo, ok1 := r[0].(float64)
			hi, ok2 := r[1].(float64)
			if ok1 && ok2 {
				return truth(float64(h) >= lo && float64(h) <= hi)
			}
		case netip.Addr:
			lo, err1 := netip.ParseAddr(word(r[0]))
			hi, err2 := netip.ParseAddr(word(r[1]))
			if err1 == nil && err2 == nil {
				return truth(h.Compare(lo) >= 0 && h.Compare(hi) <= 0)
			}
		}
		return unknown
	}
	if p, ok := v["prefix"].(map[string]any); ok {
		h, isAddr := have.(netip.Addr)
		a, err := netip.ParseAddr(word(p["addr"]))
		n, isLen := p["len"].(float64)
		if !isAddr || err != nil || !isLen {
			return unknown
		}
		prefix, err := a.Prefix(int(n))
		if err != nil {
			return unknown
		}
		return truth(prefix.Contains(h))
	}
	return unknown
}

func word(v any) string {
	s, _ := v.(string)
	return s
}
