package record

import (
	"encoding/json"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// Prefixes of keys of what the operator wrote down beside machines.
const (
	GroupPrefix   = "group/"   // + name: Group
	ProfilePrefix = "profile/" // + name: Profile
	RulePrefix    = "rule/"    // + name: Rule
	MenuPrefix    = "menu/"    // + name: Menu
)

// Group is a selector with a name.
type Group struct {
	Name     string    `json:"name"`
	Select   string    `json:"select"`
	Revision uint64    `json:"revision"`
	Owner    string    `json:"owner,omitempty"`
	Changed  time.Time `json:"changed"`
}

// Profile is a part of a spec with a name.
type Profile struct {
	Name     string          `json:"name"`
	Spec     json.RawMessage `json:"spec"`             // as everybody may see it
	Sealed   []byte          `json:"sealed,omitempty"` // the whole spec, by the server's key; none if as shown
	Revision uint64          `json:"revision"`
	Owner    string          `json:"owner,omitempty"`
	Changed  time.Time       `json:"changed"`
}

// Rule approves nodes, or says what they boot when nothing is asked of them.
type Rule struct {
	Name     string    `json:"name"`
	Vendor   string    `json:"vendor,omitempty"`
	Product  string    `json:"product,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	MACs     []string  `json:"macs,omitempty"`
	Nets     []string  `json:"nets,omitempty"`
	Port     string    `json:"port,omitempty"`
	Relay    string    `json:"relay,omitempty"`
	All      bool      `json:"all,omitempty"`
	WhenIdle string    `json:"when_idle,omitempty"`
	Revision uint64    `json:"revision"`
	Owner    string    `json:"owner,omitempty"`
	Changed  time.Time `json:"changed"`
}

// Menu is what people at machines may choose from.
type Menu struct {
	Name     string    `json:"name"`
	Entries  []string  `json:"entries"`
	Timeout  int       `json:"timeout,omitempty"` // seconds
	Default  string    `json:"default,omitempty"`
	Revision uint64    `json:"revision"`
	Owner    string    `json:"owner,omitempty"`
	Changed  time.Time `json:"changed"`
}

// OfGroup, OfProfile, OfRule and OfMenu are the records of what is named so; Group, Profile, Rule and Menu are the ways
// back. Sealed is the spec of a profile that is stored without its secrets.
func OfGroup(g doc.Group) *Group { r := Group(g); return &r }
func OfProfile(p doc.Profile, sealed []byte) *Profile {
	return &Profile{Name: p.Name, Spec: p.Spec, Sealed: sealed, Revision: p.Revision, Owner: p.Owner,
		Changed: p.Changed}
}
func OfRule(x doc.Rule) *Rule { r := Rule(x); return &r }
func OfMenu(m doc.Menu) *Menu { r := Menu(m); return &r }

// Group is the group that the record is of.
func (r *Group) Group() doc.Group { return doc.Group(*r) }

// Profile is the profile that the record is of, with the spec that is not sealed.
func (r *Profile) Profile() doc.Profile {
	return doc.Profile{Name: r.Name, Spec: r.Spec, Revision: r.Revision, Owner: r.Owner, Changed: r.Changed}
}

// Rule is the rule that the record is of.
func (r *Rule) Rule() doc.Rule { return doc.Rule(*r) }

// Menu is the menu that the record is of.
func (r *Menu) Menu() doc.Menu { return doc.Menu(*r) }
