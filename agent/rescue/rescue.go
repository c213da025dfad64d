// Package rescue is the action "rescue": a shell on the node's consoles, and by SSH for those whose key the session
// names, until the session is cancelled, its time is over, or the last shell is left. It opens no disk by itself.
package rescue

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
)

// Reporter takes the events.
type Reporter interface {
	Step(step, level, message string, p *session.Progress)
	Result(step, level, message string, result json.RawMessage)
}

// Options of a rescue.
type Options struct {
	Report   Reporter
	Shell    string   // program; it takes -c LINE
	Home     string   // where it starts
	Dev      string   // folder of the consoles, /dev
	Consoles []string // names of the consoles that get a shell
	// Listen opens the port of SSH; it is asked only where there are keys.
	Listen func() (net.Listener, error)
	// Addr is the node's address for the operator; one that is not valid is the listener's.
	Addr func() netip.Addr
	Log  *slog.Logger

	said said
}

// said is what is said on a console.
type said struct {
	hello string // before its shell
	over  string // once that is over
}

// Action is the node's action "rescue". What is asked for is the descriptor's Job.
func Action(o Options) node.Action {
	return func(d *session.Descriptor) node.Job { return &job{o, d} }
}

// job is a rescue under way.
type job struct {
	o Options
	d *session.Descriptor
}

// Takes goes on with a descriptor of the same session, which asks for nothing new.
func (j *job) Takes(nd *session.Descriptor, _ bool) bool {
	return nd.Action == j.d.Action && nd.Session == j.d.Session
}

// Unfinished is said when the job was replaced.
func (j *job) Unfinished() string { return "the rescue shell is closed" }

// Leave leaves as the session asks.
func (j *job) Leave(ctx context.Context, exit *node.Exit) { exit.AsAsked(ctx, j.d.Boot) }

// Run opens the shell and waits for its end.
func (j *job) Run(ctx context.Context) error {
	spec, err := rescue.ParseSpec(j.d.Job)
	if err != nil {
		return err
	}
	if err := j.o.reach(&spec, "--key"); err != nil {
		return err
	}
	o := j.o
	o.said = said{"a rescue shell. Nothing is written to a disk unless you do it. It ends with exit, or after " +
		spec.Time().String() + ".", "the rescue session is over."}
	return o.open(ctx, &spec)
}

// reach says why nobody could come in; the flag names a key.
func (o *Options) reach(spec *rescue.Spec, flag string) error {
	if len(o.Consoles)+len(spec.Keys) > 0 {
		return nil
	}
	return fmt.Errorf("a shell could be reached by nobody: this node gives none on a console, and the session names "+
		"no key that may come in by SSH; name one with %s", flag)
}

// open opens the shell and waits for its end.
func (o Options) open(ctx context.Context, spec *rescue.Spec) error {
	limit := spec.Time()
	inside, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait() // after cancel: nobody is in any more when the job is over
	defer cancel()
	g := &guests{ended: make(chan string, 1)}
	opened := rescue.Opened{Consoles: o.Consoles}
	var ways []string
	if len(o.Consoles) > 0 {
		ways = append(ways, "on "+strings.Join(o.Consoles, ", "))
	}
	if len(spec.Keys) > 0 {
		s, err := newServer(o, spec.Keys, g)
		if err != nil {
			return err
		}
		l, err := o.Listen()
		if err != nil {
			return fmt.Errorf("SSH: %w", err)
		}
		opened.HostKey = s.hostKey()
		opened.Addr = where(l, o.Addr)
		ways = append(ways, fmt.Sprintf("by %s with the host key %s", opened.Command(), opened.Fingerprint()))
		all.Go(func() { s.serve(inside, l) }) // ends with inside
	}
	result, err := json.Marshal(&opened)
	if err != nil {
		return err
	}
	o.Report.Result(rescue.StepOpen, session.Info,
		"a shell "+strings.Join(ways, ", and ")+", until exit, or "+limit.String(), result)
	for _, name := range o.Consoles {
		all.Go(func() { o.onConsole(inside, name, g) }) // ends with inside, or when it is left
	}
	over := time.NewTimer(limit)
	defer over.Stop()
	why := ""
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-over.C:
		why = "its time of " + limit.String() + " is over"
	case why = <-g.ended:
	}
	cancel()
	all.Wait()
	o.Report.Step(rescue.StepClosed, session.Info, why, nil)
	return nil
}

// where is the address that the operator connects to.
func where(l net.Listener, addr func() netip.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	if a := addr(); a.IsValid() {
		return netip.AddrPortFrom(a, ap.Port())
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// guests are those with a shell by SSH. The last shell that is left, there or on a console, ends the rescue; a
// connection that breaks ends nothing.
type guests struct {
	mu    sync.Mutex
	in    int
	ended chan string // has room for the first word
}

func (g *guests) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in++
}

func (g *guests) gone() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in--
}

// left is told that somebody who does not count as in any more has left a shell. It reports whether that was the end.
func (g *guests) left(words string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in > 0 {
		return false
	}
	select {
	case g.ended <- words:
	default: // it has ended already
	}
	return true
}
