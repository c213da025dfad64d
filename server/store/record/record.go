// Package record is what the server stores: a type of its own for every record, apart from the documents of the APIs,
// so that neither changes when the other does. A record is made from what the server holds in memory by a function
// named Of..., and gives it back by a method named after it; where the two have the same fields, Go's conversion of
// structs refuses to compile once they have not.
//
// The whole store has one schema number. Upgrade brings records of an older schema to the present one, in one
// transaction, and refuses a newer one.
package record

import "fmt"

// Keys of the store, and prefixes of keys.
const (
	Schema      = "meta/schema" // the number
	Secret      = "meta/secret" // that tokens are made with
	Seq         = "meta/seq"    // number of the last session
	OwnerKey    = "meta/owner"  // who runs the sessions: Owner
	ProbeKey    = "meta/probe"  // written to see whether something can be, read by nobody
	NodePrefix  = "node/"       // + node: Node
	SeenPrefix  = "seen/"       // + node: Seen
	EventPrefix = "event/"      // + node / number in 16 hexadecimal digits: Event
	SessPrefix  = "session/"    // + session: Session
	PartPrefix  = "part/"       // + session / node: Part
	Receipts    = "receipt/"    // + session / node / number of its offer: receipt.Envelope
)

// EventKey is the key of the node's event with the number.
func EventKey(node string, n uint64) string { return fmt.Sprintf("%s%s/%016x", EventPrefix, node, n) }

// PartKey is the key of the node's part in the session.
func PartKey(session, node string) string { return PartPrefix + session + "/" + node }

// Owner is the server that runs the sessions of a store. Each start of a server takes it over, with a Run of its own;
// what a server writes is refused from the moment that another has.
type Owner struct {
	Server string `json:"server"`
	Run    string `json:"run"`
}

// to converts what p points to, and a missing one to nil.
func to[A, B any](p *A, f func(A) B) *B {
	if p == nil {
		return nil
	}
	b := f(*p)
	return &b
}

// each converts a slice; a nil one stays nil.
func each[A, B any](s []A, f func(A) B) []B {
	if s == nil {
		return nil
	}
	out := make([]B, 0, len(s))
	for _, a := range s {
		out = append(out, f(a))
	}
	return out
}

// every converts the values of a map; a nil one stays nil.
func every[A, B any](m map[string]A, f func(A) B) map[string]B {
	if m == nil {
		return nil
	}
	out := make(map[string]B, len(m))
	for k, a := range m {
		out[k] = f(a)
	}
	return out
}
