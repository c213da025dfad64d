package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ruleset is what `nft -j list ruleset` prints (libnftables-json(5)), as far as it is read here.
type ruleset struct {
	chains map[chainID]*chain
	sets   map[string]json.RawMessage // "family table name": elements of a set or a map
}

type chainID struct{ family, table, name string }

type chain struct {
	id     chainID
	kind   string // type: filter, nat or route; empty for a chain that others jump to
	hook   string
	devs   []string // of the family netdev
	policy string
	rules  []rule
}

type rule struct {
	handle int
	expr   []map[string]json.RawMessage
}

// maxRules bounds what is read: rules, chains and sets.
const maxRules = 200_000

var errRules = errors.New("the rules are not what libnftables-json(5) describes")

// parseRules reads what nft printed. What it does not know is left out where it cannot change a packet's way: tables,
// counters, quotas by name.
func parseRules(text []byte) (*ruleset, error) {
	var top struct {
		List []map[string]json.RawMessage `json:"nftables"`
	}
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, fmt.Errorf("%w: %w", errRules, err)
	}
	if len(top.List) == 0 || len(top.List) > maxRules {
		return nil, errRules
	}
	r := &ruleset{chains: map[chainID]*chain{}, sets: map[string]json.RawMessage{}}
	for _, o := range top.List {
		for what, raw := range o {
			if err := r.take(what, raw); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", errRules, what, err)
			}
		}
	}
	return r, nil
}

func (r *ruleset) take(what string, raw json.RawMessage) error {
	var d struct {
		Family, Table, Name, Chain, Type, Hook, Policy string

		Handle int
		Dev    json.RawMessage // a name, or several
		Elem   json.RawMessage
		Expr   []map[string]json.RawMessage
	}
	switch what {
	case "chain", "rule":
	case "set", "map":
		// Their type may be a list.
		var s struct {
			Family, Table, Name string
			Elem                json.RawMessage
		}
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		r.sets[s.Family+" "+s.Table+" "+s.Name] = s.Elem
		return nil
	default:
		return nil
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if what == "chain" {
		id := chainID{d.Family, d.Table, d.Name}
		c := r.chain(id)
		c.kind, c.hook, c.policy = d.Type, d.Hook, d.Policy
		for _, v := range list(d.Dev) {
			if name, ok := v.(string); ok {
				c.devs = append(c.devs, name)
			}
		}
		return nil
	}
	c := r.chain(chainID{d.Family, d.Table, d.Chain})
	c.rules = append(c.rules, rule{d.Handle, d.Expr})
	return nil
}

func (r *ruleset) chain(id chainID) *chain {
	c := r.chains[id]
	if c == nil {
		c = &chain{id: id}
		r.chains[id] = c
	}
	return c
}

// list are the values of a JSON value: those of an array, or itself.
func list(raw json.RawMessage) []any {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil || v == nil {
		return nil
	}
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// String is the chain as nft takes it.
func (id chainID) String() string { return id.family + " " + id.table + " " + id.name }
