package cast

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/wire"
)

type noBlocks struct{}

func (noBlocks) block(uint32) ([]byte, error) { return nil, nil }

// ends is a sender and some receivers without sockets.
func ends(t *testing.T, n int) (*tx, []*rx) {
	t.Helper()
	p := params(1 << 20)
	s, err := newTx(p, testSecret,
		core.SenderConfig{Params: p, Epoch: 9, Rate: 1e9, Source: netip.MustParseAddr("10.77.0.1")}, noBlocks{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var out []*rx
	for range n {
		r, err := newRx(p, core.ReceiverConfig{Params: p, Memory: 1 << 20, SilenceAfter: 3e9}, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return s, out
}

// TestReportsOfAnother has a receiver report that another gives up, and that it is done: the sender hears neither.
func TestReportsOfAnother(t *testing.T) {
	s, r := ends(t, 2)
	at := netip.MustParseAddrPort("10.77.0.2:1")
	scratch, out := make([]byte, 1<<16), make([]byte, reportLen)
	s.handle(1e9, r[0].leave(1e9, make([]byte, reportLen)), at, scratch, out)
	if got := s.core.Peer(r[0].guest.ID); got == nil || got.State != core.PeerGone {
		t.Fatal("a receiver's own word that it gives up is not heard")
	}
	// The first comes back; the second, which has the key that seals the outer part, says that it left.
	report, ok := r[0].poll(3e9, make([]byte, reportLen))
	if !ok {
		t.Fatal("no report is due")
	}
	s.handle(3e9, bytes.Clone(report), at, scratch, out)
	for i, public := range [][wire.PublicLen]byte{r[1].guest.Public(), r[0].guest.Public()} {
		pkt := make([]byte, reportLen)
		body, _ := r[1].core.Leave(4e9, pkt[reportStart:reportStart])
		h := wire.Header{Type: wire.Report, Cast: r[1].p.ID, Origin: r[0].guest.ID, Seq: wire.MaxSeq - uint64(1-i)}
		n := r[1].guest.SealReport(r[1].report, pkt, &h, body)
		outer, err := r[1].report.Open(nil, pkt[:n])
		if err != nil {
			t.Fatal(err)
		}
		copy(outer, public[:])
		s.handle(4e9, pkt[:r[1].report.Seal(pkt, &h, outer)], at, scratch, out)
	}
	if got := s.core.Peer(r[0].guest.ID); got.State == core.PeerGone || s.rejected.Impostor != 2 {
		t.Errorf("the receiver is %v after another said it gave up; %+v", got.State, s.rejected)
	}
}

// TestAnnounces has a receiver take what its sender signed, from where it says, and nothing else.
func TestAnnounces(t *testing.T) {
	s, all := ends(t, 1)
	r, from, other := all[0], netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.9")
	r.handle(1e6, s.announce(1e6, make([]byte, reportLen)), from, false)
	if r.guard.sender != from {
		t.Fatalf("the sender's address is %v, want %v", r.guard.sender, from)
	}
	// Repeated by somebody else before it comes itself.
	next := s.announce(2e9, make([]byte, reportLen))
	r.handle(2e9, bytes.Clone(next), other, false)
	if n, who := r.core.Strangers(); n[wire.Elsewhere] != 1 || who != other {
		t.Errorf("counted %v, from %v, want one from %v", n, who, other)
	}
	// Signed by another.
	evil, err := wire.NewSigner(Secret{66})
	if err != nil {
		t.Fatal(err)
	}
	a := wire.AnnounceBody{Active: 1, Size: r.p.Size, Payload: uint16(r.p.Payload), K: uint16(r.p.K)}
	h := wire.Header{Type: wire.Announce, Cast: r.p.ID, Origin: 9, Seq: 1 << 40}
	pkt := make([]byte, reportLen)
	n := r.group.Seal(pkt, &h, evil.Sign(&h, a.Append(nil, nil)))
	r.handle(2.1e9, bytes.Clone(pkt[:n]), from, false)
	if r.rejected.Unsigned != 1 {
		t.Errorf("one that somebody else signed: %+v", r.rejected)
	}
	// Thousands of those take no more CPU than some hundreds.
	for range 5000 {
		r.handle(2.1e9, bytes.Clone(pkt[:n]), from, false)
	}
	if r.rejected.Unsigned > signedLooks || r.rejected.Unread < 4000 {
		t.Errorf("of 5000 that somebody else signed: %+v", r.rejected)
	}
	// The sender's own is still heard.
	r.handle(3e9, next, from, false)
	if !r.core.AnnounceFresh(9, 1<<40) || r.core.AnnounceFresh(9, 2) {
		t.Error("the sender's own ANNOUNCE was not taken")
	}
}

// TestVersions has the ends be of different versions: both say so.
func TestVersions(t *testing.T) {
	s, all := ends(t, 1)
	r := all[0]
	told := ""
	s.older = func(_ netip.AddrPort, why string) { told = why }
	old := func(b []byte) []byte { b[1] = 1<<4 | b[1]&15; return b }
	s.handle(1e9, old(r.leave(1e9, make([]byte, reportLen))), netip.MustParseAddrPort("10.77.0.7:1"),
		make([]byte, 1<<16), make([]byte, reportLen))
	if !strings.Contains(told, "10.77.0.7") || !strings.Contains(told, "version 1") {
		t.Errorf("the operator is told %q", told)
	}
	r.handle(1e9, old(s.announce(1e9, make([]byte, reportLen))), netip.Addr{}, false)
	r.poll(5e9, make([]byte, reportLen))
	if phase, why := r.core.Phase(); phase != core.Silent || !strings.Contains(why, "version 1") {
		t.Errorf("the receiver is %v: %s", phase, why)
	}
	p := params(5)
	p.Sender = Public{}
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "older version") {
		t.Errorf("parameters without a public key: %v", err)
	}
	if _, err := ParseTicket("diskcast1.AAAA"); err == nil || !strings.Contains(err.Error(), "older") {
		t.Errorf("a ticket of version 1: %v", err)
	}
}

// TestManyAtOneAddress has one machine come as a thousand receivers.
func TestManyAtOneAddress(t *testing.T) {
	s, _ := ends(t, 0)
	b := wire.ReportBody{Need: 5}
	for i := range uint64(1000) {
		if _, _, err := s.core.Report(int64(i+1), i+1, 1, netip.MustParseAddrPort("10.77.0.9:5"), b.Append(nil, 0),
			nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.core.Peers()); n > 256 || s.core.Crowded < 700 {
		t.Errorf("the sender believes in %d receivers at one address, and refused %d", n, s.core.Crowded)
	}
	if s.core.Report(2000, 5000, 1, netip.MustParseAddrPort("10.77.0.8:5"), b.Append(nil, 0),
		nil); s.core.Peer(5000) == nil {
		t.Error("a receiver at another address is refused")
	}
}

func TestSenderTicket(t *testing.T) {
	p := params(12345)
	s := SenderTicket(p, testSecret, nil)
	got, secret, mark, err := ParseSenderTicket(s + "\n")
	if err != nil || got != p || secret != testSecret || mark != nil {
		t.Errorf("got %+v, %v, %v", got, secret, err)
	}
	for _, c := range []struct{ in, want string }{
		{Ticket(p), "does not hold its secret"}, {SenderTicket(p, Secret{9}, nil), "damaged"},
		{s[:len(s)-2], "damaged"}, {"diskcast2-sender.!!." + Ticket(p), "damaged"},
	} {
		if _, _, _, err := ParseSenderTicket(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: got %v, want %q", c.in, err, c.want)
		}
	}
	marked := SenderTicket(p, testSecret, []byte("mark"))
	if got, secret, mark, err := ParseSenderTicket(marked); err != nil || got != p || secret != testSecret ||
		string(mark) != "mark" {
		t.Errorf("with a mark: %+v, %v, %q, %v", got, secret, mark, err)
	}
	if _, _, _, err := ParseSenderTicket(marked + "!"); err == nil {
		t.Error("a damaged mark was taken")
	}
	if _, err := ParseTicket(s); err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("a sender's ticket given to a receiver: %v", err)
	}
}
