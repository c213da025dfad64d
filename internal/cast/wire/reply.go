package wire

import "encoding/binary"

// Flags of a REPLY.
const (
	RplDone    = 1  // being done is known: report no more
	RplUnicast = 2  // leave the group
	RplBack    = 4  // come back to the group
	RplSending = 8  // the cast is running
	RplStream  = 16 // a unicast stream comes
	RplMisled  = 32 // the report counts numbers that were never sent: another who has the key sends
	RplEnds    = 64 // the sender ends for a fault of its source, and what was received is not to be used
)

const replyLen = 23

// ReplyBody is the body of a REPLY.
type ReplyBody struct {
	Receiver uint64
	Echo     uint64 // sequence number of the report it answers
	Flags    uint8
	Interval uint32 // microseconds to the next report
	Place    uint64 // sequence number of the next packet to the group
}

// Append encodes r to b.
func (r *ReplyBody) Append(b []byte) []byte {
	b = append48(b, r.Receiver)
	b = append48(b, r.Echo)
	b = append(b, r.Flags)
	b = binary.BigEndian.AppendUint32(b, r.Interval)
	return append48(b, r.Place)
}

// Parse decodes b. Bytes that follow are of a later version and are ignored.
func (r *ReplyBody) Parse(b []byte) error {
	if len(b) < replyLen {
		return ErrMalformed
	}
	r.Receiver = get48(b)
	r.Echo = get48(b[6:])
	r.Flags = b[12]
	r.Interval = binary.BigEndian.Uint32(b[13:])
	r.Place = get48(b[17:])
	return nil
}
