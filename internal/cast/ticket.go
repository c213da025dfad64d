package cast

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/wire"
)

// ticketPrefix begins every ticket; the digit is the version of the protocol. What a sender goes on with after a
// restart begins with senderPrefix.
const (
	ticketPrefix = "diskcast2."
	senderPrefix = "diskcast2-sender."
)

// maxTicket bounds a ticket's length.
const maxTicket = 640

// Ticket writes the parameters on one line, to be handed to a receiver over a channel that is trusted: it holds the
// key.
//
// It is "diskcast2." and, in URL-safe base64: cast id (4), size (8), payload (2), K (1), key (32), public keys of the
// sender (64), group port (2), feedback port (2), length of the addresses (1: 4 or 16), group address, feedback
// address, CRC-32 of it all (4), all big-endian.
func Ticket(p Params) string {
	p = p.WithDefaults()
	b := binary.BigEndian.AppendUint32(nil, p.ID)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Size))
	b = binary.BigEndian.AppendUint16(b, uint16(p.Payload))
	b = append(b, byte(p.K))
	b = append(b, p.Key[:]...)
	b = append(b, p.Sender[:]...)
	b = binary.BigEndian.AppendUint16(b, p.Group.Port())
	b = binary.BigEndian.AppendUint16(b, p.Feedback.Port())
	g, f := p.Group.Addr().Unmap().WithZone("").AsSlice(), p.Feedback.Addr().Unmap().WithZone("").AsSlice()
	b = append(b, byte(len(g)))
	b = append(b, g...)
	b = append(b, f...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return ticketPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseTicket reads what Ticket wrote.
func ParseTicket(s string) (Params, error) {
	var p Params
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "diskcast1.") {
		return p, errors.New("this ticket is of an older diskcast: both ends must be of the same version")
	}
	if strings.HasPrefix(s, senderPrefix) {
		return p, errors.New("this is what a sender goes on with, and its secret: keep it, and give receivers the " +
			"other ticket")
	}
	body, ok := strings.CutPrefix(s, ticketPrefix)
	if !ok || len(s) > maxTicket {
		return p, fmt.Errorf("this is no cast ticket: one begins with %q, as `diskcast cast send` prints it",
			ticketPrefix)
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return p, fmt.Errorf("the ticket is damaged: %w", err)
	}
	bad := errors.New("the ticket is damaged: its check sum is wrong; copy all of it")
	if len(b) < 116+4+4+4 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return p, bad
	}
	p.ID = binary.BigEndian.Uint32(b)
	p.Size = int64(binary.BigEndian.Uint64(b[4:]))
	p.Payload = int(binary.BigEndian.Uint16(b[12:]))
	p.K = int(b[14])
	copy(p.Key[:], b[15:])
	copy(p.Sender[:], b[47:])
	group, feedback := binary.BigEndian.Uint16(b[111:]), binary.BigEndian.Uint16(b[113:])
	n := int(b[115])
	if n != 4 && n != 16 || len(b) != 116+2*n+4 {
		return p, bad
	}
	g, _ := netip.AddrFromSlice(b[116 : 116+n])
	f, _ := netip.AddrFromSlice(b[116+n : 116+2*n])
	p.Group, p.Feedback = netip.AddrPortFrom(g, group), netip.AddrPortFrom(f, feedback)
	return p, p.Check()
}

// SenderTicket writes what a sender needs to go on after it was killed: "diskcast2-sender.", its secret in URL-safe
// base64, a dot, and the ticket; then, if there is a mark by which its source is known again, a dot and that in
// URL-safe base64.
func SenderTicket(p Params, secret Secret, mark []byte) string {
	s := senderPrefix + base64.RawURLEncoding.EncodeToString(secret[:]) + "." + Ticket(p)
	if len(mark) > 0 {
		s += "." + base64.RawURLEncoding.EncodeToString(mark)
	}
	return s
}

// ParseSenderTicket reads what SenderTicket wrote.
func ParseSenderTicket(s string) (p Params, secret Secret, mark []byte, err error) {
	s = strings.TrimSpace(s)
	if parts := strings.Split(s, "."); len(parts) == 5 && len(s) <= 2*maxTicket {
		if mark, err = base64.RawURLEncoding.DecodeString(parts[4]); err != nil || len(mark) == 0 {
			return p, secret, nil, errors.New("the sender's ticket is damaged: copy all of it")
		}
		s = strings.Join(parts[:4], ".")
	}
	p, secret, err = parseSenderTicket(s)
	return p, secret, mark, err
}

func parseSenderTicket(s string) (Params, Secret, error) {
	var secret Secret
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), senderPrefix)
	code, ticket, dot := strings.Cut(rest, ".")
	if !ok || !dot || len(code) > maxTicket {
		return Params{}, secret,
			fmt.Errorf("a sender goes on with what begins with %q, as it printed on standard error; the ticket of "+
				"receivers does not hold its secret", senderPrefix)
	}
	b, err := base64.RawURLEncoding.DecodeString(code)
	if err != nil || len(b) != len(secret) {
		return Params{}, secret, errors.New("the sender's ticket is damaged: copy all of it")
	}
	copy(secret[:], b)
	p, err := ParseTicket(ticket)
	if err != nil {
		return p, secret, err
	}
	if public, err := PublicOf(secret); err != nil || public != p.Sender {
		return p, secret, errors.New("the sender's ticket is damaged: its secret is not that of its public key; copy " +
			"all of it")
	}
	return p, secret, nil
}

// PayloadFor is the largest payload whose packets fit IP packets of mtu bytes over both families.
func PayloadFor(mtu int) (int, error) {
	const ipv6, udp = 40, 8
	n := min((mtu-ipv6-udp-wire.Overhead)/64*64, core.MaxPayload/64*64)
	if n < core.MinPayload {
		return 0, fmt.Errorf("cast: an MTU of %d bytes leaves no room for a packet", mtu)
	}
	return n, nil
}
