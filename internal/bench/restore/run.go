package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// nodes is how many machines are restored at once.
const nodes = 2

// queue is the buffer of a port of the switch in bytes: that of a cheap one.
const queue = 512 << 10

type suite struct {
	ctx        context.Context
	runs       int // of ours
	rivalRuns  int // of a rival with its best setting
	bitrates   []string
	only       *regexp.Regexp
	bin        string // directory of our programs
	dir        string // on tmpfs
	disk       string // the source
	cache      string // of what the rivals send
	used       int64  // bytes of the disk that the image holds
	image      *image.Image
	log        io.Writer
	report     *bench.Report
	sent       int64   // object bytes that our server sent in the median run of the lossless case, HTTP included
	overhead   float64 // seconds that `session create` takes before the session begins
	stood      int     // runs that were not counted
	cpu, alone float64 // of one restore without network: CPU seconds, seconds
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fl := flag.NewFlagSet("bench-restore", flag.ContinueOnError)
	fl.SetOutput(stderr)
	runs := fl.Int("runs", 3, "runs of each case of ours; the median counts")
	rivals := fl.Int("rivals", 3, "runs of each rival with its best setting; 0 leaves the rivals out")
	disk := fl.String("disk", "", "file with an ext4 file system (default: a Debian root that is made)")
	dir := fl.String("dir", "/dev/shm", "directory on tmpfs, with room for about 8 GB")
	bin := fl.String("bin", "build/bin", "directory with the programs diskcast and agent")
	only := fl.String("only", "", "regular expression of the cases to run, such as `1 Gbit diskcast`")
	bitrates := fl.String("bitrates", "none,950m,900m,800m,700m",
		"values of udp-sender's --max-bitrate to try, once each")
	out := fl.String("out", "build/bench/restore.json", "file for the results")
	if err := fl.Parse(args); err != nil {
		return err
	}
	tools := []string{"tc", "nft", "ethtool"}
	if *rivals > 0 {
		tools = append(tools, "udp-sender", "udp-receiver", "partclone.ext4", "partclone.restore", "zstd", "pigz")
	}
	if why := netlab.Missing(tools...); why != "" {
		return fmt.Errorf("cannot run here: %s (Debian: apt-get install iproute2 nftables ethtool udpcast partclone "+
			"zstd pigz)", why)
	}
	b := &suite{ctx: ctx, runs: max(1, *runs), rivalRuns: *rivals, bitrates: strings.Split(*bitrates, ","), bin: *bin,
		disk: *disk, log: stderr,
		report: bench.New("MB on the wire")}
	var err error
	if b.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	if b.disk == "" {
		if b.disk, err = bench.Root(ctx, "build/cache", stderr); err != nil {
			return fmt.Errorf("making the disk: %w", err)
		}
	}
	if b.dir, err = os.MkdirTemp(*dir, "diskcast-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.prepare(); err != nil {
		return err
	}
	defer b.image.Close()
	if err := b.all(); err != nil {
		return err
	}
	b.judge()
	if err := b.report.Print(stdout); err != nil {
		return err
	}
	return b.report.Save(*out)
}

// prepare captures the disk.
func (b *suite) prepare() error {
	st, err := os.Stat(b.disk)
	if err != nil {
		return err
	}
	// What partclone made of a disk is kept: gzip takes minutes.
	b.cache = filepath.Join("build/cache",
		fmt.Sprintf("bench-restore-%s-%d", filepath.Base(b.disk), st.ModTime().Unix()))
	fmt.Fprintln(b.log, "capturing the disk")
	if err := proc.Run(b.ctx, nil, b.program("diskcast"), "image", "capture", b.disk, "disk", "--store",
		b.store()); err != nil {
		return err
	}
	s, err := image.OpenStore(b.store())
	if err != nil {
		return err
	}
	if b.image, err = s.Open("disk"); err != nil {
		return err
	}
	b.used = b.image.Config().Stored
	b.report.Machine["image_bytes"], b.report.Machine["used_bytes"], b.report.Machine["nodes"] = b.image.ObjectSize(),
		b.used, nodes
	fmt.Fprintf(b.log, "%d MB used of %d, compressed %d\n", b.used/1e6, st.Size()/1e6, b.image.ObjectSize()/1e6)
	return nil
}

func (b *suite) program(name string) string { return filepath.Join(b.bin, name) }
func (b *suite) path(name string) string    { return filepath.Join(b.dir, name) }
func (b *suite) store() string              { return b.path("store") }
func (b *suite) target(i int) string        { return b.path(fmt.Sprintf("target%d", i)) }

func (b *suite) all() error {
	if err := b.local(); err != nil {
		return err
	}
	for _, c := range []struct {
		name, who string
		loss      int // permille, at node 1
		verify    bool
	}{{plain, ours, 0, false}, {plain, oursBack, 0, true}, {lossy, ours, 10, false}} {
		if err := b.ours(c.name, c.who, c.loss, c.verify); err != nil {
			return fmt.Errorf("%s: %s: %w", c.name, c.who, err)
		}
	}
	if b.rivalRuns > 0 {
		return b.rivals()
	}
	return nil
}

// lab is a switch with 1 Gbit/s to each port: to the server, which is node 0, and to the nodes.
func (b *suite) lab() (*netlab.Lab, error) {
	l, err := netlab.New(1 + nodes)
	if err != nil {
		return nil, err
	}
	if err := l.Plain(); err != nil {
		l.Close()
		return nil, err
	}
	for i := range 1 + nodes {
		if err := l.Shape(i, 1000, queue); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// spoil overwrites, on every node's disk, all that the image will be written to. The files stay the same, as disks do:
// what a file on tmpfs costs that grows, in a virtual machine whose host may have to find the memory first, is no part
// of a restore.
func (b *suite) spoil() error {
	junk := bytes.Repeat([]byte("no image"), 1<<20/8)
	for i := range nodes {
		err := func() error {
			f, err := os.OpenFile(b.target(i), os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := f.Truncate(b.image.Config().DiskSize); err != nil {
				return err
			}
			for _, c := range b.image.Index().Chunks {
				for _, e := range append(c.Extents[:len(c.Extents):len(c.Extents)], c.Zeros...) {
					for at := e.Offset; at < e.Offset+e.Length; at += int64(len(junk)) {
						if _, err := f.WriteAt(junk[:min(int64(len(junk)), e.Offset+e.Length-at)], at); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// steady measures until the machine did not stand still meanwhile.
func (b *suite) steady(what string, f func() (sample, error)) (s sample, err error) {
	for range 5 {
		if err := b.spoil(); err != nil {
			return s, err
		}
		watch := bench.Watch()
		s, err = f()
		stood := watch.Stood()
		if stood == 0 || b.ctx.Err() != nil {
			return s, err
		}
		b.stood++
		fmt.Fprintf(b.log, "%s: not counted: the machine stood still for %.1f s\n", what, stood.Seconds())
	}
	return s, fmt.Errorf("%s: the machine stands still again and again: %w", what, err)
}

// check reads every disk and compares each chunk of the image.
func (b *suite) check() error {
	for i := range nodes {
		err := func() error {
			t, err := restore.OpenTarget(b.target(i), restore.TargetOptions{})
			if err != nil {
				return err
			}
			defer t.Close()
			p, err := restore.NewPlan(b.image.Config(), b.image.Index(), t.Size(), t.SectorSize())
			if err != nil {
				return err
			}
			return p.Verify(b.ctx, t, nil)
		}()
		if err != nil {
			return fmt.Errorf("disk %d does not hold the image: %w", i+1, err)
		}
	}
	return nil
}

// local restores to one disk without a network: what the CPU takes for it.
func (b *suite) local() error {
	var cpu, seconds []float64
	for range b.runs {
		s, err := b.steady("a restore without network", func() (s sample, err error) {
			p, err := b.start("", b.program("diskcast"), "image", "restore", "disk", b.target(0), "--yes", "--store",
				b.store())
			if err != nil {
				return s, err
			}
			err = p.Wait(limit)
			s.recv, s.seconds = p.CPU(), p.Ended.Sub(p.Began).Seconds()
			return s, err
		})
		if err != nil {
			return err
		}
		cpu, seconds = append(cpu, s.recv), append(seconds, s.seconds)
	}
	b.cpu, b.alone = bench.SpreadOf(cpu...).Median, bench.SpreadOf(seconds...).Median
	return nil
}
