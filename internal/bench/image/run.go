package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/sparse"
)

type suite struct {
	ctx      context.Context
	runs     int
	only     *regexp.Regexp
	dir      string // on tmpfs
	disk     string // copied from source; the deltas change it
	source   string
	used     int64 // bytes of the disk that the file system uses
	zstdSize int64 // bytes that partclone | zstd -T0 -3 makes of it
	log      io.Writer
	report   *bench.Report
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	fl.SetOutput(stderr)
	runs := fl.Int("runs", 3, "runs of each case; the median counts")
	disk := fl.String("disk", "", "file with an ext4 file system (default: a Debian root that is made)")
	dir := fl.String("dir", "/dev/shm", "directory on tmpfs, with room for about 9 GB")
	only := fl.String("only", "", "regular expression of the cases to run")
	out := fl.String("out", "build/bench/image.json", "file for the results")
	if err := fl.Parse(args); err != nil {
		return err
	}
	re, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if *disk == "" {
		if *disk, err = bench.Root(ctx, "build/cache", stderr); err != nil {
			return fmt.Errorf("making the disk: %w", err)
		}
	}
	tmp, err := os.MkdirTemp(*dir, "diskcast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := &suite{ctx: ctx, runs: max(1, *runs), only: re, dir: tmp, disk: filepath.Join(tmp, "disk"), source: *disk,
		log: stderr, report: bench.New("MB stored or written")}
	if err := sparse.Copy(ctx, *disk, b.disk); err != nil {
		return err
	}
	failed := b.all()
	if len(b.report.Rows) == 0 {
		return failed
	}
	if failed != nil { // what was measured before is not thrown away, and is not taken for a whole run
		b.report.Machine["failed"] = failed.Error()
	}
	b.judge()
	return errors.Join(failed, b.report.Print(stdout), b.report.Save(*out))
}

// limit bounds, generously, every program that is measured.
const limit = time.Hour

// step is one program that is measured.
type step struct {
	kind, who string
	shell     string   // of a rival
	child     []string // of ours
	before    func() error
	after     func() error // not measured; what it says is wrong fails the bench
	size      func() int64 // of what a capture made
	note      string
	once      bool // measured once, whatever -runs says
	aloud     bool // what the child says on its stderr is shown while it runs
}

// wants says whether -only names a case.
func (b *suite) wants(kind, who string) bool { return b.only.MatchString(kind + " " + who) }

// measure runs a step several times.
func (b *suite) measure(s step) error {
	if !b.wants(s.kind, s.who) {
		return nil
	}
	fmt.Fprintf(b.log, "%s: %s\n", s.kind, s.who)
	r := bench.Row{Case: s.kind, Who: s.who, Note: s.note}
	var seconds []float64
	runs := b.runs
	if s.once {
		runs = 1
	}
	for range runs {
		if s.before != nil {
			if err := s.before(); err != nil {
				return err
			}
		}
		p := bench.Program{Args: []string{"sh", "-c", "set -e; " + s.shell}}
		if s.child != nil {
			p.Args = append([]string{os.Args[0], "child"}, s.child...)
		}
		if s.aloud {
			p.Stderr = b.log
		}
		c, err := p.Start(b.ctx)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.kind, s.who, err)
		}
		var ours *family // nobody asks for the rivals' memory
		if s.child != nil {
			ours = watchFamily(c.PID())
		}
		err = c.Wait(limit)
		rss := ours.stop()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.kind, s.who, err)
		}
		seconds = append(seconds, c.Ended.Sub(c.Began).Seconds())
		if !strings.HasPrefix(s.kind, "restore") {
			r.CPU.Send = c.CPU()
		} else {
			r.CPU.Recv = c.CPU()
		}
		if s.child != nil {
			// The kernel's figure is exact and that of the largest of the process and what it started; the other one
			// adds them up.
			r.RSS = max(r.RSS, c.RSS(), rss)
			var o outcome
			if err := json.Unmarshal(c.Output(), &o); err != nil {
				return err
			}
			r.Bytes = max(o.Stored, o.Written)
		}
		if s.size != nil {
			r.Bytes = s.size()
		}
		if s.after != nil {
			if err := s.after(); err != nil {
				return fmt.Errorf("%s: %s: %w", s.kind, s.who, err)
			}
		}
	}
	r.Seconds = bench.SpreadOf(seconds...)
	r.MBps = float64(b.used) / 1e6 / r.Seconds.Median
	b.report.Rows = append(b.report.Rows, r)
	return nil
}

func (b *suite) path(name string) string { return filepath.Join(b.dir, name) }

func (b *suite) remove(names ...string) error {
	var err error
	for _, n := range names {
		err = errors.Join(err, os.RemoveAll(b.path(n)))
	}
	return err
}

func fileSize(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}
