package wire

import (
	"bytes"
	"errors"
	"testing"
)

func TestHeader(t *testing.T) {
	h := Header{Type: Data, Index: 200, Flags: 3, Cast: 0xdeadbeef, Origin: MaxSeq - 5, Seq: 0x010203040506, Block: 7}
	b := make([]byte, Overhead)
	h.Put(b)
	want := []byte{0xdc, 0x21, 200, 3, 0xde, 0xad, 0xbe, 0xef, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 1, 2, 3, 4, 5, 6, 0,
		0, 0, 7}
	if !bytes.Equal(b[:HeaderLen], want) {
		t.Errorf("got % x, want % x", b[:HeaderLen], want)
	}
	var g Header
	if err := g.Parse(b); err != nil || g != h {
		t.Errorf("got %+v, %v, want %+v", g, err, h)
	}
	for _, bad := range [][]byte{nil, b[:Overhead-1], append([]byte{0xdd}, b[1:]...),
		append([]byte{0xdc, 0x11}, b[2:]...), append([]byte{0xdc, 0x26}, b[2:]...)} {
		if err := g.Parse(bad); !errors.Is(err, ErrForeign) {
			t.Errorf("% x: got %v, want ErrForeign", bad, err)
		}
	}
}

func TestSeal(t *testing.T) {
	key := [32]byte{1, 2, 3}
	s, err := GroupKey(key, 9)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("plain text "), 100)
	h := Header{Type: Data, Cast: 9, Origin: 5, Seq: 6, Block: 7}
	pkt := make([]byte, len(body)+Overhead)
	if n := s.Seal(pkt, &h, body); n != len(pkt) {
		t.Fatalf("sealed to %d bytes, want %d", n, len(pkt))
	}
	if bytes.Contains(pkt, []byte("plain")) {
		t.Error("the packet shows its body")
	}
	// In place gives the same bytes.
	same := make([]byte, len(pkt))
	copy(same[HeaderLen:], body)
	s.Seal(same, &h, same[HeaderLen:HeaderLen+len(body)])
	if !bytes.Equal(pkt, same) {
		t.Error("sealing in place differs")
	}
	for i := range pkt {
		forged := bytes.Clone(pkt)
		forged[i] ^= 1
		if _, err := s.Open(nil, forged); err == nil {
			t.Fatalf("a packet with byte %d changed was opened", i)
		}
	}
	got, err := s.Open(nil, pkt)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatal("the packet does not open:", err)
	}
	// Other keys of the same cast do not open it.
	for _, f := range []func() (*Sealer, error){
		func() (*Sealer, error) { return ReportKey(key, 9) },
		func() (*Sealer, error) { return GroupKey(key, 10) },
	} {
		o, err := f()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(nil, pkt); err == nil {
			t.Error("another key opens the packet")
		}
	}
}

func TestSealDoesNotAllocate(t *testing.T) {
	s, _ := GroupKey([32]byte{}, 1)
	body, pkt := make([]byte, 1408), make([]byte, 1408+Overhead)
	dst := make([]byte, 1408)
	h := Header{Type: Data}
	if n := testing.AllocsPerRun(100, func() {
		h.Seq++
		s.Seal(pkt, &h, body)
		var g Header
		if g.Parse(pkt) != nil {
			t.Fatal("does not parse")
		}
		if _, err := s.Open(dst[:0], pkt); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func TestWindow(t *testing.T) {
	w := NewWindow(128)
	steps := []struct {
		seq   uint64
		fresh bool
	}{
		{1000, true}, {1000, false}, {999, true}, {999, false}, {873, true}, {872, false}, {1001, true}, {873, false},
		{874, true},
		{1200, true}, {1001, false}, {1072, false}, {1073, true}, {1199, true}, {1199, false}, {5000, true},
		{4999, true}, {4872, false}, {4873, true},
	}
	for _, s := range steps {
		if got := w.Fresh(s.seq); got != s.fresh {
			t.Fatalf("%d: fresh is %v, want %v", s.seq, got, s.fresh)
		}
		if s.fresh {
			w.Mark(s.seq)
		}
	}
}

// TestWindowAgainstMap compares the window with a plain set over a long, disordered run.
func TestWindowAgainstMap(t *testing.T) {
	w := NewWindow(256)
	seen := map[uint64]bool{}
	top, x := uint64(0), uint64(1)
	for range 20000 {
		x = x*6364136223846793005 + 1442695040888963407
		seq := max(int64(top)+int64(x>>40%300)-250, 1)
		want := !seen[uint64(seq)] && (uint64(seq) > top || top-uint64(seq) < 256)
		if got := w.Fresh(uint64(seq)); got != want {
			t.Fatalf("seq %d, top %d: fresh is %v, want %v", seq, top, got, want)
		}
		if want {
			w.Mark(uint64(seq))
			seen[uint64(seq)] = true
			top = max(top, uint64(seq))
		}
	}
}

func TestControl(t *testing.T) {
	a := AnnounceBody{Active: 1, Done: 2, Kick: 3, Flags: AnnSending, Receivers: 5, Size: 1 << 40, Payload: 1408,
		K: 128, Rate: 1e9, Pending: 77}
	var a2 AnnounceBody
	if err := a2.Parse(a.Append(nil, []uint64{10, 20})); err != nil || !a2.Acked(10) || !a2.Acked(20) || a2.Acked(30) {
		t.Error("acks are lost:", err)
	}
	a2.acks = nil
	if a2.Active != a.Active || a2.Done != 2 || a2.Kick != 3 || a2.Size != a.Size || a2.Payload != 1408 ||
		a2.K != 128 || a2.Rate != a.Rate || a2.Pending != 77 || a2.Receivers != 5 {
		t.Errorf("got %+v", a2)
	}
	var rec []byte
	rec = AppendRun(rec, 1, 1000, 128, 0)
	rec = AppendList(rec, 5000, []byte{1, 0, 3}, 130)
	r := ReportBody{
		Flags: RepTruncated, Generation: 1, Pressure: 2, Epoch: 3, Top: 4, Received: 5, First: 6, Hold: 7, StreamTop: 8,
		StreamGot: 9, Clock: 10,
		Need: 11, Blocks: 12, WinFirst: 13, WinGot: 14, WinSpan: 15, Label: []byte("node"), Records: rec,
	}
	var r2 ReportBody
	if err := r2.Parse(r.Append(nil, 2)); err != nil {
		t.Fatal(err)
	}
	if r2.Top != 4 || r2.First != 6 || r2.Blocks != 12 || r2.WinSpan != 15 || string(r2.Label) != "node" ||
		!bytes.Equal(r2.Records, rec) {
		t.Errorf("got %+v", r2)
	}
	if err := r2.Parse(r.Append(nil, 3)); !errors.Is(err, ErrMalformed) {
		t.Error("a report that lacks a record was taken:", err)
	}
	p := ReplyBody{Receiver: 1, Echo: 2, Flags: 3, Interval: 4}
	var p2 ReplyBody
	if err := p2.Parse(p.Append(nil)); err != nil || p2 != p {
		t.Errorf("got %+v, %v", p2, err)
	}
}

func FuzzHeader(f *testing.F) {
	h := Header{Type: Data, Index: 1, Cast: 2, Origin: 3, Seq: 4, Block: 5}
	b := make([]byte, Overhead)
	h.Put(b)
	f.Add(b)
	f.Add([]byte{0xdc})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		if h.Parse(b) != nil {
			return
		}
		out := make([]byte, HeaderLen)
		h.Put(out)
		if !bytes.Equal(out, b[:HeaderLen]) {
			t.Errorf("% x became % x", b[:HeaderLen], out)
		}
	})
}

func FuzzReport(f *testing.F) {
	rec := AppendList(AppendRun(nil, 1, 1000, 128, 0), 5000, []byte{1, 0, 3}, 130)
	f.Add((&ReportBody{Label: []byte("x"), Records: rec}).Append(nil, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r ReportBody
		if r.Parse(b) != nil {
			return
		}
		var rec Record
		for rest, ok := rec.Decode(r.Records); ok; rest, ok = rec.Decode(rest) {
			if rec.List != nil && len(rec.List) != int(rec.Count) {
				t.Fatal("a list of another length than its count")
			}
		}
	})
}

func FuzzAnnounce(f *testing.F) {
	f.Add((&AnnounceBody{}).Append(nil, []uint64{1, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a AnnounceBody
		if a.Parse(b) == nil {
			a.Acked(1)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add((&ReplyBody{}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r ReplyBody
		r.Parse(b)
	})
}
