package book

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// Bounds of a rule.
const (
	maxPattern = 255
	maxList    = 4096
)

// Claim is what a node says of itself, and where from.
type Claim struct {
	Vendor, Product, Serial string
	MAC                     string // of the NIC that it boots from, with colons
	Addr                    netip.Addr
	Port                    string // SWITCH/PORT; empty where that is not known
	Relay                   string // who passed its requests on: ADDRESS/SWITCH/PORT; empty where nobody did
}

// Fits returns the name of the first rule that fits the claim and approves, empty for none.
func (b *Book) Fits(c Claim) string {
	return b.first(c, func(r *doc.Rule) bool { return r.WhenIdle == "" })
}

// Idle returns the first rule that fits the claim and says what is booted when nothing is asked, and its word.
func (b *Book) Idle(c Claim) (name, word string) {
	name = b.first(c, func(r *doc.Rule) bool { return r.WhenIdle != "" })
	return name, b.rules[name].WhenIdle
}

// first is the first rule, by name, that fits the claim and is wanted. It is asked for each machine every second.
func (b *Book) first(c Claim, wanted func(*doc.Rule) bool) (first string) {
	for name, r := range b.rules {
		if (first == "" || name < first) && wanted(&r) && fits(&r, c) {
			first = name
		}
	}
	return first
}

func fits(r *doc.Rule, c Claim) bool {
	for _, x := range [][2]string{{r.Vendor, c.Vendor}, {r.Product, c.Product}, {r.Serial, c.Serial},
		{r.Port, c.Port}, {r.Relay, c.Relay}} {
		if x[0] != "" && !like(x[0], x[1]) {
			return false
		}
	}
	if len(r.MACs) > 0 && !slices.ContainsFunc(r.MACs, func(p string) bool {
		return c.MAC == p || strings.HasPrefix(c.MAC, p+":")
	}) {
		return false
	}
	return len(r.Nets) == 0 || slices.ContainsFunc(r.Nets, func(s string) bool {
		n, err := netip.ParsePrefix(s)
		return err == nil && c.Addr.IsValid() && n.Contains(c.Addr)
	})
}

// everyMachine reports whether no condition of the rule keeps a machine out.
func everyMachine(r *doc.Rule) bool {
	for _, pattern := range []string{r.Vendor, r.Product, r.Serial, r.Port, r.Relay} {
		if strings.Trim(pattern, "*?") != "" || pattern != "" && !strings.Contains(pattern, "*") {
			return false
		}
	}
	return (len(r.MACs) == 0 || allBytes(r.MACs)) && (len(r.Nets) == 0 || allAddresses(r.Nets))
}

// allBytes reports whether the beginnings of MAC addresses leave out none that a NIC can have: the first byte of those
// is even.
func allBytes(macs []string) bool {
	first := map[string]bool{}
	for _, m := range macs {
		if len(m) == 2 && strings.Contains("02468ace", m[1:]) {
			first[m] = true
		}
	}
	return len(first) == 128
}

// allAddresses reports whether the networks leave out no IPv4 address, or no IPv6 address.
func allAddresses(nets []string) bool {
	var ps []netip.Prefix
	for _, s := range nets {
		if p, err := netip.ParsePrefix(s); err == nil {
			ps = append(ps, p)
		}
	}
	return covered(netip.MustParsePrefix("0.0.0.0/0"), ps) || covered(netip.MustParsePrefix("::/0"), ps)
}

// covered reports whether the networks leave nothing of a network out: one has all of it, or both halves are covered.
func covered(p netip.Prefix, nets []netip.Prefix) bool {
	var within []netip.Prefix
	for _, n := range nets {
		switch {
		case !n.Overlaps(p):
		case n.Bits() <= p.Bits():
			return true
		default:
			within = append(within, n)
		}
	}
	if len(within) < 2 {
		return false
	}
	upper := p.Addr().AsSlice()
	upper[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	high, _ := netip.AddrFromSlice(upper) // as long as it was
	return covered(netip.PrefixFrom(p.Addr(), p.Bits()+1), within) && covered(netip.PrefixFrom(high, p.Bits()+1),
		within)
}

// like reports whether the text fits the pattern; case and slashes are letters as all others.
func like(pattern, text string) bool {
	r := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(r.Replace(strings.ToLower(pattern)), r.Replace(strings.ToLower(strings.TrimSpace(text))))
	return err == nil && ok
}

var macPrefix = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){0,5}$`)
})

// SetRule puts a rule in the place of the one of its name. The difference is nil when it was so before.
func (b *Book) SetRule(r doc.Rule, w Writer) (*doc.LabDiff, error) {
	was, had := b.rules[r.Name]
	if err := mayWrite(doc.KindRule, r.Name, r.Revision, had, was.Revision, len(b.rules)); err != nil {
		return nil, err
	}
	for _, x := range []struct{ what, pattern string }{{"vendor", r.Vendor}, {"product", r.Product},
		{"serial", r.Serial}, {"port", r.Port}, {"relay", r.Relay}} {
		_, err := path.Match(x.pattern, "")
		switch {
		case len(x.pattern) > maxPattern || plain.Line(x.pattern, 0) != x.pattern:
			return nil, fmt.Errorf("%s: the pattern is longer than %d bytes, or has characters that cannot be printed",
				x.what, maxPattern)
		case err != nil:
			return nil, fmt.Errorf("%s: pattern %q has a [ without a ]", x.what, x.pattern)
		}
	}
	now := doc.Rule{Name: r.Name, Vendor: r.Vendor, Product: r.Product, Serial: r.Serial, Port: r.Port, Relay: r.Relay,
		All: r.All, WhenIdle: r.WhenIdle, Revision: was.Revision + 1, Owner: w.Owner, Changed: w.Now}
	if _, err := doc.CheckIdle(r.WhenIdle); err != nil {
		return nil, err
	}
	if len(r.MACs) > maxList || len(r.Nets) > maxList {
		return nil, fmt.Errorf("a list has more than %d lines", maxList)
	}
	for _, m := range r.MACs {
		p := strings.TrimSuffix(strings.ReplaceAll(strings.ToLower(strings.TrimSpace(m)), "-", ":"), ":*")
		if !macPrefix().MatchString(p) {
			return nil, fmt.Errorf("macs: %q is neither a MAC address such as 52:54:00:12:34:56 nor the first bytes "+
				"of some, such as 52:54:00", m)
		}
		now.MACs = append(now.MACs, p)
	}
	for _, s := range r.Nets {
		n, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("nets: %q is not a network such as 10.0.0.0/24", s)
		}
		if n != n.Masked() {
			return nil, fmt.Errorf("nets: %s is an address with the length of a network: %s is the network that it "+
				"is in; say that, or a longer one", s, n.Masked())
		}
		now.Nets = append(now.Nets, n.String())
	}
	switch all := everyMachine(&now); {
	case all && !now.All:
		return nil, errors.New("it would fit every machine: give it a vendor, product, serial, macs, nets, port or " +
			"relay " +
			"that " +
			"keep some out, or say that all are meant (`all: true`, --all); `diskcast serve --approve all` approves " +
			"all " +
			"without a rule")
	case !all && now.All:
		return nil, errors.New("it says all machines, and has conditions that keep some out: leave either away")
	}
	var said []string
	said = append(said, words("vendor", was.Vendor, now.Vendor)...)
	said = append(said, words("product", was.Product, now.Product)...)
	said = append(said, words("serial", was.Serial, now.Serial)...)
	said = append(said, words("macs", strings.Join(was.MACs, " "), strings.Join(now.MACs, " "))...)
	said = append(said, words("nets", strings.Join(was.Nets, " "), strings.Join(now.Nets, " "))...)
	said = append(said, words("port", was.Port, now.Port)...)
	said = append(said, words("relay", was.Relay, now.Relay)...)
	if was.All != now.All {
		said = append(said, words("all", fmt.Sprint(was.All), fmt.Sprint(now.All))...)
	}
	said = append(said, words("when idle", was.WhenIdle, now.WhenIdle)...)
	if had && len(said) == 0 {
		return nil, nil
	}
	b.rules[r.Name] = now
	return diff(doc.KindRule, r.Name, had, said), nil
}
