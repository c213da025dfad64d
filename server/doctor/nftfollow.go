package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxDepth bounds jumps, as the kernel does.
const maxDepth = 16

// fate is what may become of a packet: several bits where a rule cannot be followed.
type fate uint8

// The fates.
const (
	passes fate = 1 << iota
	dropped
	goesOn // to the next rule
)

// end is a packet's fate, and the rules that drop it.
type end struct {
	fate fate
	by   []chainID // chains in which it is dropped for certain
	ask  []string  // what could not be followed
}

// follow says what becomes of a packet at the hooks, one after another; each base chain of a hook may drop it.
func (r *ruleset) follow(p *probe, hooks ...string) end {
	out := end{fate: passes}
	for _, hook := range hooks {
		for _, c := range r.chains {
			of := c.of(p)
			if c.hook != hook || c.kind == "nat" || of == no {
				continue
			}
			w := &walk{r: r, p: p}
			f := w.chain(c, 0)
			if f&goesOn != 0 {
				f &^= goesOn
				if c.policy == "drop" {
					f |= dropped
				} else {
					f |= passes
				}
			}
			if of == unknown && f&dropped != 0 {
				f |= passes
				w.ask = append(w.ask, "of which interface "+c.id.String()+" is does not show")
			}
			switch {
			case f == dropped:
				out.fate, out.by = dropped, append(out.by, c.id)
			case f&dropped != 0 && out.fate != dropped:
				out.fate |= dropped
			}
			if f&dropped != 0 {
				out.ask = append(out.ask, w.ask...)
			}
		}
	}
	return out
}

// of says whether packets as p come through the chain: it is of IPv4, and of their interface. nft 1.0.6 does not print
// of which interface a chain is.
func (c *chain) of(p *probe) tri {
	switch c.id.family {
	case "ip", "inet", "netdev":
	default:
		return no
	}
	if c.hook != "ingress" && c.hook != "egress" {
		return yes
	}
	if len(c.devs) == 0 {
		return unknown
	}
	return truth(slices.Contains(c.devs, p.iface))
}

// walk follows one packet through the rules of a base chain.
type walk struct {
	r     *ruleset
	p     *probe
	ask   []string
	steps int
}

// maxSteps bounds the rules that one packet is followed through: chains may jump to each other a million ways.
const maxSteps = 1 << 20

func (w *walk) chain(c *chain, depth int) fate {
	if depth > maxDepth {
		return passes | dropped
	}
	var out fate
	for _, rl := range c.rules {
		if w.steps++; w.steps > maxSteps {
			w.ask = append(w.ask, "there are too many rules")
			return passes | dropped
		}
		f, back := w.rule(c, rl, depth)
		out |= f &^ goesOn
		switch {
		case back && f&goesOn == 0:
			return out | goesOn // return
		case back:
			out |= goesOn // it may return
		case f&goesOn == 0:
			return out
		}
	}
	return out | goesOn
}

// rule says what becomes of the packet at one rule; back: it leaves the chain, or, with goesOn, may.
func (w *walk) rule(c *chain, rl rule, depth int) (f fate, back bool) {
	sure := true
	for _, st := range rl.expr {
		for what, raw := range st {
			switch what {
			case "match":
				switch w.match(c, raw) {
				case no:
					return goesOn, false
				case unknown:
					sure = false
					w.unsure(c, rl, "a match")
				}
				continue
			case "xt":
				ok, target := xt(raw)
				if target != 0 {
					return w.maybe(target, sure), false
				}
				if ok == no {
					return goesOn, false
				}
				if ok == unknown {
					sure = false
					w.unsure(c, rl, "a match of iptables")
				}
				continue
			case "limit", "quota", "connlimit", "ct count", "set":
				if what != "set" {
					sure = false
					w.unsure(c, rl, "a limit")
				}
				continue
			case "counter", "log", "mangle", "notrack", "ct helper", "ct timeout", "ct expectation", "meter", "last":
				continue
			}
			f, back, known := w.verdict(c, what, raw, depth)
			if !known {
				w.unsure(c, rl, fmt.Sprintf("%q", what))
				return goesOn | passes | dropped, false
			}
			if what == "vmap" && f == goesOn {
				continue
			}
			if !sure {
				return f | goesOn, back
			}
			return f, back
		}
	}
	return goesOn, false
}

func (w *walk) maybe(f fate, sure bool) fate {
	if sure {
		return f
	}
	return f | goesOn
}

func (w *walk) unsure(c *chain, rl rule, what string) {
	if len(w.ask) < 3 {
		w.ask = append(w.ask, fmt.Sprintf("%s of the rule with handle %d in %s cannot be followed", what, rl.handle,
			c.id))
	}
}

// verdict is what a statement that ends a rule does.
func (w *walk) verdict(c *chain, what string, raw json.RawMessage, depth int) (f fate, back, known bool) {
	switch what {
	case "accept":
		return passes, false, true
	case "drop", "reject":
		return dropped, false, true
	case "continue":
		return goesOn, false, true
	case "return":
		return 0, true, true
	case "jump", "goto":
		var to struct{ Target string }
		if json.Unmarshal(raw, &to) != nil {
			return 0, false, false
		}
		next := w.r.chains[chainID{c.id.family, c.id.table, to.Target}]
		if next == nil {
			return 0, false, false
		}
		f := w.chain(next, depth+1)
		if what == "goto" && f&goesOn != 0 {
			return f &^ goesOn, true, true
		}
		return f, false, true
	case "vmap":
		return w.vmap(c, raw, depth)
	}
	return 0, false, false
}

// vmap looks the packet up in a map of verdicts; goesOn where it has none.
func (w *walk) vmap(c *chain, raw json.RawMessage, depth int) (f fate, back, known bool) {
	var v struct{ Key, Data json.RawMessage }
	if json.Unmarshal(raw, &v) != nil {
		return 0, false, false
	}
	have := w.p.value(v.Key)
	if have == nil {
		return 0, false, false
	}
	data := v.Data
	var name string
	var set struct{ Set json.RawMessage }
	if json.Unmarshal(data, &name) == nil && strings.HasPrefix(name, "@") {
		data = w.r.sets[c.id.family+" "+c.id.table+" "+name[1:]]
	} else if json.Unmarshal(data, &set) == nil {
		data = set.Set
	}
	var pairs []json.RawMessage
	if len(data) == 0 {
		return goesOn, false, true // it has no elements
	}
	if json.Unmarshal(data, &pairs) != nil {
		return 0, false, false
	}
	for _, p := range pairs {
		var kv []json.RawMessage
		if json.Unmarshal(p, &kv) != nil || len(kv) != 2 {
			return 0, false, false
		}
		switch w.fits(c, have, kv[0]) {
		case unknown:
			return 0, false, false
		case no:
			continue
		}
		var verdict map[string]json.RawMessage
		if json.Unmarshal(kv[1], &verdict) != nil || len(verdict) != 1 {
			return 0, false, false
		}
		for what, arg := range verdict {
			return w.verdict(c, what, arg, depth+1)
		}
	}
	return goesOn, false, true
}
