package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/bench"
)

// rival is udpcast with what makes an image for it and what writes one from it.
type rival struct{ who, file, pack, unpack string }

var rivals = []rival{
	// The fastest that partclone can: no checksums at all, neither made nor checked.
	{"udpcast | zstd | partclone, unchecked", "pc0.zst",
		"partclone.ext4 -c -a0 -s %s -o - -L /dev/null 2>/dev/null | zstd -q -T0 -3 -c",
		"zstd -q -dc | partclone.restore -C -W -f 1"},
	// As Clonezilla and DRBL did for years.
	{"udpcast | gzip | partclone", "pc.gz", "partclone.ext4 -c -s %s -o - -L /dev/null 2>/dev/null | pigz -c",
		"pigz -dc | partclone.restore"},
}

func (b *suite) rivals() error {
	for _, r := range rivals {
		if !b.only.MatchString(plain + " " + r.who) {
			continue
		}
		if err := b.rival(r); err != nil {
			return fmt.Errorf("%s: %w", r.who, err)
		}
	}
	return nil
}

// rival measures a rival: once with each bound on its pace, then with the best one.
func (b *suite) rival(r rival) error {
	if err := b.pack(r); err != nil {
		return err
	}
	defer os.Remove(b.path(r.file))
	times, best := map[string][]sample{}, ""
	failed := 0
	one := func(bitrate string) error {
		var s sample
		for tries := 1; ; tries++ {
			var err error
			if s, err = b.steady(r.who, func() (sample, error) { return b.udpcast(r, bitrate) }); err == nil {
				break
			}
			// udpcast gives up now and then; the runs that it ends are what counts.
			failed++
			if b.ctx.Err() != nil || tries == 3 {
				return fmt.Errorf("--max-bitrate %s, at try %d: %w", bitrate, tries, err)
			}
			fmt.Fprintf(b.log, "%s: %s with --max-bitrate %s failed, once more: %v\n", plain, r.who, bitrate, err)
		}
		fmt.Fprintf(b.log, "%s: %s: %.2f s with --max-bitrate %s; CPU seconds: server %.2f, node %.2f\n", plain, r.who,
			s.seconds, bitrate, s.send, s.recv)
		times[bitrate] = append(times[bitrate], s)
		return nil
	}
	for _, bitrate := range b.bitrates {
		if err := one(bitrate); err != nil {
			if b.ctx.Err() != nil {
				return err
			}
			fmt.Fprintf(b.log, "%s: %s: not with %v\n", plain, r.who, err)
			continue
		}
		if best == "" || times[bitrate][0].seconds < times[best][0].seconds {
			best = bitrate
		}
	}
	if best == "" {
		return fmt.Errorf("%s ended with no value of --max-bitrate", r.who)
	}
	for range b.rivalRuns - 1 {
		if err := one(best); err != nil {
			return err
		}
	}
	var seconds []float64
	for _, s := range times[best] {
		seconds = append(seconds, s.seconds)
	}
	row := bench.Row{Case: plain, Who: r.who, Seconds: bench.SpreadOf(seconds...)}
	row.MBps = float64(b.used) / 1e6 / row.Seconds.Median
	s := middle(times[best], row.Seconds.Median)
	row.BytesSent, row.CPU.Send, row.CPU.Recv = s.wire, s.send, s.recv
	st, err := os.Stat(b.path(r.file))
	if err != nil {
		return err
	}
	row.Note = fmt.Sprintf("image of %.0f MB, --max-bitrate %s, the best of %s", float64(st.Size())/1e6, best,
		strings.Join(b.bitrates, " "))
	if failed > 0 {
		row.Note += fmt.Sprintf("; %d more runs failed", failed)
	}
	b.report.Rows = append(b.report.Rows, row)
	return nil
}

// pack makes the rival's image, unless the cache has it, and puts it on tmpfs.
func (b *suite) pack(r rival) error {
	kept := filepath.Join(b.cache, r.file)
	if _, err := os.Stat(kept); err != nil {
		fmt.Fprintf(b.log, "%s: making the image\n", r.who)
		if err := os.MkdirAll(b.cache, 0o755); err != nil {
			return err
		}
		script := fmt.Sprintf("set -e -o pipefail; "+r.pack+" > \"$0\"; mv \"$0\" \"$1\"", b.disk)
		if _, err := b.output("", "bash", "-c", script, kept+".tmp", kept); err != nil {
			return err
		}
	}
	_, err := b.output("", "cp", kept, b.path(r.file))
	return err
}

// udpcast sends the rival's image once. The receivers listen before the clock starts, as our nodes do.
func (b *suite) udpcast(r rival, bitrate string) (s sample, err error) {
	l, err := b.lab()
	if err != nil {
		return s, err
	}
	defer l.Close()
	var all []*bench.Child
	defer func() {
		for _, p := range all {
			p.Stop()
		}
	}()
	for i := range nodes {
		p, err := b.start(l.Node(i+1), "bash", "-c",
			"set -o pipefail; udp-receiver --interface eth0 --nokbd --nosync 2>/dev/null | "+r.unpack+
				" -s - -O \"$0\" -L /dev/null 2>/dev/null", b.target(i))
		if err != nil {
			return s, err
		}
		all = append(all, p)
	}
	for i := range nodes {
		if err := bench.Listens(b.ctx, l.Node(i+1)); err != nil {
			return s, err
		}
	}
	before, err := b.wire(l)
	if err != nil {
		return s, err
	}
	args := []string{"udp-sender", "--interface", "eth0", "--nokbd", "--full-duplex", "--min-receivers",
		fmt.Sprint(nodes), "--file", b.path(r.file)}
	if bitrate != "none" {
		args = append(args, "--max-bitrate", bitrate)
	}
	sender, err := b.start(l.Node(0), args...)
	if err != nil {
		return s, err
	}
	receivers := all
	all = append([]*bench.Child{sender}, all...)
	for _, p := range receivers {
		if err := p.Wait(limit); err != nil {
			return s, err
		}
		s.seconds, s.recv = max(s.seconds, p.Ended.Sub(sender.Began).Seconds()), max(s.recv, p.CPU())
	}
	if err := sender.Wait(limit); err != nil {
		return s, err
	}
	s.send = sender.CPU()
	after, err := b.wire(l)
	if err != nil {
		return s, err
	}
	s.wire = after - before
	return s, b.check()
}
