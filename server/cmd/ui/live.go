package ui

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/diskcast/diskcast/internal/plain"
)

// Live shows a work whose state is words: one line that changes on a terminal, a line now and then elsewhere, a
// document each second with JSON.
type Live struct {
	u     *UI
	tty   *os.File // nil: no terminal, or JSON
	start time.Time
	end   chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	width int // of the line on the terminal
	last  int64
	lastT time.Time
	rate  float64
}

// Live begins to show a work.
func (u *UI) Live() *Live {
	now := time.Now()
	l := &Live{u: u, start: now, lastT: now, end: make(chan struct{})}
	if f, ok := Terminal(u.Err); ok && !u.JSON {
		l.tty = f
	}
	return l
}

// Run calls show again and again until Stop.
func (l *Live) Run(show func()) {
	every := Every
	if l.tty != nil {
		every = 250 * time.Millisecond
	} else if l.u.JSON {
		every = time.Second
	}
	// Ends with Stop.
	l.wg.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-l.end:
				return
			case <-t.C:
				show()
			}
		}
	})
}

// Stop ends Run and takes the changing line away.
func (l *Live) Stop() {
	close(l.end)
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wipe()
}

// Terminal reports whether the line changes on a terminal.
func (l *Live) Terminal() bool { return l.tty != nil }

// Seconds is for how long the work goes on.
func (l *Live) Seconds() float64 { return time.Since(l.start).Seconds() }

// Line prints a line that stays.
func (l *Live) Line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wipe()
	fmt.Fprintln(l.u.Err, plain.Line(text, 0))
}

// Doc prints a document. What is done does not depend on who reads of it.
func (l *Live) Doc(v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	on := UI{Out: l.u.Err}
	_ = on.Doc(v)
}

// Show prints the changing line.
func (l *Live) Show(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text = plain.Line(text, 0)
	if l.tty == nil {
		fmt.Fprintln(l.u.Err, text)
		return
	}
	l.wipe()
	if w, _, err := term.GetSize(int(l.tty.Fd())); err == nil && len(text) >= w && w > 1 {
		text = text[:w-1]
	}
	l.width = len(text)
	fmt.Fprint(l.u.Err, text)
}

// wipe clears the changing line; the lock is held.
func (l *Live) wipe() {
	if l.width > 0 {
		fmt.Fprintf(l.u.Err, "\r%s\r", strings.Repeat(" ", l.width))
		l.width = 0
	}
}

// Speed is bytes a second since the last call, smoothed.
func (l *Live) Speed(bytes int64) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if t := now.Sub(l.lastT).Seconds(); t > 0.05 {
		r := float64(bytes-l.last) / t
		if l.rate == 0 {
			l.rate = r
		}
		l.rate = 0.6*l.rate + 0.4*r
		l.last, l.lastT = bytes, now
	}
	return l.rate
}

// ToGo says how long so many bytes take at a speed.
func ToGo(left int64, bytesPerSecond float64) string {
	if bytesPerSecond < 1 {
		return "-"
	}
	return (time.Duration(float64(left)/bytesPerSecond) * time.Second).Round(time.Second).String()
}
