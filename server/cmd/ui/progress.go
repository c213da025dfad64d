package ui

import (
	"fmt"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/diskcast/diskcast/internal/units"
)

// Every is how often progress is worth a line where there is no terminal.
const Every = 5 * time.Second

// Progress shows how far a long work is: a bar on a terminal, now and then a line elsewhere, nothing with --json.
type Progress struct {
	u    *UI
	what string
	p    *mpb.Progress
	bar  *mpb.Bar
	last time.Time
}

// Progress begins to show a work.
func (u *UI) Progress(what string) *Progress {
	p := &Progress{u: u, what: what, last: time.Now()}
	if f, ok := Terminal(u.Err); ok && !u.JSON {
		p.p = mpb.New(mpb.WithOutput(f), mpb.WithWidth(50))
		p.bar = p.p.AddBar(0, mpb.PrependDecorators(decor.Name(what, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.AverageSpeed(decor.SizeB1000(0), " % .1f",
				decor.WCSyncSpace)))
	}
	return p
}

// Update is told how many bytes of how many are done.
func (p *Progress) Update(done, total int64) {
	switch {
	case p.bar != nil:
		p.bar.SetTotal(max(1, total), false)
		p.bar.SetCurrent(done)
	case !p.u.JSON && time.Since(p.last) >= Every:
		p.last = time.Now()
		fmt.Fprintf(p.u.Err, "%s: %s of %s\n", p.what, units.Bytes(done), units.Bytes(total))
	}
}

// Close ends the bar.
func (p *Progress) Close() {
	if p.bar != nil {
		p.bar.Abort(false)
		p.p.Wait()
	}
}

// Steps shows a work of several steps.
type Steps struct {
	UI     *UI
	Target string // what is worked on
	step   string
	cur    *Progress
}

// Update is told how far which step is.
func (s *Steps) Update(step string, done, total int64) {
	if s.cur == nil || step != s.step {
		s.Close()
		s.step, s.cur = step, s.UI.Progress(step+" "+s.Target)
	}
	s.cur.Update(done, total)
}

// Close ends the bar of the last step.
func (s *Steps) Close() {
	if s.cur != nil {
		s.cur.Close()
		s.cur = nil
	}
}
