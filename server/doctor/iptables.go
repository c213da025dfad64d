package doctor

import (
	"encoding/json"
	"slices"
)

// aboutConnections are matches of iptables by which rules tell connections that are there from what is new, or broken:
// a probe is neither. nft's JSON does not say what they ask.
var aboutConnections = []string{"conntrack", "state"}

// xt is what a match of iptables says of a new packet, or what a target does with it.
func xt(raw json.RawMessage) (ok tri, target fate) {
	var x struct{ Type, Name string }
	if json.Unmarshal(raw, &x) != nil {
		return unknown, 0
	}
	switch {
	case x.Type == "target" && (x.Name == "REJECT" || x.Name == "DROP" || x.Name == "TARPIT"):
		return yes, dropped
	case x.Type == "target" &&
		slices.Contains([]string{"LOG", "NFLOG", "MARK", "CONNMARK", "CHECKSUM", "TCPMSS"}, x.Name):
		return yes, 0
	case x.Type == "target":
		return unknown, passes | dropped | goesOn
	case x.Name == "comment":
		return yes, 0
	case slices.Contains(aboutConnections, x.Name):
		return no, 0
	}
	return unknown, 0
}
