package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// The network: the server's address, and those that machines come from and are given.
const (
	serverCIDR = "10.88.0.1/16"
	dhcpRange  = "10.88.64.0-10.88.127.255"
	machineIPs = 250 // a LAN in small: a real one has an address for each
)

var firstIP = netip.MustParseAddr("10.88.1.1")

// limit bounds, generously, what is waited for.
const limit = 15 * time.Minute

// suite is one run.
type suite struct {
	ctx   context.Context
	lab   *netlab.Lab
	self  string
	prog  string
	dir   string // of state and images, on a disk
	rows  []phase
	bars  []bench.Bar
	facts []string
}

// info is what the server says when it is ready.
type info struct {
	Server    string `json:"server"`
	Pin       string `json:"pin"`
	TokenFile string `json:"token_file"`
}

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	machines := f.Int("machines", 5000, "that work at once")
	beside := f.Int("beside", 0, "known beside those that work, while they do")
	known := f.Int("known", 10000, "that the server knows when it starts again")
	watchers := f.Int("watchers", 50, "operators that follow everything")
	seconds := f.Duration("for", 30*time.Second, "how long machines work")
	prog := f.String("diskcast", "build/bin/diskcast", "the program")
	file := f.String("out", "build/bench/server.json", "where the figures go")
	profile := f.String("profile", "", "directory for Go's profiles of the server while machines work")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *machines+*beside > *known {
		return fmt.Errorf("%d machines and %d beside cannot be of %d that are known", *machines, *beside, *known)
	}
	// Sockets of the machines; children have it too.
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	files.Cur = files.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	if want := uint64(3 * *machines); files.Max < want {
		return fmt.Errorf("this shell may open %d files, and %d machines need %d (`ulimit -Hn`)", files.Max, *machines,
			want)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// On a disk and not in /tmp, which may be memory: what is stored is to cost what it costs.
	if err := os.MkdirAll("build/bench", 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("build/bench", "server-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	lab, err := netlab.New(2)
	if err != nil {
		return err
	}
	defer lab.Close()
	s := &suite{ctx: ctx, lab: lab, self: self, dir: dir}
	if s.prog, err = filepath.Abs(*prog); err != nil {
		return err
	}
	if err := s.network(); err != nil {
		return err
	}
	if err := s.image(); err != nil {
		return err
	}
	if err := s.load(*machines, *beside, *known, *watchers, *seconds, *profile); err != nil {
		return err
	}
	if err := s.starts(*known); err != nil {
		return err
	}
	if err := s.dhcp(*known); err != nil {
		return err
	}
	s.judge(*known)
	if err := s.print(out); err != nil {
		return err
	}
	return bench.Save(*file, map[string]any{"machine": bench.Machine(), "rows": s.rows, "bars": s.bars,
		"facts": s.facts, "machines": *machines, "beside": *beside, "known": *known, "watchers": *watchers})
}

// network gives both ends the addresses of one large LAN.
func (s *suite) network() error {
	var batch strings.Builder
	for i, a := 0, firstIP; i < machineIPs; i, a = i+1, a.Next() {
		fmt.Fprintf(&batch, "address add %v/16 dev eth0\n", a)
	}
	file := filepath.Join(s.dir, "addresses")
	if err := os.WriteFile(file, []byte(batch.String()), 0o644); err != nil {
		return err
	}
	return errors.Join(
		s.lab.On(s.lab.Node(0), "ip", "address", "flush", "dev", "eth0"),
		s.lab.On(s.lab.Node(0), "ip", "address", "add", serverCIDR, "brd", "+", "dev", "eth0"),
		s.lab.On(s.lab.Node(1), "ip", "address", "flush", "dev", "eth0"),
		s.lab.On(s.lab.Node(1), "ip", "-batch", file))
}

// image puts one of 16 MiB into the store.
func (s *suite) image() error {
	disk := filepath.Join(s.dir, "disk.img")
	if err := os.WriteFile(disk, make([]byte, 16<<20), 0o644); err != nil {
		return err
	}
	boot := filepath.Join(s.dir, "state", "boot")
	if err := os.MkdirAll(boot, 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{"undionly.kpxe": "first stage", "boot.ipxe": "#!ipxe\nkernel vmlinuz\n",
		"vmlinuz": "kernel", "initramfs.img": "initramfs"} {
		if err := os.WriteFile(filepath.Join(boot, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	_, err := bench.Program{Args: []string{s.prog, "image", "import", disk, "--name", "debian", "--store",
		filepath.Join(s.dir, "state", "images")}}.Output(s.ctx, limit)
	return err
}

// lines gives the first line that is written to it.
type lines struct{ *io.PipeWriter }

// serve starts the server, and returns how long it took until it was ready. In full mode it listens for other DHCP
// servers first, for some seconds.
func (s *suite) serve(mode string) (c *bench.Child, i info, took time.Duration, err error) {
	r, w := io.Pipe()
	c, err = bench.Program{Namespace: s.lab.Node(0), Stdout: lines{w}, Args: []string{s.prog, "serve", "--json",
		"--config", "none", "--state", filepath.Join(s.dir, "state"), "--interface", "eth0", "--dhcp", mode,
		"--dhcp-range", dhcpRange, "--querier=false"}}.Start(s.ctx)
	if err != nil {
		return nil, i, 0, err
	}
	first, err := bufio.NewReader(r).ReadBytes('\n')
	took = time.Since(c.Began)
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with the server
	if err == nil {
		err = json.Unmarshal(first, &i)
	}
	if err != nil {
		c.Stop()
		return nil, i, 0, fmt.Errorf("the server does not start: %w: %s", err, c.Words())
	}
	return c, i, took, nil
}

// child runs a part of this program in the machines' namespace and returns what it measured.
func (s *suite) child(args ...string) error {
	text, err := bench.Program{Args: append([]string{s.self}, args...), Namespace: s.lab.Node(1)}.Output(s.ctx, limit)
	if err != nil {
		return err
	}
	var rows []phase
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	s.rows = append(s.rows, rows...)
	return nil
}

func (s *suite) load(machines, beside, known, watchers int, seconds time.Duration, profile string) error {
	c, i, _, err := s.serve("proxy")
	if err != nil {
		return err
	}
	defer c.Stop()
	token, err := os.ReadFile(i.TokenFile)
	if err != nil {
		return err
	}
	args := []string{"child-load", "-server", i.Server, "-pin", i.Pin, "-token", strings.TrimSpace(string(token)),
		"-pid", fmt.Sprint(c.PID()), "-machines", fmt.Sprint(machines), "-known", fmt.Sprint(machines + beside),
		"-late", fmt.Sprint(known - machines - beside),
		"-watchers", fmt.Sprint(watchers), "-for", seconds.String(),
		"-first", firstIP.String(), "-addresses", fmt.Sprint(machineIPs)}
	if profile != "" {
		args = append(args, "-profile", profile)
	}
	if err := s.child(args...); err != nil {
		return fmt.Errorf("%w\n%s", err, c.Words())
	}
	return nil
}

// starts starts the server with the machines known, five times.
func (s *suite) starts(known int) error {
	var took, cpu []float64
	var most int64
	for range 5 {
		c, _, t, err := s.serve("proxy")
		if err != nil {
			return err
		}
		u, err := usedBy(c.PID())
		c.Stop()
		if err != nil {
			return err
		}
		took, cpu, most = append(took, t.Seconds()), append(cpu, u.CPU), max(most, u.Most)
	}
	t := bench.SpreadOf(took...)
	s.rows = append(s.rows, phase{Name: "ready", Seconds: t.Median, CPU: bench.SpreadOf(cpu...).Median, Most: most,
		Now: most, Asked: len(took), P50: t.Median, P99: t.Max, Max: t.Max,
		Note: fmt.Sprintf("start to ready with %d machines known, of 5 the median", known)})
	return nil
}

func (s *suite) dhcp(known int) error {
	c, _, _, err := s.serve("full")
	if err != nil {
		return err
	}
	defer c.Stop()
	for _, name := range []string{"DHCP, first", "DHCP, again"} {
		if err := s.child("child-dhcp", "-pid", fmt.Sprint(c.PID()), "-machines", fmt.Sprint(known), "-at-once", "1000",
			"-name", name); err != nil {
			return fmt.Errorf("%w\n%s", err, c.Words())
		}
	}
	return nil
}

func (s *suite) find(name string) *phase {
	for i := range s.rows {
		if s.rows[i].Name == name {
			return &s.rows[i]
		}
	}
	return &phase{}
}

func (s *suite) bar(name, want, format string, got float64, ok bool) {
	s.bars = append(s.bars, bench.Bar{Name: name, Want: want, Got: fmt.Sprintf(format, got), OK: ok})
}

func (s *suite) judge(known int) {
	poll := 1000 * s.find("poll").P99
	s.bar("poll, 99 of 100, ms", "<= 50", "%.1f", poll, poll <= 50)
	var most int64
	for _, p := range s.rows {
		most = max(most, p.Most)
	}
	s.bar("memory, MiB", "<= 400", "%.0f", float64(most)/(1<<20), most <= 400<<20)
	for _, name := range []string{"DHCP, first", "DHCP, again"} {
		p := s.find(name)
		rate := float64(p.Asked) / p.Seconds
		s.bar(name+": handshakes a second", ">= 1000", "%.0f", rate, rate >= 1000)
	}
	ready := s.find("ready")
	s.bar(fmt.Sprintf("start to ready with %d machines, s", known), "<= 0.5", "%.2f", ready.Seconds,
		ready.Seconds <= .5)
}

func (s *suite) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "phase\tseconds\tCPU s\tof a core\trequests\tp50 ms\tp99 ms\tmax ms\tMiB\tmost MiB\tnote")
	for _, p := range s.rows {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.0f %%\t%d\t%.1f\t%.1f\t%.1f\t%d\t%d\t%s\n", p.Name, p.Seconds, p.CPU,
			100*p.CPU/p.Seconds, p.Asked, 1000*p.P50, 1000*p.P99, 1000*p.Max, p.Now>>20, p.Most>>20, p.Note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return bench.PrintBars(out, s.bars)
}
