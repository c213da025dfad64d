package core

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// announce gives a receiver the sender's word that its place is seq, at 1 Gbit/s.
func announce(t *testing.T, r *Receiver, now int64, seq uint64) {
	t.Helper()
	a := wire.AnnounceBody{Active: 10000, Done: 10000, Kick: 10000, Flags: wire.AnnSending, Size: r.p.Size,
		Payload: uint16(r.p.Payload), K: uint16(r.p.K), Rate: 1e9}
	if err := r.Announce(now, 9, seq, a.Append(nil, nil)); err != nil {
		t.Fatal(err)
	}
}

// TestFarAhead has one packet with a number far ahead, from somebody who has the key. What the sender sends is taken
// and counted as before.
func TestFarAhead(t *testing.T) {
	r := newTestReceiver(64*128*1408, 64<<20)
	announce(t, r, 1*ms, 1)
	r.Data(2*ms, 9, 1<<40, 0, 0)
	for i := range uint64(300) {
		now := 3*ms + int64(i)*10000
		if _, v := r.Data(now, 9, 2+i, 1+uint32(i/128), uint8(i%128)); v != Useful {
			t.Fatalf("packet %d of the sender is %v after one of somebody else, want it taken", 2+i, v)
		}
	}
	if got, lost := r.Counts(); got != 301 || lost != 0 {
		t.Errorf("%d packets came and %d were lost, want 301 and 0", got, lost)
	}
	if n, _ := r.Strangers(); n[wire.Ahead] != 1 {
		t.Errorf("%v packets of somebody else, want 1 ahead", n)
	}
	if _, why := r.Phase(); !strings.Contains(why, "somebody who has this cast's key") {
		t.Errorf("the user is told %q", why)
	}
}

// TestNextNumbers has somebody take each number before the sender does.
func TestNextNumbers(t *testing.T) {
	r := newTestReceiver(64*128*1408, 64<<20)
	announce(t, r, 1*ms, 1)
	for i := range uint64(1000) {
		now := 3*ms + int64(i)*10000
		r.Data(now, 9, 2+i, 0, 0)
		if _, v := r.Data(now, 9, 2+i, 1+uint32(i/128), uint8(i%128)); v != Useful {
			t.Fatalf("packet %d of the sender is %v, want it taken", 2+i, v)
		}
	}
	n, _ := r.Strangers()
	if _, why := r.Phase(); n[wire.Behind] != 1000 || !strings.Contains(why, "numbers were taken before they came") {
		t.Errorf("%v packets of somebody else, and the user is told %q", n, why)
	}
}

// TestPoisonedWindow has numbers ahead, but not so far that the sender could not have reached them. Its next word sets
// that right, and from then on only what it has announced counts.
func TestPoisonedWindow(t *testing.T) {
	r := newTestReceiver(1<<30, 64<<20)
	announce(t, r, 1*ms, 1)
	r.Data(2*ms, 9, 15000, 0, 0)
	announce(t, r, 3*ms, 2)
	if !r.cur.wary || r.cur.top != 2 {
		t.Fatalf("the highest number is %d after the sender said 2", r.cur.top)
	}
	for i := range uint64(100) {
		r.Data(4*ms+int64(i)*10000, 9, 3+i, 1, uint8(i))
		r.Data(4*ms+int64(i)*10000, 9, 3000+i, 0, 0)
	}
	announce(t, r, 6*ms, 113) // ten were lost
	var b wire.ReportBody
	if err := b.Parse(r.appendReport(7*ms, nil, 0)); err != nil {
		t.Fatal(err)
	}
	if b.Top != 113 || b.Received != 102 || b.First != 2 || b.Flags&wire.RepWary == 0 {
		t.Errorf("the report says %d of %d to %d came, flags %#x", b.Received, b.First, b.Top, b.Flags)
	}
	if _, lost := r.Counts(); lost != 10 {
		t.Errorf("%d packets were lost, want 10", lost)
	}
}

// TestForgedEpochs has packets of senders that never were: the current one stays.
func TestForgedEpochs(t *testing.T) {
	r := newTestReceiver(1<<30, 64<<20)
	announce(t, r, 1*ms, 1)
	for i := range uint64(100) {
		r.Data(2*ms+int64(i)*20*ms, 1000+i, 1, 0, 0)
	}
	if r.cur.origin != 9 || len(r.old) != 0 {
		t.Errorf("the current epoch is %d, with %d older ones, want 9 and none", r.cur.origin, len(r.old))
	}
	if n, _ := r.Strangers(); n[wire.Ahead] == 0 {
		t.Error("nothing was counted")
	}
}

// TestJunkIsNoSign has nothing but packets of somebody else arrive: the receiver goes silent, and says the truth of it.
func TestJunkIsNoSign(t *testing.T) {
	r := newTestReceiver(1<<30, 64<<20)
	announce(t, r, 1*ms, 1)
	now := 2 * ms
	for ; now < 20*sec; now += 10 * ms {
		r.Data(now, 9, uint64(now), 0, 0)
		r.Poll(now, nil)
	}
	if phase, why := r.Phase(); phase != Silent || !strings.Contains(why, "the sender has not reached") ||
		!strings.Contains(why, "nothing of the sender's own") {
		t.Fatalf("after 20 s of it the receiver is %v: %s", phase, why)
	}
	announce(t, r, now, 2000)
	if phase, _ := r.Phase(); phase != Receiving {
		t.Errorf("the sender is back, and the receiver is %v", phase)
	}
}

// TestWrongBlocks has blocks come with other bytes than the sender's: the receiver leaves the group for a while, says
// why, and comes back.
func TestWrongBlocks(t *testing.T) {
	r := newTestReceiver(1<<30, 64<<20)
	announce(t, r, 1*ms, 1)
	for range manyWrong {
		r.Wrong(2 * ms)
	}
	if phase, why := r.Phase(); r.InGroup() || phase != Unicast || !strings.Contains(why, "8 pieces with wrong bytes") {
		t.Fatalf("the receiver is %v: %s", phase, why)
	}
	if next := r.Next(); next > 2*ms+firstStay {
		t.Errorf("the receiver wants to be called in %d s, after its time out of the group", next/sec)
	}
	r.Poll(3*ms+firstStay, nil)
	if phase, _ := r.Phase(); !r.InGroup() || phase != Receiving {
		t.Errorf("the receiver is %v after its time out of the group", phase)
	}
}

// TestMisledReport has a receiver report a number that was never sent: it is told so at once, with the sender's place,
// and so is the operator.
func TestMisledReport(t *testing.T) {
	p := testParams(1 << 30)
	var told []string
	s := NewSender(SenderConfig{Params: p, Epoch: 9, Rate: 1e9,
		Event: func(kind string, p *Peer, why string) { told = append(told, kind+": "+why) }}, 1)
	r := NewReceiver(ReceiverConfig{Params: p, ID: 5, Memory: 64 << 20, SilenceAfter: 3 * sec}, 1)
	body, seq, _ := s.PollAnnounce(1*ms, nil)
	if err := r.Announce(1*ms, 9, seq, body); err != nil {
		t.Fatal(err)
	}
	r.Data(2*ms, 9, 900, 0, 0)
	reply, ok, err := s.Report(3*ms, 5, 1, netip.AddrPort{}, r.appendReport(3*ms, nil, 0), nil)
	if err != nil || !ok {
		t.Fatal("the report is not answered:", err)
	}
	r.sched.seq = 1
	if err := r.Reply(4*ms, 9, 1, reply); err != nil {
		t.Fatal(err)
	}
	if !r.cur.wary || r.cur.top != seq {
		t.Errorf("the highest number is %d, the sender's is %d", r.cur.top, seq)
	}
	if all := strings.Join(told, "\n"); !strings.Contains(all, "hostile: somebody who has this cast's key") {
		t.Errorf("the operator is told %q", all)
	}
	if s.PollAnnounce(14*ms, nil); s.announce > 24*ms {
		t.Errorf("the next ANNOUNCE comes %d ms later, want 10", (s.announce-14*ms)/ms)
	}
}

// TestComeBackByOwnDecision has a receiver leave the group and come back by itself: the sender takes it as it comes.
func TestComeBackByOwnDecision(t *testing.T) {
	p := testParams(1 << 30)
	s := NewSender(SenderConfig{Params: p, Epoch: 9, Rate: 1e9}, 1)
	for i, c := range []struct {
		flags uint8
		want  PeerState
	}{{0, PeerActive}, {wire.RepAway, PeerUnicast}, {wire.RepAway, PeerUnicast}, {0, PeerActive}} {
		b := wire.ReportBody{Flags: c.flags, Epoch: 9, Need: 5}
		now := int64(i+1) * sec
		if _, _, err := s.Report(now, 5, uint64(i+1), netip.AddrPort{}, b.Append(nil, 0), nil); err != nil {
			t.Fatal(err)
		}
		if got := s.Peer(5).State; got != c.want {
			t.Errorf("report %d: the receiver is %v, want %v", i, got, c.want)
		}
	}
}

// TestFastBeforeTheFirstAnnounce has a receiver that knows the sender's place from a REPLY hear a tenth of a second of
// 10 Gbit/s before an ANNOUNCE: nobody is suspected.
func TestFastBeforeTheFirstAnnounce(t *testing.T) {
	r := newTestReceiver(1<<30, 64<<20)
	reply := wire.ReplyBody{Receiver: 5, Echo: r.sched.seq, Place: 1}
	if err := r.Reply(1*ms, 9, 1, reply.Append(nil)); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(85000) {
		r.Data(2*ms+int64(i)*1200, 9, 2+i, 0, 0)
	}
	announce(t, r, 110*ms, 85002)
	if n, _ := r.Strangers(); n != [wire.KindsOfStrange]uint32{} {
		t.Errorf("counted %v packets of somebody else, want none", n)
	}
}
