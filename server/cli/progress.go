package cli

import (
	"fmt"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows how far a long work is: a bar on a terminal, now and then a line elsewhere, nothing with --json.
type progress struct {
	e    *env
	what string
	p    *mpb.Progress
	bar  *mpb.Bar
	last time.Time
}

func (e *env) progress(what string) *progress {
	p := &progress{e: e, what: what, last: time.Now()}
	if f, ok := terminal(e.err); ok && !e.json {
		p.p = mpb.New(mpb.WithOutput(f), mpb.WithWidth(50))
		p.bar = p.p.AddBar(0, mpb.PrependDecorators(decor.Name(what, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.AverageSpeed(decor.SizeB1000(0), " % .1f", decor.WCSyncSpace)))
	}
	return p
}

func (p *progress) update(done, total int64) {
	switch {
	case p.bar != nil:
		p.bar.SetTotal(max(1, total), false)
		p.bar.SetCurrent(done)
	case !p.e.json && time.Since(p.last) >= progressEvery:
		p.last = time.Now()
		fmt.Fprintf(p.e.err, "%s: %s of %s\n", p.what, bytesWords(done), bytesWords(total))
	}
}

func (p *progress) close() {
	if p.bar != nil {
		p.bar.Abort(false)
		p.p.Wait()
	}
}

// stepBars shows a work of several steps.
type stepBars struct {
	e      *env
	target string
	step   string
	cur    *progress
}

func (s *stepBars) update(step string, done, total int64) {
	if s.cur == nil || step != s.step {
		s.close()
		s.step, s.cur = step, s.e.progress(step+" "+s.target)
	}
	s.cur.update(done, total)
}

func (s *stepBars) close() {
	if s.cur != nil {
		s.cur.close()
		s.cur = nil
	}
}
