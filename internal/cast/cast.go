// Package cast moves one object of known length from one sender to any number of receivers by reliable,
// encrypted UDP multicast. docs/cast-protocol.md is its specification.
//
// The sender cuts the object into blocks of K source packets and sends the union of what its receivers say they
// lack, as source packets or as Reed-Solomon parity, whichever is less. A receiver joins at any time, takes what
// passes by, and reports by unicast what it still needs. Blocks come out of a receiver whole, authenticated, and in
// any order. Memory at a receiver is bounded whatever the object's size.
//
// The protocol itself (package core) is a state machine without sockets, goroutines or a clock of its own; this
// package drives it over sockets, package sim over a simulated network.
package cast

import (
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/wire"
)

// Params is everything that a receiver must know of a cast beforehand.
type Params = core.Params

// Secret is what a sender proves itself with, and Public what its receivers know it by: Params.Sender.
type (
	Secret = wire.Secret
	Public = wire.Public
)

// NewSecret draws a secret for a new cast. A sender that goes on after a restart needs the same one.
func NewSecret() Secret { return wire.NewSecret() }

// PublicOf is what receivers know the holder of a secret by.
func PublicOf(s Secret) (Public, error) {
	signer, err := wire.NewSigner(s)
	if err != nil {
		return Public{}, err
	}
	return signer.Public(), nil
}

// Range is a run of bytes of the object.
type Range = core.Range

// Source is what a sender reads the object from. ReadAt is called from several goroutines.
type Source = io.ReaderAt

// Sink takes the object at a receiver. Block is called with whole blocks (the last one of the object is shorter), in
// any order, each once unless Again asked for it anew; p belongs to the receiver and must not be kept. Block may wait:
// a sink that waits long is reported to the sender, which slows down. An error ends the receiver's Run. With
// ReceiverOptions.Reread it is called with pieces of blocks, too.
type Sink interface {
	Block(off int64, p []byte) error
}

// SinkFunc makes a Sink of a function.
type SinkFunc func(off int64, p []byte) error

// Block calls f.
func (f SinkFunc) Block(off int64, p []byte) error { return f(off, p) }

// SenderOptions are the settings of a sender. The zero value is good.
type SenderOptions struct {
	Secret    Secret // of Params.Sender
	Interface string // to send multicast from; empty: the interface that Feedback's address is on
	Listen    string // address to receive reports on; empty: Params.Feedback
	// Rates are in bits a second of what goes on the wire (UDP payload, UDP, IP and Ethernet framing). Rate fixes the
	// pace and switches rate control off; Cap bounds rate control; Floor is the rate below which a receiver that holds
	// the others back is sent away to unicast (0: a quarter of what the others take).
	Rate, Cap, Floor int64
	// Unicast is the rate limit, in bits a second, of the stream to a receiver that cannot be in the group and
	// asked for a stream. 0: a fiftieth of the link while the group runs.
	Unicast int64
	// Weight is this cast's part of a link that it shares with others; 0 means 1.
	Weight int
	TTL    int // hop limit of multicast; 0 means 1
	// UntilDone ends Run when at least MinReceivers have joined and every receiver that joined is done or gone.
	UntilDone    bool
	MinReceivers int           // with UntilDone, and: nothing is sent before so many have joined, or MaxWait is over
	MaxWait      time.Duration // from the first receiver; 0: no limit
	NoGSO        bool          // send each packet on its own, as on kernels that lack UDP_SEGMENT
	// Sound is asked before a receiver that says it has everything is told that this is known. An error ends the cast,
	// as Abort does: what was sent is not what the source is. nil: the source does not change.
	Sound func() error
	// OnReadError is called, from one goroutine, when the source cannot be read; those blocks are marked unavailable
	// and the cast goes on without them.
	OnReadError func(Range, error)
	// OnEvent is called, from one goroutine, when a receiver joins, is done, is sent to unicast or is gone.
	OnEvent func(Event)
	Log     *slog.Logger // nil discards
}

// ReceiverOptions are the settings of a receiver. The zero value is good.
type ReceiverOptions struct {
	Interface string // to join the group on; empty: the one that routes to Params.Feedback
	Label     string // shown at the sender; at most 32 bytes are sent
	Have      []Range
	// Memory bounds the bytes of blocks that are not yet with the sink; 0 means 40 MiB, which keeps a program below 96
	// MiB.
	Memory int64
	// Reread reads back what the sink was given, by offset in the object; nil: it cannot be read. With it a receiver
	// gives the sink what it has of a block that waits for its repair, which then takes no memory, and can wait until
	// those who need no repairs have everything.
	Reread io.ReaderAt
	// SilenceAfter is how long after joining the absence of multicast is reported; 0 means 3 s.
	SilenceAfter time.Duration
	// Stream asks the sender for a unicast stream when multicast does not arrive or the sender sends this receiver
	// away. Leave it off where the bytes come by another way (Deliver).
	Stream bool
	// OnState is called, from one goroutine, at every change of state.
	OnState func(State)
	NoGRO   bool         // take packets one by one, as on kernels that lack UDP_GRO
	Log     *slog.Logger // nil discards
}

// Phase is what a receiver is at.
type Phase = core.Phase

// Phases of a receiver.
const (
	Waiting   = core.Waiting   // nothing heard yet
	Receiving = core.Receiving // multicast arrives
	// no multicast for SilenceAfter: fetch by unicast meanwhile; State.Why says what was seen
	Silent   = core.Silent
	Unicast  = core.Unicast  // sent away by the sender, or held: fetch by unicast
	Complete = core.Complete // nothing is missing
)

// State is a receiver's phase and the reason for it in plain words, with likely causes where it is bad news.
type State struct {
	Phase Phase
	Why   string
}

// Rejected counts packets that were dropped.
type Rejected struct {
	Foreign   int64 // not of this protocol, or of another cast
	Malformed int64 // authentic but not understood
	Forged    int64 // authentication failed
	Replayed  int64 // authentic once, seen before
	Stranger  int64 // from another address than the sender's
	Unsigned  int64 // ANNOUNCEs sealed with the key, but not signed by the sender
	Unread    int64 // ANNOUNCEs, or reports of new receivers, that came too often to be looked at
	Impostor  int64 // reports in the name of a receiver that did not make them, or of too many receivers at one address
}

// Total is the sum.
func (r Rejected) Total() int64 {
	return r.Foreign + r.Malformed + r.Forged + r.Replayed + r.Stranger + r.Unsigned + r.Unread + r.Impostor
}

// ReceiverStats is a snapshot of a receiver. Sizes are in object bytes unless they say otherwise.
type ReceiverStats struct {
	State     State
	Size      int64
	Missing   int64   // not yet whole at this receiver
	Multicast int64   // payload bytes of useful packets that came by the group
	Stream    int64   // payload bytes of useful packets that came by the sender's unicast stream
	Delivered int64   // bytes that came through Deliver
	Wire      int64   // bytes of UDP payload received, useful or not
	Packets   int64   // authentic packets of the group
	Lost      int64   // packets of the group that did not come
	Loss      float64 // Lost / (Packets+Lost)
	Useless   int64   // authentic data packets that were not needed
	Evicted   int64   // partial blocks given up for memory
	Refused   int64   // packets not taken because memory was full
	Memory    int64   // bytes of blocks held now
	Rejected  Rejected
	// Suspicion says, in plain words, what was seen of somebody else who sends with the cast's key; "" if nothing was.
	Suspicion string
}

// SenderStats is a snapshot of a sender.
type SenderStats struct {
	Payload   int64   // payload bytes sent to the group, repair and parity included
	Repair    int64   // of Payload: parity, and source packets sent again
	Streamed  int64   // payload bytes sent by unicast streams
	Wire      int64   // bytes on the wire with all framing, announces included
	Packets   int64   // packets to the group
	Reports   int64   // reports received
	Replies   int64   // control messages sent, announces included
	Pending   int64   // payload bytes that receivers are known to lack and that are still to be sent
	Rate      float64 // bits a second on the wire that rate control allows now
	Sending   bool    // false while no receiver needs anything
	Receivers []Peer
	Rejected  Rejected
	// Suspicion is what the receiver that saw most of somebody else who sends with the cast's key says of it; "" if
	// none did.
	Suspicion string
}

// Peer is a receiver as the sender sees it.
type Peer struct {
	ID       uint64 // random for each start of the receiver
	Label    string
	Addr     netip.AddrPort
	Need     int64 // bytes it says it lacks
	Loss     float64
	Pressure float64 // 0..1: how full its memory is
	Rate     float64 // bits a second of the object that reached it lately
	State    string  // "active", "slow", "unicast", "silent", "done", "gone"
	Heard    time.Duration
	// Suspicion says what this receiver has seen of somebody else who sends with the cast's key; "" if nothing.
	Suspicion string `json:",omitempty"`
}

// Event is a change at the sender.
type Event struct {
	// "join", "done", "slow", "unicast", "back", "silent", "gone"; "hostile": it sees somebody else send with the key;
	// "version": it speaks another version; "crowd": there is no room for it
	Kind string
	Peer Peer
	Why  string
}
