package castcmd

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

// progress tells how a cast goes.
type progress struct {
	*ui.Live
	json bool
	size int64
}

func newProgress(u *ui.UI, size int64) *progress { return &progress{u.Live(), u.JSON, size} }

// line prints a line that stays.
func (p *progress) line(kind, text string) {
	if p.json {
		p.Doc(eventDoc{Event: kind, Why: plain.Line(text, 0), Seconds: p.Seconds()})
		return
	}
	p.Line(kind + ": " + text)
}

func (p *progress) event(e cast.Event) {
	plain.Strings(&e, 0) // labels are receivers' own words, and so is much of why
	if p.json {
		label := e.Peer.Label
		if label == "" {
			label = e.Peer.Addr.String()
		}
		p.Doc(eventDoc{Event: e.Kind, Receiver: label, Addr: e.Peer.Addr.String(), Why: e.Why, Seconds: p.Seconds()})
		return
	}
	switch e.Kind {
	case "join", "done":
		if p.Terminal() {
			return // the line shows the numbers
		}
	}
	text := who(&e.Peer)
	if e.Why != "" {
		text += ": " + e.Why
	}
	p.line(e.Kind, text)
}

func (p *progress) sender(s cast.SenderStats) {
	plain.Strings(&s, 0)
	rate := p.Speed(s.Payload + s.Streamed)
	if p.json {
		d := senderDocOf(&s, p.Seconds())
		d.BytesPerSecond, d.Pace = rate, s.Rate
		p.Doc(d)
		return
	}
	p.Show(senderWords(&s, rate))
}

// senderWords says how a sender is doing.
func senderWords(s *cast.SenderStats, rate float64) string {
	if len(s.Receivers) == 0 {
		return "waiting for receivers"
	}
	waiting, done, away := 0, 0, 0
	var slowest *cast.Peer
	loss := 0.0
	for i := range s.Receivers {
		r := &s.Receivers[i]
		switch r.State {
		case "done":
			done++
			continue
		case "gone":
			continue
		case "unicast", "silent":
			away++
		default:
			waiting++
			loss = max(loss, r.Loss)
		}
		if slowest == nil || r.Need > slowest.Need {
			slowest = r
		}
	}
	parity := 0.0
	if s.Payload > 0 {
		parity = float64(s.Repair) / float64(s.Payload)
	}
	const form = "%s (pace %.0f Mbit/s), receivers: %d in the group, %d by unicast, %d done; worst loss %.2f %%, " +
		"repair %.1f %%"
	text := fmt.Sprintf(form, units.BytesPerSecond(rate), s.Rate/1e6,
		waiting, away, done, 100*loss, 100*parity)
	if slowest != nil {
		text += fmt.Sprintf("; slowest %s lacks %s, %s", who(slowest), units.Bytes(slowest.Need),
			ui.ToGo(slowest.Need, rate))
	}
	return text
}

func (p *progress) senderDone(s cast.SenderStats, err error) {
	plain.Strings(&s, 0)
	if p.json {
		d := senderDocOf(&s, p.Seconds())
		d.Event, d.Error = "end", text(err)
		p.Doc(d)
		return
	}
	done := 0
	for _, r := range s.Receivers {
		if r.State == "done" {
			done++
		}
	}
	p.Line(fmt.Sprintf("%d of %d receivers have everything; sent %s for an object of %s, %s of it repair, in %.1f s",
		done, len(s.Receivers), units.Bytes(s.Payload+s.Streamed),
		units.Bytes(p.size), units.Bytes(s.Repair), p.Seconds()))
	if s.Suspicion != "" {
		p.line("warning", s.Suspicion)
	}
}

func (p *progress) receiver(s cast.ReceiverStats) {
	plain.Strings(&s, 0)
	got := s.Size - s.Missing
	rate := p.Speed(got)
	if p.json {
		d := receiverDocOf(&s, p.Seconds())
		d.Phase, d.BytesPerSecond = s.State.Phase.String(), rate
		p.Doc(d)
		return
	}
	share := 100.0
	if s.Size > 0 {
		share = 100 * float64(got) / float64(s.Size)
	}
	p.Show(fmt.Sprintf("%s: %s of %s (%.1f %%), %s, loss %.2f %%, %s to go", s.State.Phase, units.Bytes(got),
		units.Bytes(s.Size), share, units.BytesPerSecond(rate), 100*s.Loss,
		ui.ToGo(s.Missing, rate)))
}

func (p *progress) receiverDone(s cast.ReceiverStats, err error) {
	plain.Strings(&s, 0)
	if p.json {
		d := receiverDocOf(&s, p.Seconds())
		d.Event, d.Error = "end", text(err)
		p.Doc(d)
		return
	}
	if err == nil {
		t := p.Seconds()
		p.Line(fmt.Sprintf("received %s in %.1f s, %s, loss %.2f %%, %s of it by unicast", units.Bytes(s.Size), t,
			units.BytesPerSecond(float64(s.Size)/t), 100*s.Loss, units.Bytes(s.Stream)))
	}
	if s.Suspicion != "" {
		p.line("warning", s.Suspicion+". What was received may not be the sender's: compare check sums")
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return plain.Line(err.Error(), 0)
}
