package main

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

type benchCase struct {
	name string
	run  func(b *suite, name string) error
}

// queue is the buffer of a shaped port: that of a cheap switch.
const queue = 512 << 10

// linePayload is the object bytes a second that a line of so many Mbit/s bears in full frames of 1408 bytes: each takes
// 1408 + 40 (cast) + 8 (UDP) + 20 (IPv4) + 14 (Ethernet), as tbf counts, which knows no preamble, checksum or gap.
func linePayload(mbit float64) float64 { return mbit * 1e6 / 8 * 1408 / 1490 }

var cases = []benchCase{
	{"unshaped, to /dev/null", func(b *suite, name string) error { return b.compare(name, false, nil, "-1") }},
	{"unshaped, to tmpfs", func(b *suite, name string) error { return b.compare(name, true, nil, "-1") }},
	{"unshaped, to tmpfs of huge pages", (*suite).hugePages},
	{"1 Gbit", func(b *suite, name string) error { return b.compare(name, false, gbit, "900000") }},
	{"1 Gbit, to tmpfs", func(b *suite, name string) error { return b.compare(name, true, gbit, "900000") }},
	{"1 Gbit, 1 % loss at one", lossy(10, 0)},
	{"1 Gbit, 1 % loss at both", lossy(10, 10)},
	{"1 Gbit, 5 % loss at one", lossy(50, 0)},
	{"1 Gbit, 5 % loss at both", lossy(50, 50)},
	{"1 Gbit, one receiver at 50 Mbit", (*suite).slow},
	{"1 Gbit, the second joins at 50 %", (*suite).late},
	{"1 Gbit, 8 casts", (*suite).eight},
	{"1 Gbit, beside TCP", (*suite).besideTCP},
	{"1 Gbit, sender restarted", (*suite).restart},
}

// gbit shapes the ports of all receivers to 1 Gbit.
func gbit(l *netlab.Lab, receivers int) error {
	if err := l.Plain(); err != nil {
		return err
	}
	for i := range receivers {
		if err := l.Shape(i+1, 1000, queue); err != nil {
			return err
		}
	}
	return nil
}

// hugePages is a tmpfs to which writing costs a third.
func (b *suite) hugePages(name string) error {
	b.to = b.huge
	defer func() { b.to = b.small }()
	return b.compare(name, true, nil, "-1")
}

// compare measures all programs in one condition.
func (b *suite) compare(name string, file bool, shape func(*netlab.Lab, int) error, uftpRate string) error {
	const receivers = 2
	l, err := b.lab(receivers + 1)
	if err != nil {
		return err
	}
	defer l.Close()
	if shape != nil {
		if err := shape(l, receivers); err != nil {
			return err
		}
	}
	programs := []program{ours}
	if b.rivals {
		programs = append(programs, udpcast)
		if file {
			programs = append(programs, uftpAt(uftpRate))
		}
	}
	for _, p := range programs {
		var samples []sample
		failed := 0
		for len(samples) < b.runs {
			if file && shape == nil {
				if err := b.to.settle(b.ctx, receivers*b.size); err != nil {
					return err
				}
			}
			s, err := p.run(b, l, receivers, file, b.extra...)
			if err != nil {
				// A rival that gives up now and then is still a rival, by the runs it ends. Ours must not.
				if failed++; p.name == ours.name || failed > b.runs {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				fmt.Fprintf(b.out, "  %s failed, once more: %v\n", p.name, err)
				continue
			}
			samples = append(samples, s)
		}
		r := b.add(name, p.name, samples)
		if failed > 0 {
			r.Note = fmt.Sprintf("%d more runs failed", failed)
		}
	}
	return nil
}

func (b *suite) add(name, who string, samples []sample) *row {
	var sec, send, recv []float64
	r := row{Case: name, Who: who}
	var sent []float64
	for _, s := range samples {
		sec = append(sec, s.seconds)
		send = append(send, s.send)
		recv = append(recv, s.recv)
		sent = append(sent, float64(s.sent.Payload))
		r.RSS = max(r.RSS, s.rss)
	}
	r.Seconds = bench.SpreadOf(sec...)
	r.MBps = float64(b.size) / 1e6 / r.Seconds.Median
	r.CPU.Send, r.CPU.Recv = bench.SpreadOf(send...).Median, bench.SpreadOf(recv...).Median
	r.BytesSent = int64(bench.SpreadOf(sent...).Median)
	r.Share = float64(r.BytesSent) / float64(b.size)
	b.rows = append(b.rows, r)
	return &b.rows[len(b.rows)-1]
}
