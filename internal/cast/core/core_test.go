package core

import (
	"net/netip"
	"testing"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

func testParams(size int64) Params {
	return Params{ID: 1, Group: netip.MustParseAddrPort("239.0.0.1:1"), Feedback: netip.MustParseAddrPort("10.0.0.1:1"),
		Size: size}.WithDefaults()
}

func newTestReceiver(size, memory int64) *Receiver {
	return NewReceiver(ReceiverConfig{Params: testParams(size), ID: 5, Memory: memory, SilenceAfter: 3 * sec}, 1)
}

// block feeds packets 0..n-1 of a block.
func block(r *Receiver, seq *uint64, b uint32, n int) *Partial {
	var p *Partial
	for i := range n {
		*seq++
		p, _ = r.Data(int64(*seq), 9, *seq, b, uint8(i))
	}
	return p
}

// TestAgainWhileTaken loses a block in the very call that takes it.
func TestAgainWhileTaken(t *testing.T) {
	r := newTestReceiver(2*128*1408, 64<<20)
	var seq uint64
	p := block(r, &seq, 0, 128)
	if !p.Complete {
		t.Fatal("128 packets do not complete a block")
	}
	r.Again(1000, 0)
	r.Release(1001, p)
	if r.Has(0) || r.Missing() != 2 {
		t.Error("the lost block counts as held")
	}
	p = block(r, &seq, 0, 128)
	r.Release(2000, p)
	if !r.Has(0) || r.Missing() != 1 {
		t.Error("the block does not come back")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const memory = 4 << 20
	r := newTestReceiver(1<<30, memory)
	var seq uint64
	for b := range uint32(500) {
		block(r, &seq, b, 100)
	}
	if m := r.Memory(); m > memory {
		t.Errorf("%d bytes are held, the limit is %d", m, memory)
	}
	if r.Refused == 0 {
		t.Error("nothing was refused")
	}
	// Parity for a block that was begun still gets in, at another's cost.
	for i := range 28 {
		seq++
		if _, v := r.Data(int64(seq), 9, seq, 0, uint8(128+i)); v != Useful {
			t.Fatalf("parity %d is %v", i, v)
		}
	}
	if m := r.Memory(); m > memory+128*1408 {
		t.Errorf("%d bytes are held after parity", m)
	}
}

// TestNeedsRoundTrip has a sender want just what a receiver's report says.
func TestNeedsRoundTrip(t *testing.T) {
	p := testParams(1000*128*1408 - 50*1408)
	r := NewReceiver(ReceiverConfig{Params: p, ID: 5, Memory: 64 << 20, SilenceAfter: 3 * sec}, 1)
	s := NewSender(SenderConfig{Params: p, Epoch: 9, Rate: 1e9}, 1)
	var seq uint64
	for b := range uint32(300) {
		n := 128
		if b%7 == 0 {
			n = 120 + int(b%5)
		}
		if part := block(r, &seq, b, n); part.Complete {
			r.Release(2, part)
		}
	}
	body := r.appendReport(1000, nil, 0)
	if len(body) > wire.MaxReport {
		t.Fatalf("the report has %d bytes", len(body))
	}
	if _, _, err := s.Report(2000, 5, 1, p.Feedback, body, nil); err != nil {
		t.Fatal(err)
	}
	for b := range 1000 {
		want := 0
		switch {
		case b >= 300:
			want = p.SourcePackets(b)
		case b%7 == 0:
			want = 128 - (120 + b%5)
		}
		if got := int(s.want[b]); got != want {
			t.Fatalf("block %d: %d packets are wanted, want %d", b, got, want)
		}
	}
}

// TestInFlight does not send again what a report could not count yet.
func TestInFlight(t *testing.T) {
	p := testParams(4 * 128 * 1408)
	s := NewSender(SenderConfig{Params: p, Epoch: 9, Rate: 1e12}, 1)
	s.need(s.peer(1, 5, p.Feedback, ""), 2, 128, 0, 0)
	var out []Packet
	for now := int64(1); len(out) < 128; now += ms {
		out = s.Plan(now, out)
	}
	peer := s.Peer(5)
	// It had heard the first 28 of the 128 packets when it said that it lacks 102: two were lost.
	s.need(peer, 2, 102, 28, out[27].Seq)
	if s.want[2] != 2 {
		t.Errorf("%d packets are wanted, want 2", s.want[2])
	}
	s.setWant(2, 0)
	s.need(peer, 2, 5, 128, out[127].Seq)
	if s.want[2] != 5 {
		t.Errorf("%d packets are wanted, want 5", s.want[2])
	}
}

// FuzzReport lets a sender take reports from a holder of the key that is mad.
func FuzzReport(f *testing.F) {
	p := testParams(1000 * 128 * 1408)
	r := NewReceiver(ReceiverConfig{Params: p, ID: 5, Memory: 64 << 20, SilenceAfter: 3 * sec}, 1)
	f.Add(r.appendReport(5, nil, 0))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := NewSender(SenderConfig{Params: p, Epoch: 9}, 1)
		now := int64(1)
		for i := range 3 {
			s.Report(now, 5, uint64(i+1), p.Feedback, body, nil)
			now += 100 * ms
			s.PollAnnounce(now, nil)
			s.Plan(now, nil)
			s.PlanStreams(now, nil)
			s.Next(now)
		}
		if s.wanted > int64(1000*128) || s.wanted < 0 {
			t.Errorf("%d packets are wanted", s.wanted)
		}
	})
}

// FuzzAnnounce lets a receiver take control messages that make no sense.
func FuzzAnnounce(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newTestReceiver(1<<20, 1<<20)
		r.Announce(1, 9, 1, body)
		r.Reply(2, 9, 2, body)
		r.Poll(3, nil)
		if r.Next() < 0 {
			t.Error("the next report is in the past for ever")
		}
	})
}
