package jobs_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/kinds"
)

// probe is a kind of session that is in no other file: it has neither image nor upload, and its part is done at its own
// step.
type probe struct{}

func (probe) Traits() jobs.Traits {
	return jobs.Traits{Action: session.Idle + "-probe", State: "probing", Writes: true, Sure: true}
}
func (probe) Is(spec *doc.Spec) bool                                  { return spec.Kind == "probe" }
func (probe) Check(*doc.Spec) error                                   { return nil }
func (probe) Upload(string, *doc.Spec) *session.Upload                { return nil }
func (probe) Refuse(f *jobs.Facts) string                             { return f.Doubt }
func (probe) Tell(r *jobs.Record, _ *doc.Part, d *session.Descriptor) {}
func (probe) Complete(*jobs.Session, *doc.Part) bool                  { return false }
func (probe) Reason(_ *jobs.Session, bad []string) string             { return jobs.Few(bad) }
func (probe) Report(_ *jobs.Session, _ *doc.Part, x *jobs.Reported) jobs.Outcome {
	return jobs.Outcome{Done: x.Event.Step == "probed", Free: true}
}

// shell is what a server does, in memory: it runs effects, and can be killed between two of them.
type shell struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	st    *jobs.State
	now   time.Time
	began time.Time
	trail []any // of inputs, and of what is not one, in words

	// What a kill leaves.
	sessions, parts map[string]stored
	nodes           map[string]*storedNode
	uploads         map[string]bool // that something has come of
	papers          map[string]bool // receipts, by id

	// What it does not.
	casts, held map[string]bool
	switching   map[string]bool // what is asked of machines' power, by part
	hooks       map[string]bool // that run, by session and when
	facts       map[string]*jobs.Facts
	past        []jobs.Effect

	seq    int
	ended  map[string]string // what must stay of a session that is over
	begun  map[string]string // states of sessions
	states map[string]string // of parts
	word   map[string]bool   // a node said that its part is done, by part
	plans  map[string]bool   // a node had a plan, by part
	paid   map[string]string // the receipt that the last plan led to, by part

	powers, answered map[string]bool // it was not known, and it was told, what came of power, by part
}

// stored is a record, and the state that it says.
type stored struct {
	state string
	json  []byte
}

type storedNode struct {
	Assignment jobs.Assignment
	Descriptor *session.Descriptor
	Serial     uint64
}

func newShell(t *testing.T, seed, stream uint64) *shell {
	sh := &shell{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, stream)),
		now:      time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		sessions: map[string]stored{}, parts: map[string]stored{}, nodes: map[string]*storedNode{},
		uploads: map[string]bool{}, papers: map[string]bool{},
		facts: map[string]*jobs.Facts{}, ended: map[string]string{}, states: map[string]string{},
		word: map[string]bool{}, plans: map[string]bool{}, paid: map[string]string{},
		begun: map[string]string{}, powers: map[string]bool{}, answered: map[string]bool{}}
	sh.boot()
	return sh
}

// boot starts a shell with what is stored.
func (sh *shell) boot() {
	sh.began, sh.casts, sh.held, sh.past = sh.now, map[string]bool{}, map[string]bool{}, nil
	sh.switching, sh.hooks = map[string]bool{}, map[string]bool{}
	sh.st = jobs.New(append(kinds.All(), probe{}), sh.now)
	sh.st.Bound(maxCasts)
	var records []jobs.Record
	for _, b := range sh.sessions {
		var r jobs.Record
		sh.decode(b.json, &r)
		records = append(records, r)
	}
	var parts []*doc.Part
	for _, key := range sorted(sh.parts) {
		p := &doc.Part{}
		sh.decode(sh.parts[key].json, p)
		parts = append(parts, p)
	}
	nodes := map[string]jobs.Assignment{}
	for id, n := range sh.nodes {
		nodes[id] = n.Assignment
	}
	if err := sh.st.Load(records, parts, nodes); err != nil {
		sh.fail("%v", err)
	}
	sh.expect()
	for _, id := range sorted(sh.facts) {
		sh.st.Step(jobs.Seen{Node: id, Facts: *sh.facts[id]}, sh.now)
	}
}

// expect takes what is stored as what must not change.
func (sh *shell) expect() {
	clear(sh.ended)
	clear(sh.states)
	clear(sh.powers)
	for _, id := range sh.st.Order() {
		s := sh.st.Session(id)
		sh.begun[id] = s.State
		if s.Over() {
			sh.ended[id] = s.State + ": " + s.Reason
		}
		for node, p := range s.Parts {
			if p.Over() || !s.Over() { // the others are ended by Resumed
				sh.states[id+"/"+node] = p.State
			}
		}
	}
}

func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (sh *shell) decode(b []byte, v any) {
	if err := json.Unmarshal(b, v); err != nil {
		sh.fail("%v", err)
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (sh *shell) fail(format string, args ...any) {
	sh.t.Helper()
	n := max(0, len(sh.trail)-40)
	var trail strings.Builder
	for _, x := range sh.trail[n:] {
		fmt.Fprintln(&trail, " ", words(x))
	}
	sh.t.Fatalf("seed %d (run it alone with -seed %d -stream %d):\n%s%s", sh.seed, sh.seed, *stream, &trail,
		fmt.Sprintf(format, args...))
}

// step takes an input, runs its effects and looks at all that must hold. At times it is killed meanwhile, and goes on.
func (sh *shell) step(in jobs.Input) {
	sh.trail = append(sh.trail, in)
	plan := ""
	if x, ok := in.(jobs.Reported); ok && x.Event.Step == session.StepPlan {
		if s := sh.st.Current(x.Node); s != nil && s.ID == x.Event.Session && s.Parts[x.Node].State != doc.Waiting &&
			x.Event.Disk < s.Disks() {
			plan = s.ID + "/" + x.Node
		}
	}
	effects := sh.st.Step(in, sh.now)
	if in, ok := in.(jobs.Seen); ok {
		effects = append(effects, jobs.SaveNode{Node: in.Node}) // a shell stores the nodes that it knows
	}
	dies := -1
	if sh.rng.IntN(40) == 0 {
		dies = sh.rng.IntN(len(effects) + 1)
	}
	owed := map[string]bool{} // a receipt is stored in the transaction of its part's end
	for i, x := range effects {
		if dies >= 0 && i >= dies && !slices.ContainsFunc(effects[i:], func(x jobs.Effect) bool {
			switch x := x.(type) {
			case jobs.Account:
				return owed[x.Receipt.Session+"/"+x.Receipt.Machine.ID]
			case jobs.SavePart:
				return owed[x.Session+"/"+x.Node]
			}
			return false
		}) {
			break
		}
		sh.run(x)
		switch x := x.(type) {
		case jobs.Account:
			sh.accounted(x.Receipt)
			owed[x.Receipt.Session+"/"+x.Receipt.Machine.ID] = true
		case jobs.SavePart:
			if s := sh.st.Session(x.Session); s != nil && s.Parts[x.Node] != nil && s.Parts[x.Node].Over() {
				owed[x.Session+"/"+x.Node] = true
			}
			if x.Session+"/"+x.Node == plan { // a node tells again what a server had not stored
				sh.plans[plan] = true
				delete(sh.paid, plan)
			}
		}
	}
	if dies >= 0 {
		sh.trail = append(sh.trail, fmt.Sprintf("killed after %d of %d effects: %+v", dies, len(effects),
			shown(effects)))
		sh.boot()
		sh.step(jobs.Resumed{})
		return
	}
	sh.past = append(sh.past, effects...)
	if len(sh.past) > 60 {
		sh.past = sh.past[len(sh.past)-60:]
	}
	sh.check()
	// Facts are told before the step that they are for: that of a new boot before Greeted.
	switch in.(type) {
	case jobs.Seen, jobs.Rebooted:
	default:
		if sh.rng.IntN(16) == 0 {
			sh.again()
		}
	}
}

// words show an input, and nothing in it as a pointer.
func words(in any) string {
	switch in := in.(type) {
	case string:
		return in
	case jobs.Created:
		return "Created " + string(encode(in.Session.Record))
	case jobs.Reported:
		return fmt.Sprintf("Reported by %s: %s", in.Node, encode(in.Event))
	case jobs.CastMoved:
		return fmt.Sprintf("CastMoved of %s: %v", in.Session, in.Params.Feedback)
	case jobs.CastEnded:
		return "CastEnded of " + in.Session
	case jobs.Edited:
		return fmt.Sprintf("Edited %s: %s", in.Session, encode(in.Change))
	case jobs.Added:
		return "Added " + string(encode(in.Part))
	case jobs.Seen:
		f := in.Facts
		return fmt.Sprintf("Seen %s here=%v boot=%q heard=%v rival=%v doubt=%q", in.Node, f.Here, f.Boot, f.Heard,
			f.Rival, f.Doubt)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T%+v", in, in), "jobs.")
}

// again runs effects of long ago once more, which must change nothing.
func (sh *shell) again() {
	before := sh.picture()
	var ran []string
	for range min(10, len(sh.past)) {
		x := sh.past[sh.rng.IntN(len(sh.past))]
		ran = append(ran, shown([]jobs.Effect{x}))
		sh.run(x)
	}
	if after := sh.picture(); after != before {
		sh.fail("%s were run again, and changed\n%s\nto\n%s", strings.Join(ran, ", "), before, after)
	}
}

// shown are effects in words.
func shown(effects []jobs.Effect) string {
	var w []string
	for _, x := range effects {
		if a, ok := x.(jobs.Account); ok {
			w = append(w, "Account "+a.Receipt.ID)
			continue
		}
		w = append(w, fmt.Sprintf("%T%+v", x, x))
	}
	return strings.Join(w, ", ")
}

// picture is all that effects have brought about.
func (sh *shell) picture() string {
	var b strings.Builder
	for _, id := range sorted(sh.nodes) {
		n := sh.nodes[id]
		fmt.Fprintln(&b, id, n.Assignment.Session, n.Assignment.Imaged, n.Serial)
	}
	fmt.Fprintln(&b, sorted(sh.casts), sorted(sh.held), sorted(sh.uploads), sorted(sh.sessions), sorted(sh.parts),
		sorted(sh.switching), sorted(sh.hooks))
	return b.String()
}

func (sh *shell) run(x jobs.Effect) {
	if sh.st.Stale(x) {
		return
	}
	switch x := x.(type) {
	case jobs.SaveSession:
		if s := sh.st.Session(x.Session); s != nil {
			sh.sessions[x.Session] = stored{s.State, encode(s.Record)}
		}
	case jobs.SavePart:
		s := sh.st.Session(x.Session)
		if s == nil {
			return
		}
		if p := s.Parts[x.Node]; p != nil {
			if key := s.ID + "/" + x.Node; sh.parts[key].state == doc.Failed && p.State == doc.Offered {
				delete(sh.plans, key) // that one has its receipt
			}
			sh.parts[x.Session+"/"+x.Node] = stored{p.State, encode(p)}
		} else {
			delete(sh.parts, x.Session+"/"+x.Node)
			delete(sh.powers, x.Session+"/"+x.Node)
		}
	case jobs.SaveNode:
		if sh.st.Node(x.Node) != nil {
			sh.saveNode(x.Node)
		}
	case jobs.Prune:
		delete(sh.sessions, x.Session)
		for _, n := range x.Nodes {
			delete(sh.parts, x.Session+"/"+n)
		}
	case jobs.Give:
		d := sh.st.Descriptor(x.Node)
		if sh.saveNode(x.Node); !jobs.SameWork(sh.nodes[x.Node].Descriptor, d) {
			sh.describe(x.Node, d)
		}
	case jobs.Withdraw:
		if n := sh.nodes[x.Node]; n != nil && n.Descriptor != nil && n.Descriptor.Action != session.Idle {
			sh.saveNode(x.Node)
			sh.describe(x.Node, &session.Descriptor{Action: session.Idle})
		}
	case jobs.Leaves:
		sh.meet(x.Node).Here = false
	case jobs.Silent:
		sh.meet(x.Node).Here = false
	case jobs.StartCast:
		sh.casts[x.Session] = true
	case jobs.StopCast:
		delete(sh.casts, x.Session)
	case jobs.Hold:
		sh.held[x.Session] = true
	case jobs.Release:
		delete(sh.held, x.Session)
	case jobs.DropUpload:
		delete(sh.uploads, x.Session)
	case jobs.Switch:
		sh.switches(x)
	case jobs.RunHook:
		if s := sh.st.Session(x.Session); x.When == doc.HookAfter && !s.Over() ||
			x.When == doc.HookBefore && s.State != doc.Waiting {
			sh.fail("14: session %s is %s, and its hook %s runs", s.ID, s.State, x.When)
		}
		sh.hooks[x.Session+"/"+x.When] = true
	case jobs.NoHook:
		delete(sh.hooks, x.Session+"/"+x.When)
	case jobs.NoSwitch:
		delete(sh.switching, x.Session+"/"+x.Node)
	}
}

func (sh *shell) saveNode(id string) {
	n := sh.nodes[id]
	if n == nil {
		n = &storedNode{}
		sh.nodes[id] = n
	}
	if now := sh.st.Node(id); now != nil {
		n.Assignment = now.Assignment
		if c := n.Assignment.Claim; c != nil {
			claim := *c
			n.Assignment.Claim = &claim
		}
	}
}

func (sh *shell) describe(id string, d *session.Descriptor) {
	n := sh.nodes[id]
	n.Serial++
	with := *d
	n.Descriptor = &with
}
