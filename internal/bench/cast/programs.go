package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// sample is one measured run.
type sample struct {
	seconds  float64 // from the sender's start to the last receiver's end
	send     float64 // CPU seconds
	recv     float64 // of the receiver that took most
	rss      int64
	sent     sendResult
	received [][]recvResult // by receiver
	each     []float64      // seconds of each receiver
}

// A program moves the object from node 0 to the nodes from 1 on.
type program struct {
	name string
	run  func(b *suite, l *netlab.Lab, receivers int, file bool, extra ...string) (sample, error)
}

const limit = 2 * time.Minute

func (b *suite) target(i int, file bool) string {
	if !file {
		return os.DevNull
	}
	return filepath.Join(b.to.dir, fmt.Sprintf("out%d", i))
}

// measure starts the receivers, then the sender, and waits for all.
func (b *suite) measure(l *netlab.Lab, receivers []*bench.Child, send []string) (sample, *bench.Child, error) {
	var s sample
	start := time.Now()
	p, err := b.start(l.Node(0), send...)
	if err != nil {
		return s, nil, err
	}
	for _, r := range receivers {
		if err := r.Wait(limit); err != nil {
			p.Stop()
			return s, p, err
		}
		s.each = append(s.each, r.Ended.Sub(start).Seconds())
		s.seconds = max(s.seconds, r.Ended.Sub(start).Seconds())
		s.recv = max(s.recv, r.CPU())
		s.rss = max(s.rss, r.RSS())
	}
	if err := p.Wait(limit); err != nil {
		return s, p, err
	}
	s.send = p.CPU()
	return s, p, nil
}

func (b *suite) check(receivers int, file bool) error {
	for i := range receivers {
		if !file {
			continue
		}
		name := b.target(i+1, true)
		if err := b.same(name); err != nil {
			return err
		}
		os.Remove(name)
	}
	return nil
}

var ours = program{"diskcast",
	func(b *suite, l *netlab.Lab, receivers int, file bool, extra ...string) (sample, error) {
		return b.ours(l, receivers, file, extra...)
	}}

func (b *suite) ours(l *netlab.Lab, receivers int, file bool, extra ...string) (sample, error) {
	var ps []*bench.Child
	for i := range receivers {
		args := []string{self(), "child-recv", "-size", fmt.Sprint(b.size), "-file", b.target(i+1, file)}
		if pr := os.Getenv("BENCH_PROFILE"); pr != "" {
			args = append(args, "-profile", fmt.Sprintf("%s.recv%d", pr, i))
		}
		p, err := b.start(l.Node(i+1), args...)
		if err != nil {
			return sample{}, err
		}
		ps = append(ps, p)
	}
	if err := b.ready(l, receivers); err != nil {
		return sample{}, err
	}
	args := append([]string{self(), "child-send", "-size", fmt.Sprint(b.size), "-file", b.file, "-receivers",
		fmt.Sprint(receivers)}, extra...)
	if pr := os.Getenv("BENCH_PROFILE"); pr != "" {
		args = append(args, "-profile", pr+".send")
	}
	s, p, err := b.measure(l, ps, args)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(p.Output(), &s.sent); err != nil {
		return s, err
	}
	for _, r := range ps {
		var rr []recvResult
		if err := json.Unmarshal(r.Output(), &rr); err != nil {
			return s, err
		}
		s.received = append(s.received, rr)
	}
	if b.detail {
		fmt.Fprintf(b.out, "  %.3f s, each %.3f, send %.2f recv %.2f cpu, sent %.4f, %+v\n", s.seconds, s.each, s.send,
			s.recv, float64(s.sent.Payload)/float64(b.size), s.sent)
		for _, r := range s.received {
			fmt.Fprintf(b.out, "    %+v\n", r)
		}
	}
	return s, b.check(receivers, file)
}

// ready waits until the receivers of whatever program listen.
func (b *suite) ready(l *netlab.Lab, receivers int) error {
	for i := range receivers {
		if err := bench.Listens(b.ctx, l.Node(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// udpcast with its best documented settings for a switched LAN: full duplex is its default; nothing else speeds it up
// there.
var udpcast = program{"udpcast",
	func(b *suite, l *netlab.Lab, receivers int, file bool, extra ...string) (sample, error) {
		var ps []*bench.Child
		for i := range receivers {
			p, err := b.start(l.Node(i+1), "udp-receiver", "--interface", "eth0", "--nokbd", "--nosync", "--file",
				b.target(i+1, file))
			if err != nil {
				return sample{}, err
			}
			ps = append(ps, p)
		}
		if err := b.ready(l, receivers); err != nil {
			return sample{}, err
		}
		s, _, err := b.measure(l, ps,
			[]string{"udp-sender", "--interface", "eth0", "--nokbd", "--full-duplex", "--min-receivers",
				fmt.Sprint(receivers), "--file", b.file})
		if err != nil {
			return s, err
		}
		return s, b.check(receivers, file)
	}}

// uftp with no pace of its own where the line is free, and a fixed one a little below the line's where it is shaped:
// its manual's advice for LANs. Its receivers are daemons that write files; the sender ends when all have confirmed.
func uftpAt(rate string) program {
	return program{"uftp", func(b *suite, l *netlab.Lab, receivers int, file bool, _ ...string) (sample, error) {
		var ps []*bench.Child
		for i := range receivers {
			dir := filepath.Join(b.to.dir, fmt.Sprintf("uftp%d", i+1))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return sample{}, err
			}
			p, err := b.start(l.Node(i+1), "uftpd", "-d", "-I", "eth0", "-M", "239.77.7.1", "-D", dir, "-B", "33554432")
			if err != nil {
				return sample{}, err
			}
			ps = append(ps, p)
		}
		if err := b.ready(l, receivers); err != nil {
			return sample{}, err
		}
		var s sample
		start := time.Now()
		p, err := b.start(l.Node(0), "uftp", "-I", "eth0", "-M", "239.77.7.1", "-P", "239.77.7.2", "-R", rate, "-B",
			"33554432", "-Y", "none", b.file)
		if err != nil {
			return s, err
		}
		err = p.Wait(limit)
		s.seconds = time.Since(start).Seconds()
		s.send = p.CPU()
		for i, r := range ps {
			r.Stop()
			s.recv = max(s.recv, r.CPU())
			s.rss = max(s.rss, r.RSS())
			name := filepath.Join(b.to.dir, fmt.Sprintf("uftp%d", i+1), filepath.Base(b.file))
			if err == nil {
				err = b.same(name)
			}
			os.RemoveAll(filepath.Dir(name))
		}
		return s, err
	}}
}
