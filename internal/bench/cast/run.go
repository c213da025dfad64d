package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// suite is one run of the whole.
type suite struct {
	ctx    context.Context
	out    io.Writer
	runs   int
	size   int64
	only   *regexp.Regexp
	rivals bool
	small  *tmpfs
	huge   *tmpfs // of huge pages
	to     *tmpfs // what receivers write to
	file   string // the object
	rows   []row
	bars   []bench.Bar
	detail bool
	extra  []string // more arguments for our sender
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	runs := fs.Int("runs", 3, "runs of each case; medians are shown")
	size := fs.Int64("size", 512, "object size in MiB")
	only := fs.String("only", "", "only cases that match this regular expression")
	out := fs.String("out", "build/bench/cast.json", "where to write the result")
	rivals := fs.Bool("rivals", true, "measure udpcast and UFTP too")
	detail := fs.Bool("v", false, "print what each end says")
	if err := fs.Parse(args); err != nil {
		return err
	}
	re, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	tools := []string{"tc", "nft", "ethtool"}
	if *rivals {
		tools = append(tools, "udp-sender", "udp-receiver", "uftp", "uftpd")
	}
	if why := netlab.Missing(tools...); why != "" {
		return fmt.Errorf("cannot run here: %s (Debian: apt-get install iproute2 nftables ethtool udpcast uftp)", why)
	}
	b := &suite{ctx: ctx, out: stdout, runs: *runs, size: *size << 20, only: re, rivals: *rivals, detail: *detail,
		extra: strings.Fields(os.Getenv("BENCH_SEND"))}
	if b.huge, err = newTmpfs(true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.huge.close()) }()
	if b.small, err = newTmpfs(false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.small.close()) }()
	b.to = b.small
	b.file = filepath.Join(b.huge.dir, "object")
	if err := makeObject(b.file, b.size); err != nil {
		return err
	}
	for _, c := range cases {
		if !re.MatchString(c.name) || ctx.Err() != nil {
			continue
		}
		fmt.Fprintf(stdout, "# %s\n", c.name)
		first, stolen := len(b.rows), stolenShare()
		if err := c.run(b, c.name); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		share := stolen()
		for i := range b.rows[first:] {
			b.rows[first+i].Stolen = share
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.judge()
	if err := b.print(); err != nil {
		return err
	}
	machine := bench.Machine()
	machine["runs"], machine["object_bytes"] = b.runs, b.size
	return bench.Save(*out, map[string]any{"machine": machine, "rows": b.rows, "bars": b.bars})
}

func makeObject(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{7}), size)
	return err
}

// start runs a program in a namespace.
func (b *suite) start(ns string, args ...string) (*bench.Child, error) {
	return bench.Program{Args: args, Namespace: ns}.Start(b.ctx)
}

func (b *suite) lab(nodes int) (*netlab.Lab, error) {
	return netlab.New(nodes)
}

// self is this program.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return exe
}

// same compares a received file with the object.
func (b *suite) same(name string) error {
	want, err := os.Open(b.file)
	if err != nil {
		return err
	}
	defer want.Close()
	got, err := os.Open(name)
	if err != nil {
		return err
	}
	defer got.Close()
	if st, err := got.Stat(); err != nil || st.Size() != b.size {
		return errors.Join(fmt.Errorf("%s has not the size of the object", name), err)
	}
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); off < b.size; off += 1 << 20 {
		n, err := io.ReadFull(want, x)
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		if _, err := io.ReadFull(got, y[:n]); err != nil {
			return err
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return fmt.Errorf("%s differs from the object within the MiB at byte %d", name, off)
		}
	}
	return nil
}

// stolenShare starts to count; what it returns says which share of the CPUs' time since then a hypervisor gave to
// others. Figures that were taken while it was large say more about the neighbours than about the programs.
func stolenShare() func() float64 {
	count := func() (stolen, all float64) {
		data, _ := os.ReadFile("/proc/stat")
		line, _, _ := strings.Cut(string(data), "\n")
		for i, f := range strings.Fields(line) {
			v, _ := strconv.ParseFloat(f, 64)
			if i == 8 {
				stolen = v
			}
			if i <= 8 { // guest time is in user time already
				all += v
			}
		}
		return stolen, all
	}
	stolen, all := count()
	return func() float64 {
		s, a := count()
		if a <= all {
			return 0
		}
		return (s - stolen) / (a - all)
	}
}
