package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// machine is one that boots, asks and reports as the agent does, on connections of its own.
type machine struct {
	n      int
	http   *http.Client
	server string
	boot   string
	reply  session.HelloReply
	serial uint64
	seq    uint64
	pace   atomic.Int64 // between two reports, as the server said last
	at     int          // of the object, in thousandths
	task   *session.Descriptor
}

// mac is the address of the nth machine's NIC.
func mac(n int) string { return fmt.Sprintf("52:54:01:%02x:%02x:%02x", n>>16&255, n>>8&255, n&255) }

// nodeName is what the server calls it.
func nodeName(n int) string { return strings.ReplaceAll(mac(n), ":", "-") }

// times are how long requests of a kind took.
type times struct {
	mu  sync.Mutex
	all []float64 // seconds
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	t.all = append(t.all, d.Seconds())
	t.mu.Unlock()
}

// again counts requests whose connection was lost, and which were made anew, as agents do.
var again atomic.Int64

// ask makes a request, and returns the answer's document and how long it took, all tries together. Any other status
// than those that are wanted is an error.
func (m *machine) ask(ctx context.Context, method, path string, body any, want ...int) ([]byte, time.Duration, error) {
	began := time.Now()
	for try := 0; ; try++ {
		b, err := m.try(ctx, method, path, body, want...)
		var lost *url.Error
		if !errors.As(err, &lost) || ctx.Err() != nil || try == 5 {
			return b, time.Since(began), err
		}
		again.Add(1)
	}
}

func (m *machine) try(ctx context.Context, method, path string, body any, want ...int) ([]byte, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, m.server+path, in)
	if err != nil {
		return nil, err
	}
	if m.reply.Token != "" {
		r.Header.Set("Authorization", "Bearer "+m.reply.Token)
	}
	a, err := m.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return nil, &url.Error{Op: method, URL: path, Err: err}
	}
	if strings.HasSuffix(path, "/events") {
		m.pace.Store(int64(session.ReportEveryOf(a.Header)))
	}
	if slices.Contains(want, a.StatusCode) {
		return b, nil
	}
	return nil, fmt.Errorf("machine %d: %s %s: %d %.300s", m.n, method, path, a.StatusCode, b)
}

// hello says what a usual machine says: a disk or two, two NICs, what is on the disk.
func (m *machine) hello(ctx context.Context) (time.Duration, error) {
	disk := session.Disk{Path: "/dev/sda", Size: 512110190592, SectorSize: 512, Model: "SAMSUNG MZVL2512HCJQ-00B00",
		Serial: fmt.Sprintf("S675NX0T%06d", m.n), WWN: fmt.Sprintf("eui.00253842%08x", m.n), Bus: "nvme",
		BusPath: "pci-0000:01:00.0-nvme-1"}
	id := session.DiskID{Path: disk.Path, Size: disk.Size, Model: disk.Model, Serial: disk.Serial, WWN: disk.WWN}
	h := session.Hello{V: session.Version, Boot: m.boot, Agent: "bench", Inventory: session.Inventory{
		UUID: fmt.Sprintf("4c4c4544-0044-3510-8052-%012x", m.n), Serial: fmt.Sprintf("PC%06d", m.n),
		Vendor: "Dell Inc.", Product: "OptiPlex 7010", Firmware: session.UEFI, Kernel: "6.1.0-56-amd64",
		CPUs: 12, Memory: 32 << 30,
		Disks: []session.Disk{disk},
		NICs: []session.NIC{
			{Name: "eth0", MAC: mac(m.n), Driver: "e1000e", Up: true, Mbps: 1000, MTU: 1500, Boot: true},
			{Name: "wlan0", MAC: strings.Replace(mac(m.n), "52:54:01", "52:54:02", 1), Driver: "iwlwifi", MTU: 1500}},
		Survey: &session.Survey{Disks: []session.Content{{Disk: id, Table: "gpt",
			Partitions: []session.PartitionContent{
				{Number: 1, Start: 1 << 20, Size: 512 << 20, Name: "EFI System", FS: "vfat", Label: "ESP"},
				{Number: 2, Start: 513 << 20, Size: 400 << 30, Name: "root", FS: "ext4", Label: "root"}}}}},
	}}
	b, took, err := m.ask(ctx, "POST", "/v1/node/hello", h, http.StatusOK)
	if err != nil {
		return 0, err
	}
	return took, session.Decode(bytes.NewReader(b), &m.reply)
}

// poll asks what to do, waiting for so long; it reports whether there is something new.
func (m *machine) poll(ctx context.Context, wait time.Duration) (news bool, took time.Duration, err error) {
	b, took, err := m.ask(ctx, "GET", fmt.Sprintf("/v1/node/%s/descriptor?after=%d&wait=%v", m.reply.Node, m.serial,
		wait), nil, http.StatusOK, http.StatusNoContent)
	if err != nil || len(b) == 0 {
		return false, took, err
	}
	m.task = &session.Descriptor{}
	if err := session.Decode(bytes.NewReader(b), m.task); err != nil {
		return false, took, err
	}
	m.serial = m.task.Serial
	return true, took, nil
}

// every is how often the server wants to be told of progress.
func (m *machine) every() time.Duration {
	return max(session.ReportEvery, time.Duration(m.pace.Load()))
}

// say reports an event.
func (m *machine) say(ctx context.Context, step string) (time.Duration, error) {
	m.seq++
	size := m.task.Image.ObjectSize
	done := size * int64(min(m.at, 1000)) / 1000
	ev := session.Event{Seq: m.seq, Session: m.task.Session, Step: step, Level: session.Info, Since: float64(m.seq),
		Progress: &session.Progress{Needed: size, Received: done, Multicast: done, ToWrite: size, Written: done}}
	_, took, err := m.ask(ctx, "POST", "/v1/node/"+m.reply.Node+"/events", session.Events{V: session.Version,
		Boot: m.boot, Events: []session.Event{ev}}, http.StatusOK, http.StatusNoContent)
	return took, err
}

// begin takes the work up: the disk is chosen and the plan told.
func (m *machine) begin(ctx context.Context) error {
	_, _, err := m.ask(ctx, "POST", "/v1/node/"+m.reply.Node+"/disk", session.DiskChoice{V: session.Version,
		Session: m.task.Session, Disk: session.DiskID{Path: "/dev/sda", Size: 512110190592,
			Model: "SAMSUNG MZVL2512HCJQ-00B00", Serial: fmt.Sprintf("S675NX0T%06d", m.n),
			WWN: fmt.Sprintf("eui.00253842%08x", m.n), BusPath: "pci-0000:01:00.0-nvme-1"}}, http.StatusOK)
	for _, step := range []string{session.StepPlan, session.StepFirstByte} {
		if err == nil {
			_, err = m.say(ctx, step)
		}
	}
	return err
}

// summary is how many there were, and their median, 99th percentile and maximum.
func (t *times) summary() (n int, p50, p99, most float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n = len(t.all); n == 0 {
		return 0, 0, 0, 0
	}
	slices.Sort(t.all)
	return n, t.all[n/2], t.all[min(n-1, n*99/100)], t.all[n-1]
}
