package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/api"
	"github.com/diskcast/diskcast/server/model"
)

// watch follows a session to its end.
func (e *env) watch(ctx context.Context, c *api.Client, id string) error {
	var last *model.Session
	show := watcher(&lineWatcher{out: e.out})
	if e.json {
		show = jsonWatcher{e}
	} else if f, ok := terminal(e.out); ok {
		show = newBarWatcher(ctx, f)
	}
	err := c.Watch(ctx, id, func(l model.Line) error {
		if l.Session != nil {
			last = l.Session
		}
		return show.line(&l)
	}, func(err error) { e.warn(plain.Line(err.Error(), 0) + "; asking again") })
	show.close()
	if err != nil {
		return err
	}
	if !e.json {
		s, err := c.Session(ctx, id)
		if err != nil {
			return err
		}
		fmt.Fprintln(e.out)
		if err := e.showSession(s); err != nil {
			return err
		}
	}
	return sessionResult(last)
}

// watcher shows a session's lines.
type watcher interface {
	line(*model.Line) error
	close()
}

type jsonWatcher struct{ e *env }

func (w jsonWatcher) line(l *model.Line) error { return w.e.printJSON(l) }
func (w jsonWatcher) close()                   {}

// lineWatcher prints a line for each thing worth one: not on a terminal, nobody wants a bar.
type lineWatcher struct {
	out    io.Writer
	state  string
	warned warned
	told   map[string]time.Time
}

// progressEvery is how often a node's progress is worth a line.
const progressEvery = 5 * time.Second

func (w *lineWatcher) line(l *model.Line) error {
	var err error
	for _, words := range w.warned.news(l.Session) {
		if _, err := fmt.Fprintf(w.out, "%s session %s warning: %s\n", time.Now().Format("15:04:05.000"), l.Session.ID, words); err != nil {
			return err
		}
	}
	switch {
	case l.Event != nil:
		_, err = fmt.Fprintln(w.out, eventLine(l.Event))
	case l.Session != nil && l.Session.State != w.state:
		w.state = l.Session.State
		_, err = fmt.Fprintf(w.out, "%s session %s %s %s\n", time.Now().Format("15:04:05.000"), l.Session.ID, w.state, l.Session.Reason)
	case l.Node != nil && l.Node.Progress != nil && l.Node.State == model.Running:
		if w.told == nil {
			w.told = map[string]time.Time{}
		}
		if time.Since(w.told[l.Node.Node]) < progressEvery {
			return nil
		}
		w.told[l.Node.Node] = time.Now()
		_, err = fmt.Fprintf(w.out, "%s %s %-10s %s\n", time.Now().Format("15:04:05.000"), l.Node.Node, "progress", progressWords(l.Node.Progress))
	}
	return err
}

func (w *lineWatcher) close() {}

// warned remembers which warnings of a session were printed, by their first sentences, which hold no time that runs.
type warned map[string]bool

// news returns the session's warnings that were not printed before; those that are gone may come again.
func (w *warned) news(s *model.Session) []string {
	if s == nil {
		return nil
	}
	var out []string
	now := warned{}
	for _, words := range s.Warnings {
		first, _, _ := strings.Cut(words, ". ")
		if !(*w)[first] {
			out = append(out, words)
		}
		now[first] = true
	}
	*w = now
	return out
}

func progressWords(p *session.Progress) string {
	if p.ToRead > 0 {
		return fmt.Sprintf("read %s of %s, sent %s", bytesWords(p.Read), bytesWords(p.ToRead), bytesWords(p.Sent))
	}
	return fmt.Sprintf("received %s of %s, written %s of %s", bytesWords(p.Received), bytesWords(p.Needed), bytesWords(p.Written), bytesWords(p.ToWrite))
}

// barWatcher draws a bar a node; of a large lab only the first ones, and one for all.
type barWatcher struct {
	p     *mpb.Progress
	all   *mpb.Bar
	bars  map[string]*mpb.Bar
	parts map[string]*model.Part
	sess  *model.Session
	warned
}

const maxBars = 16

func newBarWatcher(ctx context.Context, out io.Writer) *barWatcher {
	w := &barWatcher{p: mpb.NewWithContext(ctx, mpb.WithOutput(out), mpb.WithWidth(50)), bars: map[string]*mpb.Bar{}, parts: map[string]*model.Part{}}
	w.all = w.p.AddBar(0, mpb.PrependDecorators(decor.Name("all", decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace)))
	return w
}

func (w *barWatcher) line(l *model.Line) error {
	switch {
	case l.Event != nil && (l.Event.Event.Level != session.Info):
		if _, err := fmt.Fprintln(w.p, eventLine(l.Event)); err != nil {
			return err
		}
	case l.Session != nil:
		if w.sess == nil || w.sess.State != l.Session.State {
			fmt.Fprintf(w.p, "session %s %s %s\n", l.Session.ID, l.Session.State, l.Session.Reason)
		}
		for _, words := range w.news(l.Session) {
			fmt.Fprintf(w.p, "session %s warning: %s\n", l.Session.ID, words)
		}
		w.sess = l.Session
	case l.Node != nil:
		w.node(l.Node)
	}
	return nil
}

func (w *barWatcher) node(p *model.Part) {
	if old := w.parts[p.Node]; old != nil && old.State != p.State && p.State == model.Done {
		but := ""
		if p.Unbootable != "" {
			but = ", and will not start by itself"
		}
		fmt.Fprintf(w.p, "%s done%s\n", p.Node, but)
	}
	w.parts[p.Node] = p
	bar := w.bars[p.Node]
	if bar == nil && len(w.bars) < maxBars {
		bar = w.p.AddBar(0, mpb.PrependDecorators(decor.Name(p.Node, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.AverageSpeed(decor.SizeB1000(0), " % .1f", decor.WCSyncSpace)))
		w.bars[p.Node] = bar
	}
	if bar != nil && p.Progress != nil {
		bar.SetTotal(max(1, p.Progress.ToWrite+p.Progress.ToRead), false) // one of the two
		bar.SetCurrent(p.Progress.Written + p.Progress.Read)
	}
	var done, total int64
	for _, q := range w.parts {
		if q.Progress != nil {
			done += q.Progress.Written + q.Progress.Read
			total += q.Progress.ToWrite + q.Progress.ToRead
		}
	}
	w.all.SetTotal(max(1, total), false)
	w.all.SetCurrent(done)
}

func (w *barWatcher) close() {
	for _, b := range w.bars {
		b.Abort(false)
	}
	w.all.Abort(false)
	w.p.Wait()
}
