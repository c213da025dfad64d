package wire

import (
	"bytes"
	"errors"
	"testing"
)

func testSigner(t testing.TB, b byte) *Signer {
	s, err := NewSigner(Secret{b})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignature(t *testing.T) {
	s, other := testSigner(t, 1), testSigner(t, 2)
	h := Header{Type: Announce, Cast: 1, Origin: 2, Seq: 3}
	body := []byte("the sender's state")
	signed := s.Sign(&h, bytes.Clone(body))
	public := s.Public()
	if got, err := public.Verify(&h, signed); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("got %q, %v", got, err)
	}
	for name, f := range map[string]func(h *Header, b []byte) ([]byte, Public){
		"another number": func(h *Header, b []byte) ([]byte, Public) { h.Seq++; return b, public },
		"another epoch":  func(h *Header, b []byte) ([]byte, Public) { h.Origin++; return b, public },
		"another body":   func(h *Header, b []byte) ([]byte, Public) { b[0] ^= 1; return b, public },
		"cut":            func(h *Header, b []byte) ([]byte, Public) { return b[:SignatureLen-1], public },
		"another sender": func(h *Header, b []byte) ([]byte, Public) { return b, other.Public() },
	} {
		h := h
		b, p := f(&h, bytes.Clone(signed))
		if _, err := p.Verify(&h, b); !errors.Is(err, ErrForged) {
			t.Errorf("%s: got %v, want ErrForged", name, err)
		}
	}
}

// TestPair has another receiver, which has the key too, speak in the name of the first, and of the sender to the first.
func TestPair(t *testing.T) {
	key, s := [32]byte{9}, testSigner(t, 1)
	all, err := ReportKey(key, 1)
	if err != nil {
		t.Fatal(err)
	}
	one, err := NewGuest(key, 1, s.Public())
	if err != nil {
		t.Fatal(err)
	}
	two, err := NewGuest(key, 1, s.Public())
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("what one lacks")
	report := func(g *Guest, id uint64) (*Header, []byte) {
		h := &Header{Type: Report, Cast: 1, Origin: id, Seq: 5}
		pkt := make([]byte, len(body)+ReportRoom+Overhead)
		if n := g.SealReport(all, pkt, h, body); n != len(pkt) {
			t.Fatalf("sealed to %d bytes, want %d", n, len(pkt))
		}
		outer, err := all.Open(nil, pkt)
		if err != nil {
			t.Fatal(err)
		}
		return h, outer
	}
	h, outer := report(one, one.ID)
	public, err := ReportPublic(h.Origin, outer)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := s.Pair(key, 1, public)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pair.OpenReport(h, bytes.Clone(outer)); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("got %q, %v", got, err)
	}
	// Its own keys under the other's id.
	if _, err := ReportPublic(one.ID, second(report(two, one.ID))); !errors.Is(err, ErrImpostor) {
		t.Errorf("a report in the name of another: got %v, want ErrImpostor", err)
	}
	// The other's public key before what it sealed itself.
	forged := second(report(two, one.ID))
	copy(forged, public[:])
	if _, err := pair.OpenReport(h, forged); !errors.Is(err, ErrImpostor) {
		t.Errorf("a report with the public key of another: got %v, want ErrImpostor", err)
	}
	// What the sender seals for one opens for nobody else, and nobody else can seal it.
	reply := make([]byte, len(body)+Overhead)
	pair.Reply.Seal(reply, &Header{Type: Reply, Cast: 1, Origin: 7, Seq: 1}, body)
	if _, err := one.Reply.Open(nil, reply); err != nil {
		t.Error("the receiver cannot open its reply:", err)
	}
	if _, err := two.Reply.Open(nil, reply); err == nil {
		t.Error("another receiver opens the reply")
	}
	two.Reply.Seal(reply, &Header{Type: Reply, Cast: 1, Origin: 7, Seq: 1}, body)
	if _, err := one.Reply.Open(nil, reply); err == nil {
		t.Error("a reply that another receiver sealed is taken")
	}
}

func second(_ *Header, b []byte) []byte { return b }

func FuzzOpenReport(f *testing.F) {
	s := testSigner(f, 1)
	g, _ := NewGuest([32]byte{9}, 1, s.Public())
	public := g.Public()
	f.Add(append(public[:], make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		public, err := ReportPublic(g.ID, b)
		if err != nil {
			return
		}
		pair, err := s.Pair([32]byte{9}, 1, public)
		if err != nil {
			return
		}
		if _, err := pair.OpenReport(&Header{Type: Report, Cast: 1, Origin: g.ID}, b); err == nil {
			t.Error("bytes that nobody sealed were opened")
		}
	})
}
