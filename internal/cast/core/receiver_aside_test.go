package core

import (
	"testing"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// TestAside puts partial blocks aside, completes them, gives one up on the way, and finds the memory empty at the end.
func TestAside(t *testing.T) {
	const blocks, short = 100, 8
	p := testParams(blocks * 128 * 1408)
	var asides []*Partial
	r := NewReceiver(ReceiverConfig{
		Params: p, ID: 5, Memory: 64 << 20, SilenceAfter: 3 * sec,
		Aside: func(p *Partial) { asides = append(asides, p) },
	}, 1)
	var seq uint64
	for b := range uint32(blocks - 1) {
		block(r, &seq, b, 128-short)
	}
	if want := blocks - 1 - asideAfter; len(asides) != want {
		t.Fatalf("%d blocks were put aside, want %d", len(asides), want)
	}
	if !r.patient() {
		t.Error("repairs may not wait, though a block is still to come")
	}
	if before := r.pressure(); before == 0 {
		t.Error("blocks on their way to the sink make no pressure")
	}
	// The first is done by other means while the sink takes it; the second completes then.
	if r.Have(1, 0) != asides[0] {
		t.Fatal("a block that is put aside is not given up when it is here")
	}
	var second *Partial
	for i := range short {
		seq++
		second, _ = r.Data(int64(seq), 9, seq, 1, uint8(128+i))
	}
	if !second.Complete {
		t.Fatal("128 packets do not complete a block that is being put aside")
	}
	for _, p := range asides {
		r.IsAside(p)
	}
	if got, want := r.Memory(), int64(asideAfter*128+short)*1408; got != want {
		t.Errorf("%d bytes are in memory after %d blocks were put aside, want %d", got, len(asides), want)
	}
	r.Release(1, second)
	block(r, &seq, blocks-1, 128)
	r.Release(1, r.partial[blocks-1])
	if r.patient() {
		t.Error("repairs may wait, though nothing else is to come")
	}
	for b := 2; b < blocks-1; b++ {
		// Parity and a source packet that was lost, as they come.
		for i := range short - 1 {
			seq++
			r.Data(int64(seq), 9, seq, uint32(b), uint8(128+i))
		}
		seq++
		if _, v := r.Data(int64(seq), 9, seq, uint32(b), 0); v != Useless {
			t.Fatalf("a packet that is aside is %v", v)
		}
		seq++
		p, _ := r.Data(int64(seq), 9, seq, uint32(b), 127)
		if !p.Complete {
			t.Fatalf("block %d is not complete", b)
		}
		r.Release(1, p)
	}
	if r.Memory() != 0 || r.waiting != 0 || r.Missing() != 0 {
		t.Errorf("%d bytes in memory, %d packets for the sink, %d blocks missing at the end", r.Memory(), r.waiting,
			r.Missing())
	}
}

// TestPostpone has a sender send repairs after everything else to who can wait, and before to who cannot.
func TestPostpone(t *testing.T) {
	for _, patient := range []bool{true, false} {
		p := testParams(20 * 128 * 1408)
		s := NewSender(SenderConfig{Params: p, Epoch: 9, Rate: 1e12}, 1)
		clean, lossy := s.peer(1, 5, p.Feedback, ""), s.peer(1, 6, p.Feedback, "")
		s.fb.active, s.clean = shortest, true
		lossy.baseline = 0.05
		if patient {
			lossy.flags = wire.RepPatient
		}
		for b := range 20 {
			s.need(clean, b, 128, 0, 0)
		}
		var out []Packet
		now := int64(1)
		for ; len(out) < 10*128; now += ms {
			out = s.Plan(now, out)
		}
		s.need(lossy, 3, 6, 128, out[len(out)-1].Seq)
		first := len(out)
		for ; s.Sending(); now += ms {
			out = s.Plan(now, out)
		}
		at := -1
		for i, o := range out {
			if o.Block == 3 && int(o.Index) >= 128 {
				at = i
				break
			}
		}
		if patient && at != 20*128 || !patient && (at < first || at >= first+128+64) {
			t.Errorf("patient %v: the repair is packet %d, after %d were sent when it was asked for", patient, at,
				first)
		}
	}
}
