package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/netboot/udpport"
)

// A client of TFTP (RFC 1350, with the block size of RFC 2348) that says who answered: firmware cares, and Go's
// clients do not tell.

const (
	tftpBlock   = 1024
	tftpTries   = 4
	tftpPatient = 1500 * time.Millisecond
)

// Codes of packets.
const (
	tftpRRQ = 1 + iota
	_
	tftpDATA
	tftpACK
	tftpERROR
	tftpOACK
)

// otherAddressError says that another address answered than was asked.
type otherAddressError struct{ from netip.AddrPort }

func (e *otherAddressError) Error() string { return fmt.Sprintf("%v answered", e.from) }

// tftpError is a refusal.
type tftpError struct{ words string }

func (e *tftpError) Error() string { return e.words }

var (
	errNoSocket = errors.New("there is no socket for it")
	errTFTP     = errors.New("what came is no TFTP")
)

// tftpGet fetches a file of at most maxFetch bytes through the interface.
func tftpGet(ctx context.Context, iface string, at netip.AddrPort, name string) ([]byte, error) {
	// By the interface, as the server's own socket is bound to it: a packet to this machine's own address counts as
	// come through the interface that the sender is bound to.
	listen := udpport.Listen
	if at.Addr().Is6() {
		listen = udpport.Listen6
	}
	c, err := listen(iface, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoSocket, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	g := &tftpFetch{c: c, at: at, to: at}
	g.last = append([]byte{0, tftpRRQ}, name...)
	g.last = append(g.last, "\x00octet\x00blksize\x00"+strconv.Itoa(tftpBlock)+"\x00"...)
	return g.run(ctx)
}

type tftpFetch struct {
	c    *net.UDPConn
	at   netip.AddrPort // that was asked
	to   netip.AddrPort // the port of the transfer
	last []byte         // what is sent again
	size int            // of a block
	next uint16
	got  []byte
}

func (g *tftpFetch) run(ctx context.Context) ([]byte, error) {
	g.size, g.next = 512, 1
	buf := make([]byte, 1<<16)
	for try := 0; try < tftpTries; {
		if _, err := g.c.WriteToUDPAddrPort(g.last, g.to); err != nil {
			return nil, err
		}
		if err := g.c.SetReadDeadline(time.Now().Add(tftpPatient)); err != nil {
			return nil, err
		}
		n, from, err := g.c.ReadFromUDPAddrPort(buf)
		var late net.Error
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &late) && late.Timeout():
			try++
			continue
		case err != nil:
			return nil, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from.Addr() != g.at.Addr() {
			return nil, &otherAddressError{from}
		}
		if g.to != g.at && from != g.to {
			continue // a second answer to a request that was said again
		}
		g.to = from
		done, err := g.take(buf[:n])
		if done || err != nil {
			return g.got, err
		}
		try = 0
	}
	return nil, fmt.Errorf("no answer to %d packets within %v", tftpTries, tftpTries*tftpPatient)
}

// take takes in a packet, and sets what is to be said to it.
func (g *tftpFetch) take(b []byte) (done bool, err error) {
	p, err := parseTFTP(b)
	switch {
	case err != nil:
		return false, err
	case p.op == tftpERROR:
		return false, &tftpError{plain.Line(p.words, 200)}
	case p.op == tftpOACK:
		if g.next == 1 && len(g.got) == 0 && p.size > 0 {
			g.size = p.size
		}
		g.last = []byte{0, tftpACK, 0, 0}
	case p.block == g.next:
		if len(p.data) > g.size || len(g.got)+len(p.data) > maxFetch {
			return false, errTFTP
		}
		g.got = append(g.got, p.data...)
		g.last = binary.BigEndian.AppendUint16([]byte{0, tftpACK}, g.next)
		g.next++
		if len(p.data) < g.size {
			_, err := g.c.WriteToUDPAddrPort(g.last, g.to)
			return true, err
		}
	}
	return false, nil
}

// tftpPacket is a packet of a server.
type tftpPacket struct {
	op    int
	block uint16
	data  []byte
	words string // of an error
	size  int    // of blocks, that an OACK agrees to; 0: it does not say
}

func parseTFTP(b []byte) (*tftpPacket, error) {
	if len(b) < 4 || b[0] != 0 {
		return nil, errTFTP
	}
	p := &tftpPacket{op: int(b[1])}
	switch p.op {
	case tftpDATA:
		p.block, p.data = binary.BigEndian.Uint16(b[2:]), b[4:]
	case tftpERROR:
		words, _, _ := bytes.Cut(b[4:], []byte{0})
		p.words = fmt.Sprintf("error %d: %s", binary.BigEndian.Uint16(b[2:]), words)
	case tftpOACK:
		fields := bytes.Split(bytes.TrimSuffix(b[2:], []byte{0}), []byte{0})
		for i := 0; i+1 < len(fields); i += 2 {
			if !bytes.EqualFold(fields[i], []byte("blksize")) {
				continue
			}
			n, err := strconv.ParseUint(string(fields[i+1]), 10, 16)
			if err != nil || n < 8 || n > tftpBlock {
				return nil, errTFTP
			}
			p.size = int(n)
		}
	default:
		return nil, errTFTP
	}
	return p, nil
}
