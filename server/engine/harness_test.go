package engine_test

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/store"
)

// house is an engine with all that it needs; crash and start again are methods of it.
type house struct {
	t      *testing.T
	store  store.Store
	images *enginetest.Images
	casts  *enginetest.Casts
	room   engine.Captures // nil: no captures
	seal   *sealed.Key     // nil: nothing is personalized
	// powered has each server switch machines by a desk of its own, power, and have hooks.
	powered bool
	power   *enginetest.Power
	hooks   *enginetest.Hooks
	kinds   jobs.Kinds // nil: those of a server
	tick    chan time.Time
	addr    netip.Addr
	name    string // of the server
	// approve is which machines sessions may take; empty: all
	approve string
	dynamic func(netip.Addr) bool
	zone    *time.Location // of repeating sessions; nil: UTC
	words   engine.Words   // nil: nobody is told anything
	tests   func(uefi bool) (string, bool)
	sign    func(*receipt.Receipt) (*receipt.Envelope, error)

	mu  sync.Mutex
	now time.Time
	up  func() time.Duration // nil: nobody sees that the clock is set

	e    *engine.Engine
	stop context.CancelFunc
	done chan error
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, store: store.NewMemory(), images: &enginetest.Images{}, addr: netip.MustParseAddr("127.0.0.1"),
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.start()
	t.Cleanup(func() { h.crash() })
	return h
}

func (h *house) start(setup ...func(*enginetest.Casts)) {
	h.t.Helper()
	h.casts, h.tick = &enginetest.Casts{}, make(chan time.Time)
	for _, f := range setup {
		f(h.casts)
	}
	cfg := engine.Config{Store: h.store, Images: h.images, Casts: h.casts, Captures: h.room, Kinds: h.kinds,
		Addr: h.addr, Server: h.name, Now: h.clock, Up: h.up, Tick: h.tick, Sign: h.sign, Seal: h.seal,
		Approve: h.approve, Dynamic: h.dynamic, Words: h.words, Tests: h.tests, Zone: cmp.Or(h.zone, time.UTC)}
	if h.powered {
		h.power, h.hooks = &enginetest.Power{}, &enginetest.Hooks{}
		cfg.Power, cfg.Hooks = h.power, h.hooks
	}
	e, err := engine.New(h.t.Context(), cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.e, h.stop, h.done = e, cancel, make(chan error, 1)
	go func() { h.done <- e.Run(ctx) }()
	<-e.Ready()
}

// crash ends the engine. What a caller was told is durable is in the store by then; the engine's own last writes are
// too, which a kill would lose: the restart tests with a store that stops taking writes cover that.
func (h *house) crash() {
	if h.stop == nil {
		return
	}
	h.stop()
	if err := <-h.done; err != nil {
		h.t.Errorf("engine: %v", err)
	}
	h.stop = nil
}

func (h *house) restart() { h.crash(); h.start() }

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// pass lets time pass and the engine notice.
func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	h.mu.Unlock()
	h.tick <- h.clock()
	h.tick <- h.clock() // taken only after the first was worked on
}

func (h *house) create(spec doc.Spec) *doc.Session {
	h.t.Helper()
	spec.V = 1
	if spec.Image == "" {
		spec.Image = "debian"
	}
	s, err := h.e.Create(h.t.Context(), spec)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// machine is a node under the test's control.
type machine struct {
	h     *house
	mac   string
	id    string
	boot  string
	boots int
	seq   uint64
	token string
	// firmware is what its inventory says, uuid and serial too; others are its second NICs.
	firmware     string
	uuid, serial string
	others       []string
	addr         netip.Addr
	disks        []session.Disk // nil: one
	plugged      [2]string      // switch and port, as it heard
	mute         bool           // it names no disk
}

func (h *house) machine(n int) *machine {
	return &machine{h: h, mac: fmt.Sprintf("52:54:00:00:00:%02x", n)}
}

// powerOn boots the agent, as far as the engine lets it: it reports whether the machine was sent to the agent.
func (m *machine) powerOn() bool {
	m.h.t.Helper()
	if m.boots > 0 {
		m.h.pass(time.Minute) // firmware takes its time; the boot before is silent
	}
	addr := netip.AddrFrom4([4]byte{10, 0, 0, m.mac[len(m.mac)-1]})
	m.h.e.Saw(m.mac, addr, doc.StepDHCP, "test")
	if m.h.e.Boots(m.mac) == netboot.OwnDisk {
		m.h.e.Saw(m.mac, addr, doc.StepLocal, "")
		return false
	}
	m.h.e.Saw("", addr, doc.StepKernel, "vmlinuz")
	m.boots++
	m.boot, m.seq = fmt.Sprintf("boot-%s-%d", m.mac, m.boots), 0
	m.hello()
	return true
}

func (m *machine) hello() {
	m.h.t.Helper()
	inv := session.Inventory{Firmware: m.firmware, UUID: m.uuid, Serial: m.serial,
		NICs: []session.NIC{{Name: "eth0", MAC: m.mac, Boot: true,
			Switch: m.plugged[0], Port: m.plugged[1]}}, Disks: m.disks}
	if inv.Disks == nil {
		inv.Disks = []session.Disk{{Path: "/dev/vda", Size: 1 << 30}}
	}
	for _, mac := range m.others {
		inv.NICs = append(inv.NICs, session.NIC{MAC: mac})
	}
	r, err := m.h.e.Hello(m.h.t.Context(), &session.Hello{V: 1, Boot: m.boot, Agent: "test", Inventory: inv}, m.addr)
	if err != nil {
		m.h.t.Fatal(err)
	}
	m.id, m.token = r.Node, r.Token
}

// descriptor is the one the node has now, nil when it has none.
func (m *machine) descriptor(after uint64) *session.Descriptor {
	m.h.t.Helper()
	d, err := m.h.e.Descriptor(m.h.t.Context(), m.id, after, 0)
	if err != nil {
		m.h.t.Fatal(err)
	}
	return d
}

// told is the action of the node's descriptor and its session.
func (m *machine) told() string {
	m.h.t.Helper()
	d := m.descriptor(0)
	if d == nil {
		return "nothing"
	}
	return strings.TrimSpace(d.Action + " " + d.Session)
}

// choose names the machine's first disk as the session's, as agents do before their plan. What the engine refuses of it
// is of no matter here.
func (m *machine) choose(id string) {
	d := session.Disk{Path: "/dev/vda", Size: 1 << 30}
	if m.disks != nil {
		d = m.disks[0]
	}
	_, _ = m.h.e.ChooseDisk(m.h.t.Context(), m.id, &session.DiskChoice{V: 1, Session: id, Disk: d.ID()})
}

func (m *machine) say(id string, steps ...string) {
	m.h.t.Helper()
	var evs []session.Event
	for _, s := range steps {
		step, msg, _ := strings.Cut(s, ": ")
		if step == session.StepPlan && !m.mute {
			m.choose(id)
		}
		m.seq++
		ev := session.Event{Seq: m.seq, Session: id, Step: step, Level: session.Info, Message: msg,
			Since: float64(m.seq)}
		if step == session.StepProgress {
			ev.Progress = &session.Progress{Received: 500, Needed: 1000}
		}
		evs = append(evs, ev)
	}
	if err := m.h.e.Events(m.h.t.Context(), m.id, &session.Events{V: 1, Boot: m.boot, Events: evs}); err != nil {
		m.h.t.Fatal(err)
	}
}

// refuse reports a chunk whose hash is wrong.
func (m *machine) refuse(id string, chunk *int, words string) {
	m.h.t.Helper()
	m.seq++
	ev := session.Event{Seq: m.seq, Session: id, Step: session.StepChunk, Level: session.Warn, Message: words,
		Chunk: chunk, Since: float64(m.seq)}
	if err := m.h.e.Events(m.h.t.Context(), m.id,
		&session.Events{V: 1, Boot: m.boot, Events: []session.Event{ev}}); err != nil {
		m.h.t.Fatal(err)
	}
}

var goodRestore = []string{session.StepPlan, session.StepTable, session.StepFirstByte, session.StepProgress,
	session.StepLastByte, session.StepWritten, session.StepVerified, session.StepGrown, session.StepEntry,
	session.StepBoot}

// remove forgets a session that was just ended: its cast ends a moment later, of which nothing is told.
func (h *house) remove(id string) {
	h.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for over := time.After(30 * time.Second); ; {
		err := h.e.Remove(h.t.Context(), id)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
			if strings.Contains(err.Error(), "is just ending") {
				continue
			}
		case <-over:
		}
		h.t.Fatal(err)
	}
}

func (h *house) state(id string) string {
	h.t.Helper()
	s, err := h.e.Session(id)
	if err != nil {
		h.t.Fatal(err)
	}
	words := []string{s.State}
	for _, p := range s.Parts {
		words = append(words, p.State)
	}
	return strings.Join(words, " ")
}

func (h *house) expect(id, want string) {
	h.t.Helper()
	if got := h.state(id); got != want {
		h.t.Errorf("session %s is %q, want %q", id, got, want)
	}
}
