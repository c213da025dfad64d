package main

import "fmt"

// judge compares us with the rivals and with what was promised.
func (b *suite) judge() {
	for _, name := range []string{"unshaped, to /dev/null", "unshaped, to tmpfs", "unshaped, to tmpfs of huge pages"} {
		us := b.find(name, ours.name)
		if us == nil {
			continue
		}
		b.bar(name+": MB/s", ">= 1000", "%.0f", us.MBps, us.MBps >= 1000)
		best := 0.0
		for i := range b.rows {
			if r := &b.rows[i]; r.Case == name && r.Who != ours.name {
				best = max(best, r.MBps)
			}
		}
		if best > 0 {
			b.bar(name+": times the best rival", ">= 10", "%.1f", us.MBps/best, us.MBps/best >= 10)
		}
		if them := b.find(name, udpcast.name); them != nil {
			x := them.MBps
			b.bar(name+": times udpcast", ">= 5", "%.1f", us.MBps/x, us.MBps/x >= 5)
			send, recv := us.CPU.Send/them.CPU.Send, us.CPU.Recv/them.CPU.Recv
			b.bar(name+": CPU of the sender / udpcast's", "<= 0.25", "%.2f", send, send <= 0.25)
			b.bar(name+": CPU of a receiver / udpcast's", "<= 0.25", "%.2f", recv, recv <= 0.25)
		}
	}
	for _, name := range []string{"1 Gbit", "1 Gbit, to tmpfs"} {
		if us := b.find(name, ours.name); us != nil {
			line := us.MBps * 1e6 / linePayload(1000)
			b.bar(name+": share of the line's payload rate", ">= 0.97", "%.3f", line, line >= 0.97)
		}
	}
	rss := int64(0)
	for _, r := range b.rows {
		if r.Who == ours.name {
			rss = max(rss, r.RSS)
		}
	}
	if rss > 0 {
		b.bar(fmt.Sprintf("memory of a receiver, MiB, in %d rows", len(b.rows)), "<= 96", "%.0f", float64(rss)/(1<<20),
			rss <= 96<<20)
	}
}
