package core

import (
	"net/netip"
	"testing"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// TestUnsoundAtTheEnd: a receiver that has everything of a source that changed before its last word is told the end,
// not that it is done; one whose being done was known before stays done.
func TestUnsoundAtTheEnd(t *testing.T) {
	p := Params{ID: 1, Size: 1 << 20, Payload: 1408, K: 128}
	sound := true
	s := NewSender(SenderConfig{Params: p, Epoch: 9, Sound: func() bool { return sound }}, 1)
	report := func(now int64, id uint64) wire.ReplyBody {
		t.Helper()
		b := wire.ReportBody{Flags: wire.RepDone | wire.RepSilent, Epoch: 9}
		reply, ok, err := s.Report(now, id, uint64(now), netip.AddrPort{}, b.Append(nil, 0), nil)
		if err != nil || !ok {
			t.Fatalf("no answer: %v", err)
		}
		var r wire.ReplyBody
		if err := r.Parse(reply); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := report(1*ms, 5); r.Flags&wire.RplDone == 0 || r.Flags&wire.RplEnds != 0 {
		t.Errorf("while all is well: flags %d", r.Flags)
	}
	sound = false
	if r := report(2*ms, 6); r.Flags&wire.RplDone != 0 || r.Flags&wire.RplEnds == 0 {
		t.Errorf("after a change: flags %d", r.Flags)
	}
	if r := report(200*ms, 5); r.Flags&wire.RplDone == 0 {
		t.Errorf("one that was done before: flags %d", r.Flags)
	}
	body, _, ok := s.PollAnnounce(300*ms, nil)
	var a wire.AnnounceBody
	if err := a.Parse(body); !ok || err != nil || a.Flags&wire.AnnEnds == 0 || a.Acked(6) {
		t.Errorf("announce: %v, %v, flags %d", ok, err, a.Flags)
	}
	if s.Told(300*ms) || !s.Told(20*sec) {
		t.Error("the end is told too shortly, or for ever")
	}
}
