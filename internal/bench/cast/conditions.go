package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// shaped builds a lab whose receivers sit behind ports of 1 Gbit.
func (b *suite) shaped(receivers int) (*netlab.Lab, error) {
	l, err := b.lab(receivers + 1)
	if err != nil {
		return nil, err
	}
	if err := gbit(l, receivers); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// lossy measures us with loss of so many thousandths at the two receivers, which write to tmpfs.
func lossy(first, second int) func(b *suite, name string) error {
	return func(b *suite, name string) error {
		l, err := b.shaped(2)
		if err != nil {
			return err
		}
		defer l.Close()
		for i, permille := range []int{first, second} {
			if err := l.Lose(i+1, permille); err != nil {
				return err
			}
		}
		var samples []sample
		var clean []float64
		for range b.runs {
			s, err := b.ours(l, 2, true)
			if err != nil {
				return err
			}
			samples = append(samples, s)
			clean = append(clean, s.each[1])
		}
		r := b.add(name, ours.name, samples)
		base := b.find("1 Gbit, to tmpfs", ours.name)
		share, slower := 1.03, 1.10
		if max(first, second) > 20 {
			share, slower = 1.08, 1.20
		}
		b.bar(name+": bytes sent / object", fmt.Sprintf("<= %.2f", share), "%.3f", r.Share, r.Share <= share)
		if base != nil {
			ratio := r.Seconds.Median / base.Seconds.Median
			b.bar(name+": time / lossless", fmt.Sprintf("<= %.2f", slower), "%.3f", ratio, ratio <= slower)
			if second == 0 {
				ratio := bench.SpreadOf(clean...).Median / base.Seconds.Median
				b.bar(name+": time of the clean receiver / lossless", "<= 1.05", "%.3f", ratio, ratio <= 1.05)
			}
		}
		return nil
	}
}

// slow has one receiver behind 50 Mbit. It is measured with an eighth of the object, since the slow one takes 20 times
// as long.
func (b *suite) slow(name string) error {
	l, err := b.shaped(2)
	if err != nil {
		return err
	}
	defer l.Close()
	alone, err := b.ours(l, 1, false)
	if err != nil {
		return err
	}
	if err := l.Shape(2, 50, queue/4); err != nil {
		return err
	}
	s, err := b.ours(l, 2, false)
	if err != nil {
		return err
	}
	r := b.add(name, ours.name, []sample{s})
	r.Note = fmt.Sprintf("fast one %.2f s, alone %.2f s", s.each[0], alone.seconds)
	ratio := s.each[0] / alone.seconds
	b.bar(name+": time of the fast one / alone", "<= 1.05", "%.3f", ratio, ratio <= 1.05)
	return nil
}

// late starts the second receiver when half is sent.
func (b *suite) late(name string) error {
	l, err := b.shaped(2)
	if err != nil {
		return err
	}
	defer l.Close()
	var samples []sample
	for range b.runs {
		half := time.Duration(float64(b.size) / linePayload(1000) / 2 * float64(time.Second))
		s, err := b.staggered(l, half)
		if err != nil {
			return err
		}
		samples = append(samples, s)
	}
	r := b.add(name, ours.name, samples)
	b.bar(name+": bytes sent / object", "<= 1.52", "%.3f", r.Share, r.Share <= 1.52)
	return nil
}

// staggered starts the second receiver some time after the first.
func (b *suite) staggered(l *netlab.Lab, after time.Duration) (sample, error) {
	recv := func(i int) (*bench.Child, error) {
		return b.start(l.Node(i), self(), "child-recv", "-size", fmt.Sprint(b.size), "-file", b.target(i, false))
	}
	first, err := recv(1)
	if err != nil {
		return sample{}, err
	}
	if err := b.ready(l, 1); err != nil {
		return sample{}, err
	}
	start := time.Now()
	p, err := b.start(l.Node(0), self(), "child-send", "-size", fmt.Sprint(b.size), "-file", b.file, "-receivers", "1")
	if err != nil {
		return sample{}, err
	}
	select {
	case <-b.ctx.Done():
		return sample{}, b.ctx.Err()
	case <-time.After(after):
	}
	second, err := recv(2)
	if err != nil {
		return sample{}, err
	}
	var s sample
	for _, r := range []*bench.Child{first, second} {
		if err := r.Wait(limit); err != nil {
			return s, err
		}
		s.recv = max(s.recv, r.CPU())
		s.rss = max(s.rss, r.RSS())
		s.seconds = max(s.seconds, r.Ended.Sub(start).Seconds())
	}
	if err := p.Wait(limit); err != nil {
		return s, err
	}
	s.send = p.CPU()
	return s, json.Unmarshal(p.Output(), &s.sent)
}

// eight runs eight casts of an eighth of the object each, from one sender to one receiver: the line is the receiver's
// port.
func (b *suite) eight(name string) error {
	const n = 8
	l, err := b.shaped(1)
	if err != nil {
		return err
	}
	defer l.Close()
	size := b.size / n
	r, err := b.start(l.Node(1), self(), "child-recv", "-casts", fmt.Sprint(n), "-size", fmt.Sprint(size), "-file",
		b.target(1, false))
	if err != nil {
		return err
	}
	if err := b.ready(l, 1); err != nil {
		return err
	}
	s, p, err := b.measure(l, []*bench.Child{r},
		[]string{self(), "child-send", "-casts", fmt.Sprint(n), "-size", fmt.Sprint(size), "-file", b.file,
			"-receivers", "1"})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(p.Output(), &s.sent); err != nil {
		return err
	}
	var got []recvResult
	if err := json.Unmarshal(r.Output(), &got); err != nil {
		return err
	}
	first, last := got[0].First, got[0].End
	var sum, squares float64
	for _, g := range got {
		rate := float64(g.Received) / g.Seconds
		sum += rate
		squares += rate * rate
		if g.First.Before(first) {
			first = g.First
		}
		if g.End.After(last) {
			last = g.End
		}
	}
	b.add(name, ours.name, []sample{s})
	line := float64(n*size) / last.Sub(first).Seconds() / linePayload(1000)
	jain := sum * sum / (n * squares)
	b.bar(name+": aggregate / line", ">= 0.95", "%.3f", line, line >= 0.95)
	b.bar(name+": Jain's index", ">= 0.98", "%.3f", jain, jain >= 0.98)
	return nil
}

// besideTCP runs a bulk TCP flow from the sender's node to the first receiver's for as long as the cast takes.
func (b *suite) besideTCP(name string) error {
	l, err := b.shaped(2)
	if err != nil {
		return err
	}
	defer l.Close()
	var ln net.Listener
	if err := l.Do(l.Node(1), func() (err error) {
		ln, err = net.Listen("tcp4", l.Addr(1)+":5001")
		return err
	}); err != nil {
		return err
	}
	defer ln.Close()
	counted := make(chan int64, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			counted <- 0
			return
		}
		n, _ := io.Copy(io.Discard, c)
		counted <- n
	}()
	var conn net.Conn
	if err := l.Do(l.Node(0), func() (err error) {
		conn, err = net.Dial("tcp4", l.Addr(1)+":5001")
		return err
	}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	context.AfterFunc(ctx, func() { conn.Close() })
	start := time.Now()
	go func() {
		buf := make([]byte, 1<<18)
		for {
			if _, err := conn.Write(buf); err != nil {
				return
			}
		}
	}()
	s, err := b.ours(l, 2, false)
	if err != nil {
		return err
	}
	stop()
	tcp := float64(<-counted) * 8 / time.Since(start).Seconds() / 1e9
	r := b.add(name, ours.name, []sample{s})
	cast := r.MBps * 1e6 / linePayload(1000)
	r.Note = fmt.Sprintf("TCP moved %.0f Mbit/s meanwhile", tcp*1000)
	b.bar(name+": TCP's share of the line", ">= 0.30", "%.2f", tcp, tcp >= 0.30)
	b.bar(name+": the cast's share", ">= 0.30", "%.2f", cast, cast >= 0.30)
	return nil
}

// restart kills the sender half-way and starts it anew.
func (b *suite) restart(name string) error {
	l, err := b.shaped(2)
	if err != nil {
		return err
	}
	defer l.Close()
	var ps []*bench.Child
	for i := range 2 {
		p, err := b.start(l.Node(i+1), self(), "child-recv", "-size", fmt.Sprint(b.size), "-file", b.target(i+1, true))
		if err != nil {
			return err
		}
		ps = append(ps, p)
	}
	if err := b.ready(l, 2); err != nil {
		return err
	}
	send := []string{self(), "child-send", "-size", fmt.Sprint(b.size), "-file", b.file, "-receivers", "2"}
	half := float64(b.size) / linePayload(1000) / 2
	start := time.Now()
	old, err := b.start(l.Node(0), append(send, "-seconds", fmt.Sprint(half))...)
	if err != nil {
		return err
	}
	// It stops without a word, as a killed one would, but it can still say how much it sent.
	if err := old.Wait(limit); err != nil {
		return err
	}
	s, p, err := b.measure(l, ps, send)
	if err != nil {
		return err
	}
	s.seconds = time.Since(start).Seconds()
	var before, after sendResult
	if err := json.Unmarshal(old.Output(), &before); err != nil {
		return err
	}
	if err := json.Unmarshal(p.Output(), &after); err != nil {
		return err
	}
	s.sent.Payload = before.Payload + after.Payload
	if err := b.check(2, true); err != nil {
		return err
	}
	r := b.add(name, ours.name, []sample{s})
	b.bar(name+": bytes sent by both / object", "<= 1.05", "%.3f", r.Share, r.Share <= 1.05)
	return nil
}
