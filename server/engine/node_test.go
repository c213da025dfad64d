package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/store"
)

func TestLongPoll(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	type answer struct {
		d   *session.Descriptor
		err error
	}
	got := make(chan answer)
	poll := func(ctx context.Context, wait time.Duration) {
		d, err := h.e.Descriptor(ctx, a.id, 0, wait)
		got <- answer{d, err}
	}
	go poll(t.Context(), time.Hour)
	h.create(doc.Spec{Count: 1})
	if x := <-got; x.err != nil || x.d == nil || x.d.Action != session.Restore {
		t.Errorf("poll: %+v, %v", x.d, x.err)
	}
	if d := a.descriptor(a.descriptor(0).Serial); d != nil {
		t.Errorf("newer than the newest: %+v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.e.Descriptor(ctx, a.id, 99, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled poll: %v", err)
	}
	if _, err := h.e.Descriptor(t.Context(), "nobody", 0, 0); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("poll of nobody: %v", err)
	}
}

func TestTokens(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	b.powerOn()
	first := a.token
	a.hello() // the answer to the first was lost
	if a.token != first {
		t.Error("a repeated hello gives another token")
	}
	for name, token := range map[string]string{
		"empty": "", "no dot": "x", "other node's": a.id + b.token[strings.IndexByte(b.token, '.'):],
		"unknown node": "00-00-00-00-00-09.00", "cut": a.token[:len(a.token)-1],
	} {
		if _, err := h.e.Authorize(token); !errors.Is(err, engine.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := h.e.Events(t.Context(), a.id,
		&session.Events{V: 1, Boot: "another", Events: []session.Event{{Seq: 1, Step: "log"}}})
	if !errors.Is(err, engine.ErrToken) {
		t.Errorf("events of another boot: %v", err)
	}
}

func TestHello(t *testing.T) {
	h := newHouse(t)
	hello := func(boot string, nics ...session.NIC) (*session.HelloReply, error) {
		return h.e.Hello(t.Context(),
			&session.Hello{V: 1, Boot: boot,
				Inventory: session.Inventory{UUID: "4c4c4544-0035-4b10-8052-b4c04f4d3332", Serial: "5K5RM32",
					NICs: nics}}, netip.Addr{})
	}
	if _, err := hello("b", session.NIC{MAC: "x"}, session.NIC{MAC: "00:00:00:00:00:00"}); !errors.Is(err,
		engine.ErrSpec) {
		t.Errorf("no MAC: %v", err)
	}
	if _, err := hello(strings.Repeat("b", 200), session.NIC{MAC: "52:54:00:00:00:01"}); !errors.Is(err,
		engine.ErrSpec) {
		t.Errorf("long boot id: %v", err)
	}
	if _, err := hello("b", session.NIC{MAC: "52:54:00:00:00:01",
		Driver: strings.Repeat("x", 100_000)}); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("huge inventory: %v", err)
	}
	one, err := hello("b1", session.NIC{MAC: "52:54:00:00:00:01"}, session.NIC{MAC: "52:54:00:00:00:02", Boot: true})
	if err != nil || one.Node != "52-54-00-00-00-02" {
		t.Fatalf("the boot NIC names the node: %+v, %v", one, err)
	}
	// The same machine, booted from its other NIC, which DHCP saw first.
	h.e.Saw("52:54:00:00:00:01", netip.Addr{}, doc.StepDHCP, "")
	two, err := hello("b2", session.NIC{MAC: "52:54:00:00:00:01", Boot: true}, session.NIC{MAC: "52:54:00:00:00:02"})
	if err != nil || two.Node != one.Node {
		t.Errorf("booted from its other NIC: %+v, %v", two, err)
	}
	if n := h.e.Nodes(); len(n) != 1 || len(n[0].MACs) != 2 {
		t.Errorf("nodes: %+v", n)
	}
	if n, err := h.e.Node("52:54:00:00:00:01"); err != nil || n.ID != one.Node {
		t.Errorf("by its other MAC: %+v, %v", n, err)
	}
	if _, err := h.e.Log(t.Context(), "52:54:00:00:00:01", 10, true); err != nil {
		t.Errorf("log by its other MAC: %v", err)
	}
	if err := h.e.Forget(t.Context(), "52:54:00:00:00:01", false); err != nil || len(h.e.Nodes()) != 0 {
		t.Errorf("forgotten by its other MAC: %v, %d nodes left", err, len(h.e.Nodes()))
	}
}

func TestSelectionByOtherMAC(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Nodes: []string{"52:54:00:00:00:0b"}})
	r, err := h.e.Hello(t.Context(), &session.Hello{V: 1, Boot: "b", Inventory: session.Inventory{NICs: []session.NIC{
		{MAC: "52:54:00:00:00:0a", Boot: true}, {MAC: "52:54:00:00:00:0b"}}}}, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.e.Descriptor(t.Context(), r.Node, 0, 0)
	if err != nil || d == nil || d.Session != s.ID {
		t.Errorf("a node named by its second MAC: %+v, %v", d, err)
	}
	h.expect(s.ID, "casting offered")
	// Named by both, it is still one node.
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	s = h.create(doc.Spec{Nodes: []string{"52:54:00:00:00:0b", "52:54:00:00:00:0a"}})
	h.expect(s.ID, "casting offered")
}

func TestEventsAreKeptOnceAndBounded(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	for i := range 700 {
		a.say("", fmt.Sprintf("log: line %d\x1b[31m", i))
	}
	a.seq = 690
	a.say("", "log: again", "log: again")
	h.restart()
	lines, err := h.e.Log(t.Context(), a.mac, 10, false)
	if err != nil || len(lines) != 10 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if got := lines[9].Event.Message; got != "line 699\ufffd[31m" {
		t.Errorf("last line %q", got)
	}
	if lines, _ = h.e.Log(t.Context(), a.mac, 10000, true); len(lines) != 512 {
		t.Errorf("%d events kept", len(lines))
	}
	a.seq = 700
	a.say("", "log: after the restart")
	if lines, _ = h.e.Log(t.Context(), a.mac, 1, false); lines[0].Event.Message != "after the restart" {
		t.Errorf("last line %+v", lines)
	}
	evs := make([]session.Event, 1001)
	if err := h.e.Events(t.Context(), a.id, &session.Events{V: 1, Boot: a.boot, Events: evs}); !errors.Is(err,
		engine.ErrSpec) {
		t.Errorf("huge batch: %v", err)
	}
}

// TestNotDurableIsNotAcknowledged has a store that stops taking writes, as a full disk does.
func TestNotDurableIsNotAcknowledged(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	a := h.machine(1)
	db := h.store.(*store.Memory)
	db.SetFail(errors.New("disk full"))
	_, err := h.e.Hello(t.Context(),
		&session.Hello{V: 1, Boot: "b", Inventory: session.Inventory{NICs: []session.NIC{{MAC: a.mac}}}}, netip.Addr{})
	if err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Fatalf("hello: %v", err)
	}
	db.SetFail(nil)
	a.boot = "b"
	a.hello()
	if a.told() != "restore "+s.ID {
		t.Errorf("told: %s", a.told())
	}
	h.restart()
	h.expect(s.ID, "casting offered")
	if a.told() != "restore "+s.ID {
		t.Errorf("told after a restart: %s", a.told())
	}
}

func TestMachinesThatNeverSayHello(t *testing.T) {
	h := newHouse(t)
	for i := range 1100 {
		h.e.Saw(fmt.Sprintf("52:54:00:01:%02x:%02x", i/256, i%256), netip.Addr{}, doc.StepDHCP, "")
	}
	if n := len(h.e.Nodes()); n != 1024 {
		t.Errorf("%d nodes", n)
	}
	h.e.Problem("52:54:00:01:00:ff", netip.Addr{}, "no boot file")
	n, err := h.e.Node("52:54:00:01:00:ff")
	if err != nil || n.Where != doc.Booting || n.Problem != "no boot file" {
		t.Errorf("%+v, %v", n, err)
	}
	h.e.Saw("nonsense", netip.Addr{}, doc.StepDHCP, "")
	h.e.Saw("", netip.MustParseAddr("10.9.9.9"), doc.StepKernel, "") // an address that nobody has
	if err := h.e.Forget(t.Context(), "52:54:00:01:00:ff", false); err != nil {
		t.Error(err)
	}
	h.restart()
	if n := len(h.e.Nodes()); n != 1023 {
		t.Errorf("%d nodes after a restart", n)
	}
}

// TestKnown is what tells a machine that boots from one that only asks.
func TestKnown(t *testing.T) {
	h := newHouse(t)
	const mac = "52:54:00:00:00:01"
	if h.e.Known(mac) {
		t.Error("a machine that was never seen is known")
	}
	h.e.Saw(mac, netip.Addr{}, doc.StepDHCP, "")
	h.e.Saw(mac, netip.Addr{}, doc.StepBootfile, "") // a name and one packet to forge
	if h.e.Known(mac) {
		t.Error("a machine that asked for addresses is known")
	}
	h.e.Saw(mac, netip.Addr{}, doc.StepKernel, "")
	if !h.e.Known(mac) {
		t.Error("a machine that fetched a kernel is not known")
	}
	_, err := h.e.Hello(t.Context(),
		&session.Hello{V: 1, Boot: "b1", Inventory: session.Inventory{NICs: []session.NIC{{MAC: "52:54:00:00:00:02"}}}},
		netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	h.restart()
	if !h.e.Known("52:54:00:00:00:02") {
		t.Error("a machine whose agent said hello is not known after a restart")
	}
}

func TestForget(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	a := h.machine(1)
	a.powerOn()
	if err := h.e.Forget(t.Context(), a.mac, false); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("busy node: %v", err)
	}
	a.say(s.ID, goodRestore...)
	if err := h.e.Forget(t.Context(), a.mac, false); err != nil {
		t.Error(err)
	}
	h.expect(s.ID, "done done")
	h.restart()
	if lines, err := h.e.Log(t.Context(), a.mac, 10, true); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("log of a forgotten node: %v, %v", lines, err)
	}
	if !a.powerOn() {
		t.Error("a forgotten machine was sent to its disk")
	}
}

func TestMayRead(t *testing.T) {
	h := newHouse(t)
	h.create(doc.Spec{Count: 1})
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	b.powerOn()
	img := a.descriptor(0).Image
	for _, c := range []struct {
		node   *machine
		digest string
		want   bool
	}{{a, img.Manifest, true}, {a, img.Config.Digest, true}, {a, img.Index.Digest, true}, {b, img.Manifest, false},
		{a, "sha256:" + strings.Repeat("f", 64), false}} {
		if got := h.e.MayRead(c.node.id, c.digest); got != c.want {
			t.Errorf("%s reads %s: %v", c.node.id, c.digest, got)
		}
	}
}

func TestWatch(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	sub, err := h.e.Watch(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	a := h.machine(1)
	a.powerOn()
	// A cast whose nodes are done before it has begun sends nothing.
	if err := h.casts.Wait(t.Context(), running(1)); err != nil {
		t.Fatal(err)
	}
	a.say(s.ID, goodRestore...)
	lines := waitOver(t, sub)
	var steps []string
	for _, l := range lines {
		if l.Event != nil {
			steps = append(steps, l.Event.Event.Step)
		}
	}
	if got := strings.Join(steps, " "); got != "plan table first-byte last-byte written verified grown entry boot" {
		t.Errorf("events: %s", got)
	}
	last := lines[len(lines)-1]
	if last.Session == nil || last.Session.State != doc.Done || last.Session.Cast.Stats.Sent != 1000 ||
		last.Session.Cast.Stats.Sending {
		t.Errorf("last line: %+v", last.Session)
	}
	if _, err := h.e.Watch("s99"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("watch of nothing: %v", err)
	}
}

// TestTimesAreTheNodes has a batch that waited while the server was away: its events get the times at which they
// happened.
func TestTimesAreTheNodes(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	a := h.machine(1)
	a.powerOn() // its kernel started now, as far as this test goes
	start := h.clock()
	say := func(seq uint64, steps map[string]float64) {
		var evs []session.Event
		for _, step := range []string{"plan", "first-byte", "last-byte"} {
			if since, ok := steps[step]; ok {
				evs = append(evs, session.Event{Seq: seq, Session: s.ID, Step: step, Since: since})
				seq++
			}
		}
		if err := h.e.Events(t.Context(), a.id, &session.Events{V: 1, Boot: a.boot, Events: evs}); err != nil {
			t.Fatal(err)
		}
	}
	h.pass(10 * time.Second)
	say(1, map[string]float64{"plan": 10})
	h.pass(50 * time.Second)
	say(2, map[string]float64{"first-byte": 12, "last-byte": 30})
	v, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	for step, want := range map[string]float64{"plan": 10, "first-byte": 12, "last-byte": 30} {
		if got := v.Parts[0].Steps[step].Time.Sub(start).Seconds(); got != want {
			t.Errorf("%s at %v s, want %v", step, got, want)
		}
	}
}
