package main

import "github.com/diskcast/diskcast/internal/bench"

// line is what a 1 Gbit/s line bears, in object bytes a second, in full packets of 1408 bytes: each takes 1408 + 40
// (cast) + 8 (UDP) + 20 (IPv4) + 14 (Ethernet), as tbf counts, which knows no preamble, checksum or gap.
const line = 1e9 / 8 * 1408 / 1490

func (b *suite) judge() {
	r := b.report
	us, size, cores := r.Find(plain, ours), float64(b.image.ObjectSize()), r.Machine["cpus"].(int)
	r.Fact("the image's %.0f MB alone take %.2f s on a line of 1 Gbit/s", size/1e6, size/line)
	r.Fact("to decode, hash and write one disk takes %.2f CPU seconds (%.2f s where nothing else runs): %d disks on "+
		"%d cores %.2f s", b.cpu, b.alone, nodes, cores, b.cpu*nodes/float64(cores))
	if us != nil {
		r.Fact("`session create` listens for a free group before its session starts: %.2f s, not counted above",
			b.overhead)
	}
	if b.stood > 0 {
		r.Fact("%d runs were not counted and done again, because this virtual machine was stopped meanwhile", b.stood)
	}
	var best *bench.Row
	for i := range r.Rows {
		x := &r.Rows[i]
		if x.Who != ours && x.Who != oursBack && (best == nil || x.Seconds.Median < best.Seconds.Median) {
			best = x
		}
	}
	r.Faster("both disks written, each chunk hashed before it is written, beside the best rival", us, best, 2.2)
	r.Faster("both disks read back and hashed too, beside the best rival, which checks nothing",
		r.Find(plain, oursBack), best, 2.2)
	if us == nil {
		return
	}
	r.Share("object bytes that the server sends, beside the image", float64(b.sent), size, 1.03)
	if x := r.Find(lossy, ours); x != nil {
		r.Share("time with 1 % loss at one node, beside without", x.Seconds.Median, us.Seconds.Median, 1.15)
	}
}
