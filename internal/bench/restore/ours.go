package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// Cases, and ourselves in them.
const (
	plain    = "1 Gbit"
	lossy    = "1 Gbit, 1 % loss at one"
	ours     = "diskcast"
	oursBack = "diskcast --verify"
)

// sample is one measured session.
type sample struct {
	seconds      float64 // from its start until the last disk was written and flushed, or read back
	create       float64 // from the operator's command to the start
	received     float64 // from the start until the last node had everything
	send, recv   float64 // CPU
	rss          int64
	wire         int64
	cast, direct int64 // object bytes that the server sent by multicast, repair included, and by HTTP
}

// ours measures sessions of our own programs.
func (b *suite) ours(name, who string, loss int, verify bool) error {
	if !b.only.MatchString(name + " " + who) {
		return nil
	}
	var seconds []float64
	var create []float64
	var all []sample
	for range b.runs {
		s, err := b.steady(who, func() (sample, error) { return b.session(loss, verify) })
		if err != nil {
			return err
		}
		fmt.Fprintf(b.log, "%s: %s: %.2f s, received after %.2f s; CPU seconds: server %.2f, node %.2f\n", name, who,
			s.seconds, s.received, s.send, s.recv)
		seconds, create, all = append(seconds, s.seconds), append(create, s.create), append(all, s)
	}
	r := bench.Row{Case: name, Who: who, Seconds: bench.SpreadOf(seconds...)}
	r.MBps = float64(b.used) / 1e6 / r.Seconds.Median
	for _, s := range all {
		r.RSS = max(r.RSS, s.rss)
	}
	s := middle(all, r.Seconds.Median)
	r.BytesSent, r.CPU.Send, r.CPU.Recv = s.wire, s.send, s.recv
	r.Note = fmt.Sprintf("sent %.3f of the image, %.1f MB by HTTP",
		float64(s.cast+s.direct)/float64(b.image.ObjectSize()), float64(s.direct)/1e6)
	if name == plain && who == ours {
		b.sent, b.overhead = s.cast+s.direct, bench.SpreadOf(create...).Median
	}
	b.report.Rows = append(b.report.Rows, r)
	return nil
}

// middle is the run whose time is nearest to the median: its other figures go with it.
func middle(all []sample, median float64) sample {
	return slices.MinFunc(all,
		func(a, b sample) int { return cmp.Compare(math.Abs(a.seconds-median), math.Abs(b.seconds-median)) })
}

// session is one session from beginning to end, with a server and nodes that know nothing of an earlier one.
func (b *suite) session(loss int, verify bool) (s sample, err error) {
	l, err := b.lab()
	if err != nil {
		return s, err
	}
	defer l.Close()
	if err := errors.Join(l.Lose(1, loss), os.RemoveAll(b.path("state"))); err != nil {
		return s, err
	}
	server, words, err := b.serve(l)
	if err != nil {
		return s, err
	}
	defer server.Stop()
	var agents []*bench.Child
	defer func() {
		for _, a := range agents {
			a.Stop()
		}
	}()
	for i := range nodes {
		a, err := b.agent(l, i, words)
		if err != nil {
			return s, err
		}
		agents = append(agents, a)
	}
	before, err := b.wire(l)
	if err != nil {
		return s, err
	}
	args := []string{b.program("diskcast"), "session", "create", "--state", b.path("state"), "--image", "disk",
		"--nodes", fmt.Sprint(nodes),
		"--min-nodes", fmt.Sprint(nodes), "--mode", session.Full, "--boot", session.BootStay, "--watch", "--verify=" +
			fmt.Sprint(verify)}
	asked := time.Now()
	if _, err := b.output(l.Node(0), args...); err != nil {
		return s, err
	}
	after, err := b.wire(l)
	if err != nil {
		return s, err
	}
	s.wire = after - before
	if err := b.account(l, asked, verify, &s); err != nil {
		return s, err
	}
	server.Stop()
	s.send = server.CPU()
	for _, a := range agents {
		a.Stop()
		s.recv, s.rss = max(s.recv, a.CPU()), max(s.rss, a.RSS())
	}
	return s, b.check()
}

// serve starts the server on node 0. The words are the kernel command line that tells a node of it.
func (b *suite) serve(l *netlab.Lab) (server *bench.Child, words string, err error) {
	rd, wr := io.Pipe()
	server, err = b.startTo(wr, l.Node(0), b.program("diskcast"), "serve", "--json", "--state", b.path("state"),
		"--store", b.store(), "--interface", "eth0",
		"--dhcp", "off", "--tftp=false")
	if err != nil {
		return nil, "", err
	}
	var info struct{ Server, Pin string }
	if err := json.NewDecoder(rd).Decode(&info); err != nil {
		server.Stop()
		return nil, "", fmt.Errorf("the server does not start: %w: %s", err, server.Words())
	}
	go func() { _, _ = io.Copy(io.Discard, rd) }() // ends with the server
	return server, fmt.Sprintf("diskcast.server=%s diskcast.pin=%s", info.Server, info.Pin), nil
}

// agent starts the agent on a node and waits until the server knows it.
func (b *suite) agent(l *netlab.Lab, i int, words string) (*bench.Child, error) {
	cmdline := b.path("cmdline")
	if err := os.WriteFile(cmdline, []byte(words+"\n"), 0o600); err != nil {
		return nil, err
	}
	rd, wr := io.Pipe()
	p, err := b.startTo(wr, l.Node(i+1), b.program("agent"), "-no-network", "-no-boot", "-site", b.path("site.json"),
		"-cmdline", cmdline, "-disk", b.target(i))
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(rd)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "] agent: node ") {
			go func() { _, _ = io.Copy(io.Discard, rd) }() // ends with the agent
			return p, nil
		}
	}
	p.Stop()
	return nil, fmt.Errorf("agent: %w: %s", lines.Err(), p.Words())
}

// account reads off the server's timeline.
func (b *suite) account(l *netlab.Lab, asked time.Time, verify bool, s *sample) error {
	out, err := b.output(l.Node(0), b.program("diskcast"), "session", "show", "s1", "--json", "--state",
		b.path("state"))
	if err != nil {
		return err
	}
	var v struct {
		State   string
		Started time.Time
		Cast    struct{ Stats struct{ Sent int64 } }
		Parts   []struct {
			Steps    map[string]struct{ Time time.Time }
			Progress session.Progress
		}
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return err
	}
	if v.State != "done" || len(v.Parts) != nodes {
		return fmt.Errorf("the session is %s: %s", v.State, out)
	}
	last := session.StepWritten
	if verify {
		last = session.StepVerified
	}
	for _, p := range v.Parts {
		if p.Steps[last].Time.IsZero() {
			return fmt.Errorf("a node did not report %q: %s", last, out)
		}
		s.seconds = max(s.seconds, p.Steps[last].Time.Sub(v.Started).Seconds())
		s.received = max(s.received, p.Steps[session.StepLastByte].Time.Sub(v.Started).Seconds())
		s.direct += p.Progress.Unicast
	}
	s.create, s.cast = v.Started.Sub(asked).Seconds(), v.Cast.Stats.Sent
	return nil
}
