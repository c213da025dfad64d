package engine_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs/kinds"
	"github.com/diskcast/diskcast/server/store"
)

var errKilled = errors.New("the server is killed")

// mortal is a store that takes so many transactions more, and then none: what a server that is killed leaves.
type mortal struct {
	store.Store
	mu   sync.Mutex
	left int
	dead bool // it refused one
}

func (m *mortal) Update(ctx context.Context, f func(store.WriteTx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left == 0 {
		m.dead = true
		return errKilled
	}
	m.left--
	return m.Store.Update(ctx, f)
}

func (m *mortal) live(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left, m.dead = n, false
}

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// agent is a node's agent: it does one thing after the other, each until it is answered.
type agent struct {
	m       *machine
	todo    []func() error // what fails is tried again
	serials map[uint64]bool
	d       *session.Descriptor
}

var errNotYet = errors.New("not yet")

func (a *agent) hello(ctx context.Context) error {
	m := a.m
	m.boot = "boot-" + m.mac
	inv := session.Inventory{NICs: []session.NIC{{MAC: m.mac, Boot: true}},
		Disks: []session.Disk{{Path: "/dev/vda", Size: 1 << 30}}}
	r, err := m.h.e.Hello(ctx, &session.Hello{V: 1, Boot: m.boot, Agent: "test", Inventory: inv}, m.addr)
	if err == nil {
		m.id, m.token = r.Node, r.Token
	}
	return err
}

// poll asks for the descriptor of a part, until there is one.
func (a *agent) poll(ctx context.Context) error {
	if err := a.look(ctx); err != nil || a.d != nil {
		return err
	}
	return errNotYet
}

// look asks for a descriptor, as an agent does all the time.
func (a *agent) look(ctx context.Context) error {
	d, err := a.m.h.e.Descriptor(ctx, a.m.id, 0, 0)
	if err == nil && d != nil && d.Action != session.Idle {
		a.d = d
		a.serials[d.Serial] = true
	}
	return err
}

// steps are reports, each with a number that it keeps however often it is sent. The last one is sent twice: its answer
// was lost.
func (a *agent) steps(ctx context.Context, steps ...string) {
	steps = append(steps, steps[len(steps)-1])
	for i, step := range steps {
		if step == session.StepPlan {
			a.choose(ctx)
		}
		if i < len(steps)-1 {
			a.m.seq++
		}
		ev := session.Event{Seq: a.m.seq, Step: step, Level: session.Info, Since: float64(a.m.seq)}
		if step == "found" {
			ev.Result = json.RawMessage(`{"grams":3}`)
		}
		if step == rescue.StepOpen {
			ev.Result = json.RawMessage(shellAt)
		}
		if step == erasure.StepErased {
			ev.Result = json.RawMessage(`{"v":1,"ok":true,"method":"zero","term":"clear","reason":"all was overwritten",
				"disk":{"path":"/dev/vda","size":1073741824},"read_back":{"scope":"none","first_bad":-1}}`)
		}
		a.todo = append(a.todo, func() error { return a.look(ctx) }, func() error {
			ev.Session = a.d.Session
			return a.m.h.e.Events(ctx, a.m.id, &session.Events{V: 1, Boot: a.m.boot, Events: []session.Event{ev}})
		})
	}
}

// choose names the disk that the plan chose.
func (a *agent) choose(ctx context.Context) {
	a.todo = append(a.todo, func() error {
		_, err := a.m.h.e.ChooseDisk(ctx, a.m.id,
			&session.DiskChoice{V: 1, Session: a.d.Session, Disk: session.DiskID{Path: "/dev/vda", Size: 1 << 30}})
		return err
	})
}

// TestKilled kills the server between any two transactions while sessions of all kinds run: nothing is lost, and
// nothing is done twice.
func TestKilled(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seeds := uint64(100)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { killed(t, rand.New(rand.NewPCG(seed, 2)), key) })
	}
}

func killed(t *testing.T, rng *rand.Rand, key *ecdsa.PrivateKey) {
	ctx := t.Context()
	h := newHouse(t)
	h.crash()
	db := &mortal{Store: h.store, left: -1}
	room := &storeRoom{free: 1 << 40}
	h.store, h.room, h.kinds, h.powered = db, room, append(kinds.All(), probe{}), true
	h.sign = func(r *receipt.Receipt) (*receipt.Envelope, error) {
		env, err := receipt.Sign(r, key)
		if err != nil {
			t.Errorf("a receipt cannot be signed: %v", err)
		}
		return env, err
	}
	h.start()

	agents := []*agent{}
	var names []string
	h.written(5)
	on := 0 // machines of the first session that have power
	for i := range 5 {
		a := &agent{m: h.machine(i + 1), serials: map[uint64]bool{}}
		if i < 2 { // its BMC does what is asked, and whoever asked may be dead by then
			a.todo = append(a.todo, func() error {
				if on <= i && !h.power.Answer(isOn) {
					return errNotYet
				}
				on++
				return nil
			})
		}
		a.todo = append(a.todo, func() error { return a.hello(ctx) }, func() error { return a.poll(ctx) })
		agents = append(agents, a)
		names = append(names, a.m.mac)
	}
	restores, leaves := goodRestore, &session.Boot{Method: session.BootKexec}
	if rng.IntN(2) == 0 {
		restores, leaves = shellRestore, &session.Boot{Method: session.BootShell}
	}
	agents[0].steps(ctx, restores...)
	agents[1].steps(ctx, restores...)
	agents[2].steps(ctx, session.StepPlan)
	agents[2].todo = append(agents[2].todo, func() error {
		u, err := h.e.Upload(agents[2].m.id, agents[2].d.Upload.ID)
		if err != nil {
			return err
		}
		return h.e.Captured(ctx, u, "sha256:1")
	})
	agents[2].steps(ctx, session.StepUploaded)
	agents[3].steps(ctx, session.StepPlan, "found")
	agents[4].choose(ctx)
	agents[4].steps(ctx, session.StepPlan, erasure.StepErased)

	operator := &agent{}
	for _, spec := range []doc.Spec{{V: 1, Image: "debian", Nodes: names[:2], MinNodes: 2, Power: doc.PowerOn,
		Boot: leaves},
		{V: 1, Capture: "golden", Nodes: names[2:3]},
		{V: 1, Kind: "probe", Job: json.RawMessage(`{"for":"gold"}`), Nodes: names[3:4]},
		{V: 1, Kind: "erase", Job: json.RawMessage(`{"method":"zero","read_back":"none"}`), Nodes: names[4:]}} {
		operator.todo = append(operator.todo, func() error {
			_, err := h.e.Create(ctx, spec)
			return err
		})
	}
	agents = append(agents, operator)

	db.live(rng.IntN(6))
	kills := 0
	for n := 0; ; n++ {
		var busy []*agent
		for _, a := range agents {
			if len(a.todo) > 0 {
				busy = append(busy, a)
			}
		}
		if len(busy) == 0 {
			break
		}
		if n > 5000 {
			t.Fatalf("%d things were done, and %d still wait", n, len(busy))
		}
		a := busy[rng.IntN(len(busy))]
		err := errKilled
		if !db.isDead() { // by what the server does by itself
			err = a.todo[0]()
		}
		switch {
		case err == nil:
			a.todo = a.todo[1:]
		case errors.Is(err, errNotYet):
		case errors.Is(err, errKilled):
			kills++
			h.crash()
			db.live(-1)
			h.start()
			h.pass(time.Second)
			if kills < 20 {
				db.live(rng.IntN(6))
			}
		default:
			t.Fatalf("after %d kills: %v", kills, err)
		}
	}
	if kills < 3 {
		t.Fatalf("%d kills", kills)
	}
	db.live(-1)
	h.restart()
	for i, want := range []string{"done done done", "done done", "done done", "done done"} {
		found := false
		for _, s := range h.e.Sessions() {
			kind := []bool{s.Spec.Image != "", s.Spec.Capture != "", s.Spec.Kind == "probe", s.Spec.Kind == "erase"}[i]
			if kind && found {
				t.Errorf("there are two sessions like %s", s.ID)
			}
			if kind {
				found = true
				h.expect(s.ID, want)
				receipts, err := h.e.Receipts(ctx, s.ID)
				if err != nil || (len(receipts) != 1) == (s.Spec.Kind == "erase") {
					t.Errorf("%d receipts of session %s, %v", len(receipts), s.ID, err)
				}
			}
		}
		if !found {
			t.Errorf("session %d is lost", i)
		}
	}
	for i, a := range agents[:5] {
		if len(a.serials) != 1 {
			t.Errorf("agent %d was given its work %d times", i, len(a.serials))
		}
		if a.m.told() != "idle" {
			t.Errorf("agent %d is told %s", i, a.m.told())
		}
		if n := h.node(a.m.id); n.Session != "" || n.Imaged != (i < 3) {
			t.Errorf("agent %d: session %q, imaged %v", i, n.Session, n.Imaged)
		}
		lines, err := h.e.Log(ctx, a.m.id, 1000, true)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, l := range lines {
			if seen[l.Event.Step]++; seen[l.Event.Step] > 1 {
				t.Errorf("agent %d: step %s stands there twice", i, l.Event.Step)
			}
		}
	}
	if err := h.casts.Wait(ctx, running(0)); err != nil {
		t.Error(err)
	}
	h.crash()
	if n := h.images.Open("debian"); n != 0 {
		t.Errorf("the image is held %d times", n)
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	if !slices.Contains(room.ended, agents[2].d.Upload.ID) {
		t.Errorf("what was left of uploads was thrown away: %q, and not %s", room.ended, agents[2].d.Upload.ID)
	}
}
