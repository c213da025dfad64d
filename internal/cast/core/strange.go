package core

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// strange is what a receiver has seen of somebody who has the cast's key, as every receiver does, and sends with it to
// the group.
type strange struct {
	n    [wire.KindsOfStrange]uint32
	from netip.Addr // of the latest whose address was another than the sender's
	told uint32     // how many there were when the user was told
	// Since when packets of an epoch come that no ANNOUNCE has spoken of; 0: none do.
	unknownAt int64
	// Blocks that came wrong lately, and until when the receiver stays out of the group for that.
	wrong   int
	wrongAt int64
	out     bool
	until   int64
	stay    int64 // how long it stayed out the last time
}

// So many wrong blocks within wrongTime are no accident: the receiver leaves the group, for firstStay, and twice as
// long each time after that.
const (
	manyWrong = 8
	wrongTime = 10 * sec
	firstStay = 10 * sec
	longStay  = 160 * sec
)

// fewBehind is how many numbers may be displaced before anybody speaks of it: a switch that sends packets twice can do
// that.
const fewBehind = 64

// total is how many packets are worth speaking of.
func total(n *[wire.KindsOfStrange]uint32) (sum uint32) {
	for kind, v := range n {
		if wire.Strange(kind) != wire.Behind || v >= fewBehind {
			sum += v
		}
	}
	return sum
}

// Suspicion says in words what packets of each kind mean, "" if there are none to speak of. From is the address that
// the latest came from, if that was not the sender's own.
func Suspicion(n [wire.KindsOfStrange]uint32, from netip.Addr) string {
	if total(&n) == 0 {
		return ""
	}
	var seen []string
	say := func(kind wire.Strange, what string) {
		if v := n[kind]; v > 0 {
			seen = append(seen, fmt.Sprintf("%d %s", v, what))
		}
	}
	say(wire.Elsewhere, "packets from another address than the sender's")
	say(wire.Ahead, "packets with numbers or an epoch that the sender has not reached")
	say(wire.Behind, "packets whose numbers were taken before they came")
	say(wire.Twice, "packets with numbers that came before with other bytes")
	say(wire.Unsigned, "ANNOUNCEs that the sender did not sign")
	say(wire.Wrong, "pieces with wrong bytes")
	who := "from the sender's own address, which is forged"
	if from.IsValid() {
		who = "from " + from.String()
	}
	if n[wire.Wrong] > 0 && len(seen) == 1 {
		return fmt.Sprintf("%s came by multicast: somebody who has this cast's key, as all its receivers do, sends "+
			"them, or the sender's own copy is damaged", seen[0])
	}
	return fmt.Sprintf("somebody who has this cast's key, as all its receivers do, or repeats its packets, sends to "+
		"the group %s: %s", who, strings.Join(seen, ", "))
}

// odd counts a packet of somebody else who has the key, and tells the user of the first and whenever there are ten
// times as many.
func (r *Receiver) odd(now int64, kind wire.Strange) {
	s := &r.strange
	s.n[kind]++
	if n := total(&s.n); n >= 10*s.told && n > 0 {
		s.told = n
		if r.phase == Receiving || r.phase == Waiting {
			r.setPhase(r.phase, r.suspicion())
		}
		r.sched.urgent(now)
	}
}

func (r *Receiver) suspicion() string { return Suspicion(r.strange.n, r.strange.from) }

// unknown counts a packet of an epoch that the sender has not announced. A sender that started anew announces it at
// once.
func (r *Receiver) unknown(now int64) {
	switch at := &r.strange.unknownAt; {
	case *at == 0:
		*at = now
	case now-*at > sec:
		r.odd(now, wire.Ahead)
	}
}

// Strange notes a packet of that kind, which the driver has seen to be of somebody else who has the key. From is its
// address, unless it is the sender's.
func (r *Receiver) Strange(now int64, kind wire.Strange, from netip.Addr) {
	if from.IsValid() {
		r.strange.from = from
	}
	r.odd(now, kind)
}

// Strangers returns how many packets of each kind came, and from where the latest.
func (r *Receiver) Strangers() ([wire.KindsOfStrange]uint32, netip.Addr) {
	return r.strange.n, r.strange.from
}

// Wrong notes that a block which came whole by multicast has other bytes than the object. Where that happens often the
// receiver leaves the group for a while: what it lacks comes by unicast, which nobody else can send.
func (r *Receiver) Wrong(now int64) {
	s := &r.strange
	if now-s.wrongAt > wrongTime {
		s.wrong, s.wrongAt = 0, now
	}
	s.wrong++
	r.odd(now, wire.Wrong)
	if s.wrong < manyWrong || s.out || !r.InGroup() {
		return
	}
	s.stay = min(max(2*s.stay, firstStay), longStay)
	s.out, s.until = true, now+s.stay
	s.wrong = 0
	if r.missing > 0 {
		r.setPhase(Unicast, fmt.Sprintf("so much of what came by multicast has wrong bytes that this receiver stays "+
			"out of the group for %.0f s: %s",
			float64(s.stay)/1e9, r.suspicion()))
	}
	r.sched.urgent(now)
}

// dareBack comes back to the group when the time for that has come.
func (r *Receiver) dareBack(now int64) {
	if s := &r.strange; s.out && now >= s.until {
		s.out = false
		r.rejoin(now)
	}
}
