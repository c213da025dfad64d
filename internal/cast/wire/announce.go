package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// ErrMalformed says that the body of an authentic packet makes no sense.
var ErrMalformed = errors.New("malformed control message")

// Flags of an ANNOUNCE.
const (
	AnnSending = 1
	AnnFirst   = 2 // nobody has reported yet, and the first report starts the cast
	AnnEnds    = 4 // the sender ends for a fault of its source: a report will be answered with RplEnds
)

const announceLen = 64

// MaxAcks is how many acknowledged receivers fit an ANNOUNCE.
const MaxAcks = (MaxControl - SignatureLen - announceLen) / 6

// AnnounceBody is the body of an ANNOUNCE, without the signature.
type AnnounceBody struct {
	Active    uint32 // report interval of receivers that lack something, microseconds
	Done      uint32 // report interval of receivers that are done, microseconds
	Kick      uint32 // kick window, microseconds
	Flags     uint8
	Receivers uint32
	Size      int64 // of the object
	Payload   uint16
	K         uint16
	Rate      uint64     // pace, bits a second
	Pending   uint64     // packets still to be sent
	Source    netip.Addr // that the group's packets come from; invalid if the sender does not know
	acks      []byte
}

// Append encodes a to b, acknowledging at most MaxAcks receivers.
func (a *AnnounceBody) Append(b []byte, acks []uint64) []byte {
	acks = acks[:min(len(acks), MaxAcks)]
	b = binary.BigEndian.AppendUint32(b, a.Active)
	b = binary.BigEndian.AppendUint32(b, a.Done)
	b = binary.BigEndian.AppendUint32(b, a.Kick)
	b = append(b, a.Flags, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(acks)))
	b = binary.BigEndian.AppendUint32(b, a.Receivers)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Size))
	b = binary.BigEndian.AppendUint16(b, a.Payload)
	b = binary.BigEndian.AppendUint16(b, a.K)
	b = binary.BigEndian.AppendUint64(b, a.Rate)
	b = binary.BigEndian.AppendUint64(b, a.Pending)
	b = appendAddr(b, a.Source)
	for _, id := range acks {
		b = append48(b, id)
	}
	return b
}

// Parse decodes b, which a keeps.
func (a *AnnounceBody) Parse(b []byte) error {
	if len(b) < announceLen {
		return ErrMalformed
	}
	n := int(binary.BigEndian.Uint16(b[14:]))
	if len(b) < announceLen+6*n {
		return ErrMalformed
	}
	a.Active = binary.BigEndian.Uint32(b)
	a.Done = binary.BigEndian.Uint32(b[4:])
	a.Kick = binary.BigEndian.Uint32(b[8:])
	a.Flags = b[12]
	a.Receivers = binary.BigEndian.Uint32(b[16:])
	a.Size = int64(binary.BigEndian.Uint64(b[20:]))
	a.Payload = binary.BigEndian.Uint16(b[28:])
	a.K = binary.BigEndian.Uint16(b[30:])
	a.Rate = binary.BigEndian.Uint64(b[32:])
	a.Pending = binary.BigEndian.Uint64(b[40:])
	a.Source = getAddr(b[48:])
	a.acks = b[announceLen : announceLen+6*n]
	return nil
}

// Acked says whether the message acknowledges receiver id.
func (a *AnnounceBody) Acked(id uint64) bool {
	for b := a.acks; len(b) >= 6; b = b[6:] {
		if get48(b) == id {
			return true
		}
	}
	return false
}

// appendAddr adds an address as 16 bytes, those of IPv4 mapped into IPv6 (RFC 4291, 2.5.5.2), none as zeroes.
func appendAddr(b []byte, a netip.Addr) []byte {
	var raw [16]byte
	if a.IsValid() {
		raw = a.As16()
	}
	return append(b, raw[:]...)
}

func getAddr(b []byte) netip.Addr {
	raw := [16]byte(b)
	if raw == [16]byte{} {
		return netip.Addr{}
	}
	return netip.AddrFrom16(raw).Unmap()
}

func append48(b []byte, v uint64) []byte {
	return append(b, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}
