package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

// watch follows a session to its end.
func (e *env) watch(ctx context.Context, c *client.Client, id string) error {
	var last *doc.Session
	lines := newLineWatcher(e.Out)
	lines.once = true
	show := watcher(lines)
	if e.Form == ui.FormName { // what comes of it is the exit code's to say
		if err := e.Doc(id); err != nil {
			return err
		}
		show = jsonWatcher{&env{UI: ui.UI{Out: io.Discard}}}
	} else if e.JSON {
		show = jsonWatcher{e}
	} else if f, ok := ui.Terminal(e.Out); ok {
		show = newBarWatcher(ctx, f)
	}
	err := c.Watch(ctx, id, func(l doc.Line) error {
		if l.Session != nil {
			last = l.Session
		}
		return show.line(&l)
	}, func(err error) { e.Warn(plain.Line(err.Error(), 0) + "; asking again") })
	show.close()
	if err != nil {
		return err
	}
	if !e.JSON {
		s, err := c.Session(ctx, id)
		if err != nil {
			return err
		}
		fmt.Fprintln(e.Out)
		if s.Over() {
			s.Reason = reasonBelow(s)
		}
		if err := e.showSession(s); err != nil {
			return err
		}
	}
	return sessionResult(last)
}

// reasonBelow stands in the place of the reason of a session that was watched to its end: the command ends with that,
// and nobody wants to read it twice.
func reasonBelow(s *doc.Session) string {
	if s.Reason == "" || s.State == doc.Done {
		return s.Reason
	}
	return "below"
}

// watcher shows a session's lines.
type watcher interface {
	line(*doc.Line) error
	close()
}

type jsonWatcher struct{ e *env }

func (w jsonWatcher) line(l *doc.Line) error { return w.e.Doc(l) }
func (w jsonWatcher) close()                 {}

// lineWatcher prints a line for each thing worth one: not on a terminal, nobody wants a bar.
type lineWatcher struct {
	out    io.Writer
	once   bool                 // the reason of a session's end is told by who watches, not here
	state  map[string]string    // of sessions, and what of machines is told, by id
	warned map[string]*warned   // by session
	told   map[string]time.Time // progress, by session and machine
}

func newLineWatcher(out io.Writer) *lineWatcher {
	return &lineWatcher{out: out, state: map[string]string{}, warned: map[string]*warned{},
		told: map[string]time.Time{}}
}

func (w *lineWatcher) line(l *doc.Line) error {
	switch {
	case l.Type == doc.LineLost:
		return w.print("events were lost here; what follows is how things are now")
	case l.Gone != "":
		return w.print("%s %s is forgotten", l.Type, l.Gone)
	case l.Event != nil:
		_, err := fmt.Fprintln(w.out, eventLine(l.Event))
		return err
	case l.Session != nil:
		return w.session(l.Session)
	case l.Sighting != nil:
		return w.sighting(l.Sighting)
	case l.Job != nil:
		return w.job(l.Job)
	case l.Repeat != nil:
		return w.repeat(l.Repeat)
	case l.Node != nil && l.Node.Life != nil && l.Node.Life.Sign != "" &&
		l.Node.Alive != w.state["alive "+l.Node.Session+"/"+l.Node.Node]:
		w.state["alive "+l.Node.Session+"/"+l.Node.Node] = l.Node.Alive
		return w.print("%s %s", l.Node.Node, l.Node.Alive)
	case l.Node != nil && l.Node.Progress != nil && l.Node.State == doc.Running:
		key := l.Node.Session + "/" + l.Node.Node
		if time.Since(w.told[key]) < ui.Every {
			return nil
		}
		w.told[key] = time.Now()
		return w.print("%s %-10s %s; %s", l.Node.Node, "progress", progressWords(l.Node.Progress), paceWords(l.Node))
	}
	return nil
}

// print prints a line with the time.
func (w *lineWatcher) print(format string, args ...any) error {
	_, err := fmt.Fprintf(w.out, "%s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
	return err
}

func (w *lineWatcher) session(s *doc.Session) error {
	if w.warned[s.ID] == nil {
		w.warned[s.ID] = &warned{}
	}
	for _, words := range w.warned[s.ID].news(s) {
		if err := w.print("session %s warning: %s", s.ID, words); err != nil {
			return err
		}
	}
	is := s.State + s.Waits
	if is == w.state[s.ID] {
		return nil
	}
	w.state[s.ID] = is
	words := s.Reason
	if w.once && s.Over() && s.State != doc.Done {
		words = ""
	}
	if s.Waits != "" {
		words = "waits for " + s.Waits
	}
	return w.print("session %s %s %s", s.ID, s.State, words)
}

// job tells what becomes of long work on images, not how far it is.
func (w *lineWatcher) job(j *doc.Job) error {
	if j.State == w.state["job "+j.ID] {
		return nil
	}
	w.state["job "+j.ID] = j.State
	return w.print("job %s %s %s %s %s", j.ID, j.Spec.Kind, cmp.Or(j.Spec.Image, j.Spec.Name), j.State, j.Error)
}

// repeat tells what came of the last time of a repeating session.
func (w *lineWatcher) repeat(r *doc.Repeat) error {
	words := "next at " + clockTime(r.Next)
	if n := len(r.Runs); n > 0 {
		words = runWords(&r.Runs[n-1]) + ", " + words
	}
	if words == w.state["repeat "+r.ID] {
		return nil
	}
	w.state["repeat "+r.ID] = words
	return w.print("repeat %s %s", r.ID, words)
}

// sighting tells where a machine is, when that has changed, and what is wrong with it.
func (w *lineWatcher) sighting(n *doc.Node) error {
	words := n.Where
	if n.Session != "" {
		words += ", session " + n.Session
	}
	if n.Waits != "" && n.Session == "" { // else the session's own line says it
		words += ", waits for " + n.Waits
	}
	if n.Problem != "" {
		words += ", problem: " + n.Problem
	}
	for _, odd := range n.Warnings {
		words += ", warning: " + odd
	}
	if words == w.state[n.ID] {
		return nil
	}
	w.state[n.ID] = words
	return w.print("%s %s", strings.TrimSpace(n.ID+" "+n.Name), words)
}

func (w *lineWatcher) close() {}

// warned remembers which warnings of a session were printed, by their first sentences, which hold no time that runs.
type warned map[string]bool

// news returns the session's warnings that were not printed before; those that are gone may come again.
func (w *warned) news(s *doc.Session) []string {
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
		return fmt.Sprintf("read %s of %s, sent %s", units.Bytes(p.Read), units.Bytes(p.ToRead), units.Bytes(p.Sent))
	}
	return fmt.Sprintf("received %s of %s, written %s of %s", units.Bytes(p.Received), units.Bytes(p.Needed),
		units.Bytes(p.Written), units.Bytes(p.ToWrite))
}

// barWatcher draws a bar a node; of a large lab only the first ones, and one for all.
type barWatcher struct {
	p     *mpb.Progress
	all   *mpb.Bar
	bars  map[string]*mpb.Bar
	parts map[string]*doc.Part
	mu    sync.Mutex // of parts, which bars read
	sess  *doc.Session
	warned
}

// now is what a node does, for its bar.
func (w *barWatcher) now(node string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return paceWords(w.parts[node])
}

const maxBars = 16

func newBarWatcher(ctx context.Context, out io.Writer) *barWatcher {
	w := &barWatcher{p: mpb.NewWithContext(ctx, mpb.WithOutput(out), mpb.WithWidth(50)), bars: map[string]*mpb.Bar{},
		parts: map[string]*doc.Part{}}
	w.all = w.p.AddBar(0, mpb.PrependDecorators(decor.Name("all", decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace)))
	return w
}

func (w *barWatcher) line(l *doc.Line) error {
	switch {
	case l.Type == doc.LineLost:
		if _, err := fmt.Fprintln(w.p, "events were lost here; what follows is how things are now"); err != nil {
			return err
		}
	case l.Event != nil && (l.Event.Event.Level != session.Info):
		if _, err := fmt.Fprintln(w.p, eventLine(l.Event)); err != nil {
			return err
		}
	case l.Session != nil:
		if s := l.Session; w.sess == nil || w.sess.State != s.State || w.sess.Waits != s.Waits {
			words := ""
			if s.Waits != "" {
				words = "waits for " + s.Waits
			}
			// its reason stands in what is shown at the end
			fmt.Fprintf(w.p, "session %s %s %s\n", s.ID, s.State, words)
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

func (w *barWatcher) node(p *doc.Part) {
	if old := w.parts[p.Node]; old != nil && old.State != p.State && p.State == doc.Done {
		but := ""
		if p.Unbootable != "" {
			but = ", and will not start by itself"
		}
		fmt.Fprintf(w.p, "%s done%s\n", cmp.Or(p.Name, p.Node), but)
	}
	w.mu.Lock()
	w.parts[p.Node] = p
	w.mu.Unlock()
	bar := w.bars[p.Node]
	if bar == nil && len(w.bars) < maxBars {
		node := p.Node
		bar = w.p.AddBar(0, mpb.PrependDecorators(decor.Name(cmp.Or(p.Name, node), decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace),
				decor.Any(func(decor.Statistics) string { return w.now(node) }, decor.WCSyncSpaceR)))
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
