package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/identity"
)

// phase is what a part of the load measured.
type phase struct {
	Name    string
	Seconds float64 // of the clock
	CPU     float64 // seconds of a processor that the server took
	Now     int64   // bytes of the server's memory at its end
	Most    int64   // up to its end
	Asked   int     // requests
	P50     float64 // seconds
	P99     float64
	Max     float64
	Note    string
}

// load is what is asked of the server.
type load struct {
	server, pin, token string
	pid                int
	machines, known    int
	late               int // that come when the others have ended
	watchers           int
	seconds            time.Duration
	profile            string     // directory
	first              netip.Addr // of the addresses that the machines come from
	addresses          int

	operator *machine
	all      []*machine
	phases   []phase
}

func childLoad(ctx context.Context, args []string, out io.Writer) error {
	l := &load{}
	f := flag.NewFlagSet("child-load", flag.ContinueOnError)
	f.StringVar(&l.server, "server", "", "")
	f.StringVar(&l.pin, "pin", "", "")
	f.StringVar(&l.token, "token", "", "")
	f.IntVar(&l.pid, "pid", 0, "")
	f.IntVar(&l.machines, "machines", 0, "")
	f.IntVar(&l.known, "known", 0, "")
	f.IntVar(&l.late, "late", 0, "")
	f.IntVar(&l.watchers, "watchers", 0, "")
	f.DurationVar(&l.seconds, "for", 0, "")
	f.StringVar(&l.profile, "profile", "", "")
	first := f.String("first", "", "")
	f.IntVar(&l.addresses, "addresses", 1, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	var err error
	if l.first, err = netip.ParseAddr(*first); err != nil {
		return err
	}
	if err := l.run(ctx); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(l.phases)
}

// client is one that keeps its connections, from an address.
func (l *load) client(from netip.Addr) *http.Client {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	config := identity.PinnedTLS(l.pin)
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000, IdleConnTimeout: time.Minute,
		DisableCompression: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSClientConfig: config, DialContext: d.DialContext, ReadBufferSize: 2048, WriteBufferSize: 2048}}
}

// measure runs a part of the load, and notes what it took.
func (l *load) measure(name string, t *times, f func() (note string, err error)) error {
	before, err := usedBy(l.pid)
	if err != nil {
		return err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- l.profiled(context.Background(), name) }() // ends after profileFor
	still, began := bench.Watch(), time.Now()
	note, err := f()
	took := time.Since(began)
	if perr := <-profiled; err == nil {
		err = perr
	}
	if n := again.Swap(0); n > 0 {
		note += fmt.Sprintf("; %d requests made anew, their connection was lost", n)
	}
	if stood := still.Stood(); stood > 0 {
		note += fmt.Sprintf("; the machine stood still for %v", stood.Round(time.Millisecond))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	after, err := usedBy(l.pid)
	if err != nil {
		return err
	}
	p := phase{Name: name, Seconds: took.Seconds(), CPU: after.CPU - before.CPU, Now: after.Now, Most: after.Most,
		Note: note}
	p.Asked, p.P50, p.P99, p.Max = t.summary()
	l.phases = append(l.phases, p)
	return nil
}

func (l *load) run(ctx context.Context) error {
	froms := make([]*http.Client, l.addresses)
	for i, a := 0, l.first; i < l.addresses; i, a = i+1, a.Next() {
		froms[i] = l.client(a)
	}
	for n := range l.known + l.late {
		l.all = append(l.all, &machine{n: n, http: froms[n%l.addresses], server: l.server,
			boot: fmt.Sprintf("boot-%d-%d", n, rand.Uint32())})
	}
	operator := &machine{n: -1, http: froms[0], server: l.server}
	l.operator = operator
	operator.reply.Token = l.token
	if err := l.hello(ctx, "hello", l.all[:l.known]); err != nil {
		return err
	}
	for _, c := range froms {
		c.CloseIdleConnections()
	}
	if err := l.work(ctx, operator, names(l.all[:l.machines])); err != nil || l.late == 0 {
		return err
	}
	return l.hello(ctx, "late", l.all[l.known:])
}

func names(all []*machine) []string {
	list := make([]string, len(all))
	for i, m := range all {
		list[i] = nodeName(m.n)
	}
	return list
}

// hello has machines come for the first time, in a session that names them: what no session names may come only slowly.
func (l *load) hello(ctx context.Context, phase string, all []*machine) error {
	id, err := l.operator.start(ctx, names(all))
	if err != nil {
		return err
	}
	var hellos times
	if err := l.measure(phase, &hellos, func() (string, error) {
		return fmt.Sprintf("%d machines say hello, 64 at once", len(all)), l.crowd(ctx, all, 64,
			func(m *machine) error {
				took, err := m.hello(ctx)
				hellos.add(took)
				return err
			})
	}); err != nil {
		return err
	}
	_, _, err = l.operator.ask(ctx, "POST", "/v1/sessions/"+id+"/cancel", nil, http.StatusOK)
	return err
}

// start makes a session of the machines.
func (m *machine) start(ctx context.Context, nodes []string) (id string, err error) {
	b, _, err := m.ask(ctx, "POST", "/v1/sessions", map[string]any{"v": 1, "image": "debian", "nodes": nodes,
		"target": map[string]any{"path": "/dev/sda"}, "max_wait": 3600}, http.StatusCreated)
	if err != nil {
		return "", err
	}
	var s struct {
		ID string `json:"id"`
	}
	return s.ID, json.Unmarshal(b, &s)
}

// crowd has machines do something, so many at once.
func (l *load) crowd(ctx context.Context, all []*machine, atOnce int, f func(*machine) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, m := range all {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(m)
		})
	}
	return g.Wait()
}

// work has the machines wait for a session, be given it, report each second, and end.
func (l *load) work(ctx context.Context, operator *machine, nodes []string) error {
	working := l.all[:l.machines]
	if err := l.crowd(ctx, working, 64, func(m *machine) error {
		_, _, err := m.poll(ctx, 0) // what the session before left: nothing to do
		return err
	}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var lines, bytes atomic.Int64
	watching, wctx := errgroup.WithContext(ctx)
	var begun times
	if err := l.measure("follow", &begun, func() (string, error) {
		for range l.watchers {
			before, there := time.Now(), make(chan struct{})
			watching.Go(func() error { return operator.watch(wctx, there, &lines, &bytes) }) // ends with stop
			select {
			case <-there:
				begun.add(time.Since(before))
			case <-wctx.Done():
				return "", watching.Wait()
			}
		}
		return fmt.Sprintf("%d watchers, one after another: %d lines, %.0f MB", l.watchers, lines.Load(),
			float64(bytes.Load())/1e6), nil
	}); err != nil {
		return err
	}
	var polls, news, reports times
	var got sync.WaitGroup
	got.Add(len(working))
	var start time.Time
	loops, lctx := errgroup.WithContext(ctx)
	for _, m := range working {
		loops.Go(func() error { // ends with stop: as an agent does, one request after another
			told := false
			for {
				if _, _, err := m.poll(lctx, 30*time.Second); err != nil {
					if ctx.Err() != nil {
						return nil
					}
					return err
				}
				if m.task != nil && m.task.Action == "restore" && !told {
					told = true
					news.add(time.Since(start))
					got.Done()
				}
			}
		})
	}
	if err := l.measure("wait", &times{}, func() (string, error) {
		select {
		case <-lctx.Done():
			return "", loops.Wait()
		case <-time.After(l.seconds / 3):
			return "all ask and wait for work", nil
		}
	}); err != nil {
		return err
	}
	if err := l.measure("start", &news, func() (string, error) {
		start = time.Now()
		if _, err := operator.start(ctx, nodes); err != nil {
			return "", err
		}
		all := make(chan struct{})
		go func() { got.Wait(); close(all) }() // ends with the last, or with the bench
		select {
		case <-lctx.Done():
			return "", loops.Wait()
		case <-all:
			return "from the operator's request to each machine's descriptor", nil
		}
	}); err != nil {
		return err
	}
	if err := l.measure("begin", &times{}, func() (string, error) {
		return "each chooses its disk and tells two steps, stored before they are answered",
			l.crowd(ctx, working, len(working), func(m *machine) error { return m.begin(ctx) })
	}); err != nil {
		return err
	}
	if err := l.measure("catch up", &times{}, func() (string, error) {
		return "until the watchers have been told all of it", caughtUp(ctx, l.watchers, &lines)
	}); err != nil {
		return err
	}
	lines.Store(0)
	bytes.Store(0)
	if err := l.measure("poll", &polls, func() (string, error) {
		until := time.Now().Add(l.seconds)
		err := l.crowd(ctx, working, len(working), func(m *machine) error {
			return l.report(ctx, m, until, &polls, &reports)
		})
		n, _, p99, _ := reports.summary()
		return fmt.Sprintf("beside %d reports (p99 %.0f ms) and %d watchers who got %d lines, %.0f MB", n, 1000*p99,
			l.watchers, lines.Load(), float64(bytes.Load())/1e6), err
	}); err != nil {
		return err
	}
	p := l.phases[len(l.phases)-1]
	reported := p
	reported.Name, reported.Note, reported.CPU = "report", "the same time", 0
	reported.Asked, reported.P50, reported.P99, reported.Max = reports.summary()
	l.phases = append(l.phases, reported)
	var ends times
	if err := l.measure("end", &ends, func() (string, error) {
		return "each tells its last three steps, stored before they are answered",
			l.crowd(ctx, working, 256, func(m *machine) error {
				m.at = 1000
				for _, step := range []string{session.StepLastByte, session.StepWritten, session.StepBoot} {
					took, err := m.say(ctx, step)
					if err != nil {
						return err
					}
					ends.add(took)
				}
				return nil
			})
	}); err != nil {
		return err
	}
	stop()
	if err := loops.Wait(); err != nil {
		return err
	}
	return watching.Wait()
}

// profileFor is how much of a phase is profiled, in seconds.
const profileFor = 4

// profiled keeps Go's profile of the server while a phase begins, where that is asked for.
func (l *load) profiled(ctx context.Context, name string) error {
	if l.profile == "" {
		return nil
	}
	for file, what := range map[string]string{name: fmt.Sprintf("profile?seconds=%d", profileFor),
		name + ".heap": "heap", name + ".goroutines": "goroutine?debug=1"} {
		b, _, err := l.operator.ask(ctx, "GET", "/debug/pprof/"+what, nil, http.StatusOK)
		if err == nil {
			err = os.WriteFile(filepath.Join(l.profile, file), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// caughtUp waits until watchers are told next to nothing.
func caughtUp(ctx context.Context, watchers int, lines *atomic.Int64) error {
	look := time.NewTicker(6 * time.Second) // longer than the longest pause between two groups of lines
	defer look.Stop()
	for before := lines.Load(); ; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now := lines.Load()
		if now-before <= int64(watchers)*20 {
			return nil
		}
		before = now
	}
}

// askEvery is how often a machine asks beside its request that waits, to see how long that takes.
const askEvery = 10 * time.Second

// report tells progress as often as the server wants, and asks in between.
func (l *load) report(ctx context.Context, m *machine, until time.Time, polls, reports *times) error {
	between := m.every()
	tick := time.NewTicker(between)
	defer tick.Stop()
	first := time.NewTimer(rand.N(between)) // they are not in step
	defer first.Stop()
	select {
	case <-first.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	tick.Reset(between)
	for asked := time.Now().Add(-rand.N(askEvery)); time.Now().Before(until); {
		m.at += 10
		took, err := m.say(ctx, session.StepProgress)
		if err != nil {
			return err
		}
		reports.add(took)
		if time.Since(asked) >= askEvery { // beside its waiting one
			asked = time.Now()
			_, took, err := m.ask(ctx, "GET", fmt.Sprintf("/v1/node/%s/descriptor?after=%d&wait=0s", m.reply.Node,
				1<<40), nil, http.StatusNoContent)
			if err != nil {
				return err
			}
			polls.add(took)
		}
		if every := m.every(); every != between {
			between = every
			tick.Reset(every)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// watch follows all that happens, as `diskcast watch` does, and tells there when it knows the state that is.
func (m *machine) watch(ctx context.Context, there chan<- struct{}, lines, size *atomic.Int64) error {
	r, err := http.NewRequestWithContext(ctx, "GET", m.server+"/v1/events", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+m.reply.Token)
	a, err := m.http.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("a watcher is refused: %d", a.StatusCode)
	}
	in := bufio.NewReaderSize(a.Body, 64<<10)
	live := []byte(`{"type":"live"`)
	for known := false; ; {
		b, err := in.ReadSlice('\n')
		size.Add(int64(len(b)))
		if !known && bytes.HasPrefix(b, live) {
			known = true
			close(there)
		}
		if bytes.HasSuffix(b, []byte("\n")) {
			lines.Add(1)
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case ctx.Err() != nil:
			return nil
		default:
			return fmt.Errorf("a watcher's stream ended: %w", err)
		}
	}
}
