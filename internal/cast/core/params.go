package core

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast/wire"
	"github.com/diskcast/diskcast/internal/span"
)

// Limits of Params. They are part of the protocol: docs/cast-protocol.md.
const (
	DefaultPayload = 1408 // bytes: 22 x 64, fits a 1500-byte MTU over IPv4 and IPv6 with header, tag and UDP
	DefaultK       = 128  // source packets a block
	MaxK           = 128
	MaxParity      = 127 // parity packets a block: GF(2^8) has room for 255 in all
	MinPayload     = 64
	MaxPayload     = 65000
)

// Params is everything that a receiver must know of a cast beforehand. It must reach the receiver over a trusted
// channel (a descriptor over TLS, a ticket), since Key is what every packet is sealed with, and Sender what tells the
// sender from the others that have the key.
type Params struct {
	ID       uint32         // tells casts on one group apart
	Group    netip.AddrPort // multicast group and UDP port
	Feedback netip.AddrPort // where the sender listens for reports
	Key      [32]byte       // secret shared by the sender and all receivers
	Sender   wire.Public    // what the sender signs with; its secret is the sender's alone
	Size     int64          // of the object, bytes
	Payload  int            // source bytes a packet, a multiple of 64; 0 means DefaultPayload
	K        int            // source packets a block, 1..128; 0 means DefaultK
}

// WithDefaults fills in Payload and K where they are zero.
func (p Params) WithDefaults() Params {
	if p.Payload == 0 {
		p.Payload = DefaultPayload
	}
	if p.K == 0 {
		p.K = DefaultK
	}
	return p
}

// Check says what is wrong with the parameters, naming the field.
func (p Params) Check() error {
	switch {
	case !p.Group.IsValid() || !p.Group.Addr().IsMulticast() || p.Group.Port() == 0:
		return fmt.Errorf("cast: group %v is not a multicast address and port", p.Group)
	case !p.Feedback.IsValid() || p.Feedback.Addr().IsMulticast() || p.Feedback.Port() == 0:
		return fmt.Errorf("cast: feedback %v is not a unicast address and port", p.Feedback)
	case p.Sender == wire.Public{}:
		return errors.New("cast: no public key of the sender: whoever made these parameters is of an older version")
	case p.Size < 0:
		return fmt.Errorf("cast: object of %d bytes", p.Size)
	case p.Payload < MinPayload || p.Payload > MaxPayload || p.Payload%64 != 0:
		return fmt.Errorf("cast: payload of %d bytes is not a multiple of 64 in %d..%d", p.Payload, MinPayload,
			MaxPayload)
	case p.K < 1 || p.K > MaxK:
		return fmt.Errorf("cast: %d source packets a block, not 1..%d", p.K, MaxK)
	case (p.Size+p.BlockSize()-1)/p.BlockSize() > 1<<32-1:
		return fmt.Errorf("cast: object of %d bytes has more than 2^32-1 blocks: use a larger payload", p.Size)
	}
	return nil
}

// BlockSize is the number of object bytes in every block but the last.
func (p Params) BlockSize() int64 { return int64(p.Payload) * int64(p.K) }

// Blocks is the number of blocks of the object; the last may be shorter.
func (p Params) Blocks() int { return int((p.Size + p.BlockSize() - 1) / p.BlockSize()) }

// BlockLen is the number of object bytes in block b.
func (p Params) BlockLen(b int) int64 {
	return min(p.BlockSize(), p.Size-int64(b)*p.BlockSize())
}

// SourcePackets is the number of source packets of block b: K, or fewer in the last block.
func (p Params) SourcePackets(b int) int {
	return int((p.BlockLen(b) + int64(p.Payload) - 1) / int64(p.Payload))
}

// Range is a run of bytes of the object.
type Range = span.Span

// Clock tells the time. The simulator's clock is virtual.
type Clock interface{ Now() int64 } // nanoseconds, monotonic, any origin
