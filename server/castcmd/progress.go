package castcmd

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/plain"
	"golang.org/x/term"
)

// progress tells how it goes: one line that changes on a terminal, a line now and then elsewhere, JSON lines on request.
type progress struct {
	w     io.Writer
	json  bool
	tty   bool
	size  int64
	start time.Time
	end   chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	width int // of the line on the terminal
	last  int64
	lastT time.Time
	rate  float64
}

func newProgress(w io.Writer, asJSON bool, size int64) *progress {
	f, ok := w.(*os.File)
	now := time.Now()
	return &progress{w: w, json: asJSON, tty: ok && !asJSON && term.IsTerminal(int(f.Fd())), size: size, start: now, lastT: now, end: make(chan struct{})}
}

// run calls show again and again until stop.
func (p *progress) run(show func()) {
	every := 5 * time.Second
	if p.tty {
		every = 250 * time.Millisecond
	} else if p.json {
		every = time.Second
	}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-p.end:
				return
			case <-t.C:
				show()
			}
		}
	}()
}

func (p *progress) stop() {
	close(p.end)
	p.wg.Wait()
}

// line prints a line that stays.
func (p *progress) line(kind, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = plain.Line(text, 0)
	if p.json {
		p.object(map[string]any{"event": kind, "why": text})
		return
	}
	p.wipe()
	fmt.Fprintf(p.w, "%s: %s\n", kind, text)
}

func (p *progress) event(e cast.Event) {
	plain.Strings(&e, 0) // labels are receivers' own words, and so is much of why
	label := e.Peer.Label
	if label == "" {
		label = e.Peer.Addr.String()
	}
	if p.json {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.object(map[string]any{"event": e.Kind, "receiver": label, "addr": e.Peer.Addr.String(), "why": e.Why})
		return
	}
	switch e.Kind {
	case "join", "done":
		if p.tty {
			return // the line shows the numbers
		}
	}
	text := who(&e.Peer)
	if e.Why != "" {
		text += ": " + e.Why
	}
	p.line(e.Kind, text)
}

func (p *progress) object(o map[string]any) {
	o["seconds"] = time.Since(p.start).Seconds()
	// What is done does not depend on who reads of it.
	_ = json.NewEncoder(p.w).Encode(o)
}

// wipe clears the changing line; the lock is held.
func (p *progress) wipe() {
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

// show prints the changing line.
func (p *progress) show(text string) {
	if !p.tty {
		fmt.Fprintln(p.w, text)
		return
	}
	p.wipe()
	if w, _, err := term.GetSize(int(p.w.(*os.File).Fd())); err == nil && len(text) >= w && w > 1 {
		text = text[:w-1]
	}
	p.width = len(text)
	fmt.Fprint(p.w, text)
}

// speed is bytes a second since the last call, smoothed.
func (p *progress) speed(bytes int64) float64 {
	now := time.Now()
	if t := now.Sub(p.lastT).Seconds(); t > 0.05 {
		r := float64(bytes-p.last) / t
		if p.rate == 0 {
			p.rate = r
		}
		p.rate = 0.6*p.rate + 0.4*r
		p.last, p.lastT = bytes, now
	}
	return p.rate
}

func eta(left int64, rate float64) string {
	if rate < 1 {
		return "-"
	}
	return (time.Duration(float64(left)/rate) * time.Second).Round(time.Second).String()
}

func (p *progress) sender(s cast.SenderStats) {
	plain.Strings(&s, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	rate := p.speed(s.Payload + s.Streamed)
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
	if p.json {
		p.object(map[string]any{
			"bytes_per_second": rate, "pace_bits_per_second": s.Rate, "payload": s.Payload, "repair": s.Repair, "streamed": s.Streamed, "pending": s.Pending,
			"receivers": s.Receivers, "sending": s.Sending, "rejected": s.Rejected, "warning": s.Suspicion,
		})
		return
	}
	if len(s.Receivers) == 0 {
		p.show("waiting for receivers")
		return
	}
	text := fmt.Sprintf("%.1f MB/s (pace %.0f Mbit/s), receivers: %d in the group, %d by unicast, %d done; worst loss %.2f %%, repair %.1f %%", rate/1e6, s.Rate/1e6,
		waiting, away, done, 100*loss, 100*parity)
	if slowest != nil {
		text += fmt.Sprintf("; slowest %s lacks %s, %s", who(slowest), size(slowest.Need), eta(slowest.Need, rate))
	}
	p.show(text)
}

func (p *progress) senderDone(s cast.SenderStats, err error) {
	plain.Strings(&s, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	t := time.Since(p.start).Seconds()
	if p.json {
		p.object(map[string]any{"event": "end", "payload": s.Payload, "repair": s.Repair, "streamed": s.Streamed, "receivers": s.Receivers, "warning": s.Suspicion, "error": text(err)})
		return
	}
	done := 0
	for _, r := range s.Receivers {
		if r.State == "done" {
			done++
		}
	}
	fmt.Fprintf(p.w, "%d of %d receivers have everything; sent %s for an object of %s, %s of it repair, in %.1f s\n", done, len(s.Receivers), size(s.Payload+s.Streamed),
		size(p.size), size(s.Repair), t)
	if s.Suspicion != "" {
		fmt.Fprintf(p.w, "warning: %s\n", s.Suspicion)
	}
}

func (p *progress) receiver(s cast.ReceiverStats) {
	plain.Strings(&s, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	got := s.Size - s.Missing
	rate := p.speed(got)
	if p.json {
		p.object(map[string]any{
			"phase": s.State.Phase.String(), "received": got, "size": s.Size, "bytes_per_second": rate, "loss": s.Loss, "multicast": s.Multicast, "stream": s.Stream,
			"rejected": s.Rejected, "memory": s.Memory, "warning": s.Suspicion,
		})
		return
	}
	share := 100.0
	if s.Size > 0 {
		share = 100 * float64(got) / float64(s.Size)
	}
	p.show(fmt.Sprintf("%s: %s of %s (%.1f %%), %.1f MB/s, loss %.2f %%, %s to go", s.State.Phase, size(got), size(s.Size), share, rate/1e6, 100*s.Loss, eta(s.Missing, rate)))
}

func (p *progress) receiverDone(s cast.ReceiverStats, err error) {
	plain.Strings(&s, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	t := time.Since(p.start).Seconds()
	if p.json {
		p.object(map[string]any{"event": "end", "received": s.Size - s.Missing, "loss": s.Loss, "multicast": s.Multicast, "stream": s.Stream, "warning": s.Suspicion, "error": text(err)})
		return
	}
	if err == nil {
		fmt.Fprintf(p.w, "received %s in %.1f s, %.1f MB/s, loss %.2f %%, %s of it by unicast\n", size(s.Size), t, float64(s.Size)/t/1e6, 100*s.Loss, size(s.Stream))
	}
	if s.Suspicion != "" {
		fmt.Fprintf(p.w, "warning: %s. What was received may not be the sender's: compare check sums\n", s.Suspicion)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return plain.Line(err.Error(), 0)
}

func size(n int64) string {
	switch f := float64(n); {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%.0f kB", f/1e3)
	case n < 10_000_000_000:
		return fmt.Sprintf("%.1f MB", f/1e6)
	default:
		return fmt.Sprintf("%.1f GB", f/1e9)
	}
}
