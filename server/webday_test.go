package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/browser"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/serve"
)

const (
	roomNodes  = 40
	roomDisk   = 48 << 20 // bytes of each disk, half of which is data
	roomFailed = 7        // the machine whose disk fails, by number
	roomSmall  = "10m"    // what there is room for on that disk before it fails
)

// room is a LAN with a server and agents, which are the real programs; disks are files.
type room struct {
	t      *testing.T
	lab    *netlab.Lab
	dir    string
	info   serve.Info
	source string // what the image was made of
}

// newRoom starts the server. Its first node is the server's machine.
func newRoom(t *testing.T) *room {
	need.Root(t)
	lab, err := netlab.New(1 + roomNodes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	r := &room{t: t, lab: lab, dir: t.TempDir()}
	r.source = filepath.Join(r.dir, "source.img")
	if err := writeDisk(r.source, roomDisk); err != nil {
		t.Fatal(err)
	}
	r.diskcast("image", "import", r.source, "--name", "debian", "--store", r.path("store"))
	out := r.start(0, program("diskcast"), "serve", "--json", "--state", r.path("state"), "--store", r.path("store"),
		"--interface", "eth0", "--dhcp", "off", "--tftp=false", "--approve", "hand")
	if err := json.NewDecoder(out).Decode(&r.info); err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the server
	return r
}

func program(name string) string { return filepath.Join(os.Getenv("DISKCAST_BIN"), name) }

func (r *room) path(name string) string { return filepath.Join(r.dir, name) }

func (r *room) disk(n int) string { return filepath.Join(r.dir, fmt.Sprintf("machine-%d", n), "disk") }

// start starts a program on a machine, and returns what it prints. It ends with the test.
func (r *room) start(n int, args ...string) io.Reader {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	args = netlab.In(r.lab.Node(n), args...)
	cmd := proc.Command(ctx, args[0], args[1:]...)
	said := &bytes.Buffer{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = proc.Start(cmd)
	}
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
		if r.t.Failed() && n == 0 {
			r.t.Logf("the server said\n%s", tail(said.String(), 8<<10))
		}
	})
	return out
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// diskcast runs a command of the operator's on the server's machine.
func (r *room) diskcast(args ...string) string {
	r.t.Helper()
	args = append(append([]string{program("diskcast")}, args...), "--state", r.path("state"))
	args = netlab.In(r.lab.Node(0), args...)
	cmd := exec.Command(args[0], args[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, &errs)
	}
	return string(out)
}

// page makes the server's page reachable from outside of its network.
func (r *room) page() (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { ln.Close() })
	to := strings.TrimPrefix(r.info.Server, "https://")
	go func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go r.carry(c, to) // ends with the connection
		}
	}()
	return "https://" + ln.Addr().String()
}

// carry carries bytes between a connection and one that is opened on the server's machine.
func (r *room) carry(c net.Conn, to string) {
	defer c.Close()
	var s net.Conn
	if err := r.lab.Do(r.lab.Node(0), func() (err error) { s, err = net.Dial("tcp", to); return err }); err != nil {
		r.t.Errorf("the page: %v", err)
		return
	}
	defer s.Close()
	go func() { // ends with either
		_, _ = io.Copy(s, c)
		_ = s.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, s)
}

// switchOn starts the agents of machines 1 to roomNodes on blank disks. One of them is on a file system that is too
// small: writing to it fails as to a disk with no sectors to spare.
func (r *room) switchOn() {
	r.t.Helper()
	cmdline := r.path("cmdline")
	words := fmt.Sprintf("diskcast.server=%s diskcast.pin=%s\n", r.info.Server, r.info.Pin)
	if err := os.WriteFile(cmdline, []byte(words), 0o600); err != nil {
		r.t.Fatal(err)
	}
	for n := 1; n <= roomNodes; n++ {
		folder := filepath.Dir(r.disk(n))
		err := os.Mkdir(folder, 0o700)
		if err == nil && n == roomFailed {
			if err = syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+roomSmall); err == nil {
				r.t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
			}
		}
		if err == nil {
			err = os.WriteFile(r.disk(n), nil, 0o600)
		}
		if err == nil {
			err = os.Truncate(r.disk(n), roomDisk)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		out := r.start(n, program("agent"), "-no-network", "-no-boot", "-site", r.path("no-site.json"), "-cmdline",
			cmdline, "-disk", r.disk(n))
		go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the agent
	}
}

// mend gives the disk that failed its room.
func (r *room) mend() {
	r.t.Helper()
	if err := syscall.Mount("tmpfs", filepath.Dir(r.disk(roomFailed)), "tmpfs", syscall.MS_REMOUNT,
		"size=200m"); err != nil {
		r.t.Fatal(err)
	}
}

// names are what machines are called, by their MAC addresses.
func (r *room) names() string {
	r.t.Helper()
	var b strings.Builder
	b.WriteString("machines:\n")
	for n := 1; n <= roomNodes; n++ {
		if err := r.lab.Do(r.lab.Node(n), func() error {
			nic, err := net.InterfaceByName("eth0")
			if err == nil {
				fmt.Fprintf(&b, "- {name: pc-%02d, mac: %q, labels: {room: \"%d\"}}\n", n, nic.HardwareAddr, 210+n%2)
			}
			return err
		}); err != nil {
			r.t.Fatal(err)
		}
	}
	b.WriteString("profiles:\n  lesson: {image: debian, rate: 6000000, boot: {method: stay}}\n")
	return b.String()
}

// written compares a machine's disk with what the image was made of.
func (r *room) written(n int) {
	r.t.Helper()
	want, err := os.ReadFile(r.source)
	if err != nil {
		r.t.Fatal(err)
	}
	got, err := os.ReadFile(r.disk(n))
	if err != nil || !bytes.Equal(got, want) {
		r.t.Errorf("the disk of pc-%02d is not what was imaged (%d bytes, %v)", n, len(got), err)
	}
}

// TestWebDay is an operator's day in a browser with nothing played: the server and 40 agents are the real programs on a
// LAN of namespaces, and what they receive is a real cast. One machine's disk fails.
func TestWebDay(t *testing.T) {
	browser.Wanted(t)
	began := time.Now()
	r := newRoom(t)
	ada := strings.TrimSpace(r.diskcast("token", "create", "ada", "--role", "operator"))
	guest := strings.TrimSpace(r.diskcast("token", "create", "guest", "--role", "viewer"))
	c := browser.New(t, r.page())
	c.Login(ada)
	c.Open("/machines")
	c.See("No machine has come yet")
	r.switchOn()
	const rows = `document.querySelectorAll("table.machines tbody tr").length`
	c.WaitFor("the machines", fmt.Sprintf(rows+" === %d", roomNodes), 3*time.Minute) // by itself
	c.Open("/machines?show=approve")
	c.Click("#approve")
	c.See(fmt.Sprintf("%d machines are approved", roomNodes))
	lab := r.path("lab.yaml")
	if err := os.WriteFile(lab, []byte(r.names()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.diskcast("apply", "-f", lab)

	c.Open("/start")
	c.Set("#what", "profile:lesson")
	c.Set("#on", "pc-*")
	c.Set("#min", strconv.Itoa(roomNodes))
	c.Click("main form button.main")
	c.See(fmt.Sprintf("%d goes", roomNodes))
	c.Click("main form button.main")
	c.See("s1 is made")
	const bars = `[...document.querySelectorAll("table.parts progress")]`
	const sum = bars + `.reduce((n, b) => n + b.value, 0)`
	c.WaitFor("the bars", fmt.Sprintf(bars+".filter(b => b.value > 0).length >= %d - 1", roomNodes), 2*time.Minute)
	was := c.JS(sum)
	c.Wait("the bars move", sum+" > "+was+" + 100")
	t.Logf("the sum of %d bars went from %s to %s by itself", roomNodes, was, c.JS(sum))
	c.Shoot("real-session")
	c.See("Mbit/s")
	c.Open("/casts") // while it is one
	c.See("s1")
	c.Shoot("real-casts")
	c.Open("/sessions/s1")
	c.SeeFor("no space left on device", 2*time.Minute)
	first := c.JS(`document.querySelector("table.parts tbody tr td").innerText`)
	if want := fmt.Sprintf("pc-%02d", roomFailed); !strings.Contains(first, want) {
		t.Errorf("the first line is of %q, want the machine that failed, %s", first, want)
	}
	c.SeeFor(fmt.Sprintf("%d of %d done", roomNodes-1, roomNodes), 4*time.Minute)
	c.Shoot("real-failed")
	var s doc.Session
	if err := json.Unmarshal([]byte(r.diskcast("session", "show", "s1", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	if got := len(s.Parts); got != roomNodes || s.Cast == nil || s.Cast.Stats.Sent == 0 {
		t.Errorf("%d parts, want %d with a cast: %+v", got, roomNodes, s.Cast)
	}
	var byCast int64
	for _, p := range s.Parts {
		if p.Progress != nil {
			byCast += p.Progress.Multicast
		}
	}
	if least := int64(roomNodes-1) * roomDisk / 4; byCast < least {
		t.Errorf("%d bytes came by multicast to all machines, want at least %d", byCast, least)
	}

	r.mend()
	c.Click("#do-retry")
	c.See("Do again what is not done of s1?")
	c.Click("main form button.main")
	c.See("s2 does again what was not done")
	c.Open("/sessions/s2")
	c.SeeFor("1 of 1 done", 3*time.Minute)
	for n := 1; n <= roomNodes; n++ {
		r.written(n)
	}
	c.Open("/machines/pc-12/capture")
	c.Set("#name", "golden")
	c.Click("main form button.main")
	c.See("1 goes")
	c.Click("main form button.main")
	c.See("s3 is made")
	c.SeeFor("1 of 1 done", 3*time.Minute)
	c.Open("/images/golden")
	if n := c.JS(`document.querySelectorAll("svg.map rect.used, svg.map rect.shared").length`); n == "0" {
		t.Error("the map of what was captured is empty")
	}
	c.Shoot("real-image")
	out := r.diskcast("image", "diff", "debian", "golden", "--store", r.path("store"))
	if !strings.Contains(out, "same") {
		t.Errorf("what was captured is not what was restored: %s", out)
	}

	c.Login(guest)
	c.Open("/sessions/s1")
	c.See("pc-07")
	if n := c.JS(`document.querySelectorAll("main .actions a, main form").length`); n != "0" {
		t.Errorf("a viewer has %s buttons", n)
	}
	c.Open("/sessions/s1/retry")
	c.See("this wants operator")
	t.Logf("an operator's day with a real cast to %d agents: %v", roomNodes, time.Since(began).Round(time.Second))
}
