package wire

import (
	"encoding/binary"
	"net/netip"
)

// Flags of a REPORT.
const (
	RepDone      = 1   // nothing is missing
	RepSilent    = 2   // no multicast is heard
	RepStream    = 4   // wants a unicast stream if it cannot be in the group
	RepLeaving   = 8   // gives up
	RepAway      = 16  // not in the group now
	RepTruncated = 32  // the list of blocks was cut short
	RepPatient   = 64  // repairs may wait
	RepWary      = 128 // counts only numbers that the sender has announced, since another who has the key sends
)

const reportLen = 110

// ReportBody is the body of a REPORT.
type ReportBody struct {
	Flags      uint8
	Generation uint8
	Pressure   uint8
	Epoch      uint64 // heard; 0 if none
	Top        uint64 // highest sequence number heard
	Received   uint64 // packets of this generation
	First      uint64 // sequence number the generation began with
	Hold       uint32 // microseconds since Top came
	StreamTop  uint64
	StreamGot  uint64
	Clock      uint32 // microseconds
	Need       uint32 // packets
	Blocks     uint32
	WinFirst   uint64                 // sequence number that the window of the latest packets began with
	WinGot     uint32                 // packets received in it
	WinSpan    uint32                 // its length, microseconds
	Strange    [KindsOfStrange]uint32 // packets that somebody else who has the key made, by kind
	From       netip.Addr             // the address that the latest of them came from; invalid if none did
	Label      []byte
	Records    []byte // encoded; see Record.Decode
}

// Strange is a kind of packet that was sealed with the cast's key but does not come from the sender.
type Strange int

// The kinds.
const (
	Elsewhere Strange = iota // from another address than the sender's
	Ahead                    // with a number that the sender cannot have reached
	// with a number that was seen, or is behind the window, but with news in it: the sender's own were displaced
	Behind
	Unsigned       // an ANNOUNCE that the sender did not sign
	Wrong          // blocks whose bytes are not the object's
	Twice          // with a number that came before with other bytes
	KindsOfStrange = 6
)

// Record says what a run of blocks lacks.
type Record struct {
	Start uint32
	Count uint32
	Next  uint8  // one more than the highest index held of any of the blocks
	Need  uint8  // of each block, when List is nil
	List  []byte // need of each block in turn, or nil
}

const (
	recRun  = 1
	recList = 2
)

// Append encodes r to b. Records must be valid; they are made with AppendRun and AppendList.
func (r *ReportBody) Append(b []byte, records int) []byte {
	label := r.Label[:min(len(r.Label), MaxLabel)]
	b = append(b, r.Flags, r.Generation, r.Pressure, byte(len(label)))
	b = append48(b, r.Epoch)
	b = append48(b, r.Top)
	b = append48(b, r.Received)
	b = append48(b, r.First)
	b = binary.BigEndian.AppendUint32(b, r.Hold)
	b = append48(b, r.StreamTop)
	b = append48(b, r.StreamGot)
	b = binary.BigEndian.AppendUint32(b, r.Clock)
	b = binary.BigEndian.AppendUint32(b, r.Need)
	b = binary.BigEndian.AppendUint32(b, r.Blocks)
	b = append48(b, r.WinFirst)
	b = binary.BigEndian.AppendUint32(b, r.WinGot)
	b = binary.BigEndian.AppendUint32(b, r.WinSpan)
	for _, n := range r.Strange {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = appendAddr(b, r.From)
	b = append(b, label...)
	b = binary.BigEndian.AppendUint16(b, uint16(records))
	return append(b, r.Records...)
}

// Parse decodes b, which r keeps. It checks that the records are well formed; whether the blocks exist is the caller's
// to check.
func (r *ReportBody) Parse(b []byte) error {
	if len(b) < reportLen+2 || len(b) > MaxReport {
		return ErrMalformed
	}
	r.Flags, r.Generation, r.Pressure = b[0], b[1], b[2]
	label := int(b[3])
	r.Epoch = get48(b[4:])
	r.Top = get48(b[10:])
	r.Received = get48(b[16:])
	r.First = get48(b[22:])
	r.Hold = binary.BigEndian.Uint32(b[28:])
	r.StreamTop = get48(b[32:])
	r.StreamGot = get48(b[38:])
	r.Clock = binary.BigEndian.Uint32(b[44:])
	r.Need = binary.BigEndian.Uint32(b[48:])
	r.Blocks = binary.BigEndian.Uint32(b[52:])
	r.WinFirst = get48(b[56:])
	r.WinGot = binary.BigEndian.Uint32(b[62:])
	r.WinSpan = binary.BigEndian.Uint32(b[66:])
	for i := range r.Strange {
		r.Strange[i] = binary.BigEndian.Uint32(b[70+4*i:])
	}
	r.From = getAddr(b[94:])
	if label > MaxLabel || len(b) < reportLen+label+2 {
		return ErrMalformed
	}
	r.Label = b[reportLen : reportLen+label]
	b = b[reportLen+label:]
	n := int(binary.BigEndian.Uint16(b))
	r.Records = b[2:]
	var rec Record
	rest := r.Records
	for range n {
		var ok bool
		if rest, ok = rec.Decode(rest); !ok {
			return ErrMalformed
		}
	}
	if len(rest) != 0 {
		return ErrMalformed
	}
	return nil
}

// AppendRun adds a run of count blocks to the records b.
func AppendRun(b []byte, start, count uint32, need, next uint8) []byte {
	b = append(b, recRun)
	b = binary.BigEndian.AppendUint32(b, start)
	b = binary.BigEndian.AppendUint32(b, count)
	return append(b, need, next)
}

// RunLen and ListLen are the sizes of records, ListLen without its needs.
const (
	RunLen  = 11
	ListLen = 8
)

// AppendList adds a list of blocks to the records b.
func AppendList(b []byte, start uint32, need []byte, next uint8) []byte {
	b = append(b, recList)
	b = binary.BigEndian.AppendUint32(b, start)
	b = binary.BigEndian.AppendUint16(b, uint16(len(need)))
	b = append(b, next)
	return append(b, need...)
}

// Decode reads the first record of b and returns the rest; ok is false at the end of b and when b is malformed.
func (rec *Record) Decode(b []byte) (rest []byte, ok bool) {
	if len(b) < ListLen {
		return nil, false
	}
	rec.Start = binary.BigEndian.Uint32(b[1:])
	switch b[0] {
	case recRun:
		if len(b) < RunLen {
			return nil, false
		}
		rec.Count = binary.BigEndian.Uint32(b[5:])
		rec.Need, rec.Next, rec.List = b[9], b[10], nil
		b = b[RunLen:]
	case recList:
		n := int(binary.BigEndian.Uint16(b[5:]))
		if len(b) < ListLen+n {
			return nil, false
		}
		rec.Count, rec.Next, rec.Need = uint32(n), b[7], 0
		rec.List = b[ListLen : ListLen+n]
		b = b[ListLen+n:]
	default:
		return nil, false
	}
	if uint64(rec.Start)+uint64(rec.Count) > 1<<32 {
		return nil, false
	}
	return b, true
}
