package jobs_test

import (
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/kinds"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run the schedule of this seed only")
	schedules = flag.Uint64("schedules", 10_000, "how many schedules are run")
	stream    = flag.Uint64("stream", 1, "other schedules of the same seeds")
)

// TestRandomSchedules holds what the package's comment says, under inputs in any order, effects that are run again, and
// kills.
func TestRandomSchedules(t *testing.T) {
	if *oneSeed != 0 {
		schedule(t, *oneSeed)
		return
	}
	n := *schedules
	if testing.Short() {
		n /= 10
	}
	var seen [3]int // sessions that ended as done, failed, cancelled
	var mu sync.Mutex
	var all sync.WaitGroup
	workers := uint64(runtime.GOMAXPROCS(0))
	for w := range workers {
		all.Go(func() {
			for seed := 1 + w; seed <= n && !t.Failed(); seed += workers {
				sh := schedule(t, seed)
				mu.Lock()
				for i, state := range []string{doc.Done, doc.Failed, doc.Cancelled} {
					for _, id := range sh.st.Order() {
						if sh.st.Session(id).State == state {
							seen[i]++
						}
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("%d schedules: %d sessions done, %d failed, %d cancelled", n, seen[0], seen[1], seen[2])
	for i, count := range seen {
		if uint64(count) < n/20 {
			t.Errorf("only %d sessions ended in way %d: the schedules do not get far", count, i)
		}
	}
}

// TestSameSeed has one seed do the same twice: a step depends on nothing but its state, its input and the time.
func TestSameSeed(t *testing.T) {
	for seed := range uint64(100) {
		a, b := schedule(t, seed+1), schedule(t, seed+1)
		for i := range min(len(a.trail), len(b.trail)) {
			if x, y := words(a.trail[i]), words(b.trail[i]); x != y {
				t.Fatalf("seed %d: step %d is %s, then %s", seed+1, i, x, y)
			}
		}
		if a.picture() != b.picture() {
			t.Fatalf("seed %d comes to\n%s\nand to\n%s", seed+1, a.picture(), b.picture())
		}
	}
}

const maxNodes = 5

func nodeName(i int) string { return fmt.Sprintf("52-54-00-00-00-%02x", i) }

// schedule runs one schedule to its end.
func schedule(t *testing.T, seed uint64) *shell {
	sh := newShell(t, seed, *stream)
	for range 40 {
		sh.now = sh.now.Add([]time.Duration{0, time.Second, 20 * time.Second, 61 * time.Second,
			5 * time.Minute}[sh.rng.IntN(5)])
		sh.happen()
	}
	// Nobody says anything any more: all ends by itself.
	for range 60 {
		if sh.allOver() {
			break
		}
		sh.now = sh.now.Add(20 * time.Minute)
		sh.hook(8) // which a shell bounds
		sh.step(jobs.Tick{})
	}
	for _, id := range sh.st.Order() {
		if s := sh.st.Session(id); !s.Over() {
			sh.fail("session %s never ends: %+v", id, s.Session)
		}
	}
	return sh
}

func (sh *shell) allOver() bool {
	for _, id := range sh.st.Order() {
		if !sh.st.Session(id).Over() {
			return false
		}
	}
	return true
}

func (sh *shell) anyNode() string { return nodeName(sh.rng.IntN(maxNodes)) }

// meet makes sure that the node is known.
func (sh *shell) meet(id string) *jobs.Facts {
	f := sh.facts[id]
	if f == nil {
		f = &jobs.Facts{Booted: sh.rng.IntN(2) == 0, Firmware: session.UEFI}
		sh.facts[id] = f
	}
	return f
}

func (sh *shell) anySession() string {
	if sh.seq == 0 {
		return "s1"
	}
	return fmt.Sprintf("s%d", 1+sh.rng.IntN(sh.seq))
}

// happen has one thing happen.
func (sh *shell) happen() {
	node, id := sh.anyNode(), sh.anySession()
	f := sh.meet(node)
	seen := func() { sh.step(jobs.Seen{Node: node, Facts: *f}) }
	switch x := sh.rng.IntN(100); {
	case x < 8:
		sh.create()
	case x < 20: // it boots
		if f.Boot != "" {
			f.Rival = f.Heard
		}
		back := f.Boot != "" && sh.rng.IntN(6) == 0
		f.Boot, f.Heard, f.Here = fmt.Sprint("boot ", sh.rng.IntN(1000)), sh.now, true
		f.Loading = false
		seen()
		sh.step(jobs.Rebooted{Node: node, Words: f.Boot})
		if back {
			sh.step(jobs.Contested{Node: node, Words: "two machines"})
			sh.step(jobs.TookBack{Node: node, Session: id, Step: session.StepTable})
			sh.step(jobs.CameBack{Node: node})
		} else {
			sh.step(jobs.Greeted{Node: node})
		}
		sh.step(jobs.Ready{Node: node})
	case x < 24:
		if f.Here {
			sh.step(jobs.Ready{Node: node})
		}
	case x < 68:
		sh.report(node, f)
	case x < 74:
		sh.step(jobs.Tick{})
		sh.power()
		sh.hook(8)
	case x < 76:
		sh.step(jobs.Lives{Node: node, Sign: "SSH answers"})
		f.Loading = !f.Here
		seen()
		sh.step(jobs.Restarting{Node: node})
	case x < 78:
		sh.step(jobs.ChoseDisk{Node: node, Disk: session.DiskID{Size: 1, Serial: id}, Of: sh.rng.IntN(3)})
	case x < 79:
		sh.step(jobs.Cancel{Session: id})
	case x < 80:
		sh.wish(id)
		sh.power()
		sh.hook(0)
	case x < 81 && sh.rng.IntN(2) == 0:
		by := time.Duration(sh.rng.IntN(200)-100) * time.Minute
		sh.now = sh.now.Add(by)
		for _, f := range sh.facts {
			for _, t := range []*time.Time{&f.Heard, &f.Rival} {
				if !t.IsZero() {
					*t = t.Add(by)
				}
			}
		}
		sh.step(jobs.ClockSet{By: by})
	case x < 81:
		sh.step(jobs.Broken{Session: id, Reason: "its image is damaged"})
	case x < 83:
		f.Doubt, f.Odd = "another board", []string{"another board"}
		seen()
	case x < 85:
		f.Doubt, f.Odd = "", nil
		seen()
	case x < 90:
		sh.cast(id)
	case x < 93: // a frame, or the last one
		if s := sh.st.Session(id); s != nil && s.Upload != nil && !s.Over() {
			sh.uploads[id] = true
			if sh.rng.IntN(2) == 0 {
				sh.step(jobs.Stored{Session: id, Image: session.Image{Name: s.Image.Name, Manifest: "sha256:1"}})
			}
		}
	case x < 94:
		sh.step(jobs.StoreFailed{Session: id, Words: "the disk is full"})
	case x < 95:
		sh.step(jobs.StoreWell{Session: id})
	case x < 96:
		sh.step(jobs.Renamed{Session: id, From: node, To: sh.anyNode()})
	case x < 97:
		if s := sh.st.Session(id); s != nil && len(s.Spec.Nodes) > 0 && s.Upload == nil {
			sh.step(jobs.Added{Part: &doc.Part{Session: id, Node: node, State: doc.Waiting}})
		}
	case x < 98:
		sh.step(jobs.Odd{Node: node, Session: id, Words: "it is odd"})
	case x < 99:
		if sh.st.Current(node) == nil { // a shell forgets no other
			delete(sh.nodes, node)
			delete(sh.facts, node)
			sh.step(jobs.Forgotten{Node: node})
		}
	default:
		sh.step(jobs.Traced{Node: node, Mark: doc.Mark{Time: sh.now}})
	}
}

// power says what came of something that was asked of a machine's power, or of something that nobody asks any more.
func (sh *shell) power() {
	in := jobs.Switched{Session: sh.anySession(), Node: sh.anyNode(), Want: doc.PowerOn, State: doc.Done, Power: "on"}
	if asked := sorted(sh.switching); len(asked) > 0 && sh.rng.IntN(8) > 0 {
		in.Session, in.Node, _ = strings.Cut(asked[sh.rng.IntN(len(asked))], "/")
		in.Want = sh.st.Session(in.Session).Parts[in.Node].Power.Want
	}
	if sh.rng.IntN(3) == 0 {
		in.State, in.Words = doc.Failed, "power: it took the request, and nothing happened"
	}
	key := in.Session + "/" + in.Node
	if s := sh.st.Session(in.Session); s != nil && s.Parts[in.Node] != nil && s.Parts[in.Node].Power != nil &&
		s.Parts[in.Node].Power.Want == in.Want {
		delete(sh.switching, key)
		sh.answered[key] = true
	}
	sh.step(in)
	delete(sh.answered, key)
}

// hook has a hook end; well, but for one in so many.
func (sh *shell) hook(well int) {
	run := sorted(sh.hooks)
	if len(run) == 0 {
		return
	}
	key := run[sh.rng.IntN(len(run))]
	in := jobs.HookEnded{State: doc.Done, Output: "all is well"}
	in.Session, in.When, _ = strings.Cut(key, "/")
	if sh.rng.IntN(well+1) == 0 {
		in.State, in.Words = doc.Failed, "exit status 3"
	}
	delete(sh.hooks, key)
	sh.step(in)
}

// wish has the operator say something of a session but that it ends.
func (sh *shell) wish(id string) {
	switch s := sh.st.Session(id); {
	case s == nil:
	case sh.rng.IntN(2) == 0:
		sh.step(jobs.Go{Session: id})
	case s.MayRemove():
		sh.step(jobs.Removed{Session: id})
		delete(sh.ended, id)
	default:
		wait, prio := float64(60*(1+sh.rng.IntN(30))), sh.rng.IntN(3)
		sh.step(jobs.Edited{Session: id, Change: doc.SessionChange{MaxWait: &wait}})
		sh.step(jobs.Edited{Session: id, Change: doc.SessionChange{Priority: &prio}})
	}
}

// create asks for a session as an operator does.
func (sh *shell) create() {
	spec := doc.Spec{V: 1, MaxWait: float64(60 * (1 + sh.rng.IntN(30))), GiveUp: 1800}
	switch sh.rng.IntN(3) {
	case 0:
		spec.Image, spec.All = "debian", true
	case 1:
		spec.Image, spec.Count = "debian", 1+sh.rng.IntN(3)
	default:
		spec.Image = "debian"
		for i := range maxNodes {
			if sh.rng.IntN(2) == 0 || i == 0 {
				spec.Nodes = append(spec.Nodes, nodeName(i))
			}
		}
		spec.MinNodes = sh.rng.IntN(len(spec.Nodes) + 1)
	}
	switch sh.rng.IntN(5) {
	case 0:
		spec = doc.Spec{V: 1, MaxWait: spec.MaxWait, GiveUp: 1800, Capture: "golden", Count: 1}
	case 2:
		spec.Image, spec.Kind, spec.Job = "", erasure.Action, []byte(`{"method":"zero","read_back":"none"}`)
	case 1:
		spec.Image, spec.Kind = "", "probe"
		if sh.seq%2 == 0 {
			spec.Kind, spec.Job = rescue.Action, []byte("{}")
		}
	}
	if spec.Image != "" && spec.Capture == "" && sh.rng.IntN(3) == 0 {
		spec.MoreDisks = []doc.DiskImage{{Image: "data", Target: session.Target{Largest: true}}}
	}
	spec.Priority = sh.rng.IntN(3)
	if len(spec.Nodes) > 0 {
		spec.Power = []string{"", doc.PowerOn, doc.PowerCycle}[sh.rng.IntN(3)]
	}
	if spec.Image != "" && spec.Capture == "" && spec.Kind == "" && sh.rng.IntN(3) == 0 {
		spec.Boot = &session.Boot{Method: session.BootShell}
	}
	spec.Before, spec.After = []string{"", "", "dns"}[sh.rng.IntN(3)], []string{"", "mail"}[sh.rng.IntN(2)]
	spec.PowerOffFailed = sh.rng.IntN(3) == 0
	if spec.Kind == "" && spec.Capture == "" && sh.rng.IntN(3) == 0 {
		spec.ExpectAlive = float64(30 + sh.rng.IntN(300))
	}
	if sh.rng.IntN(6) == 0 {
		spec.At = sh.now.Add(time.Duration(sh.rng.IntN(20)) * time.Minute)
	}
	kind := append(kinds.All(), probe{}).Of(&spec)
	if err := kind.Check(&spec); err != nil {
		sh.fail("%v", err)
	}
	if err := spec.Check(); err != nil {
		sh.fail("%v", err)
	}
	if spec.Boot == nil || spec.Boot.Method != session.BootShell && sh.rng.IntN(3) == 0 {
		spec.Boot = &session.Boot{Method: session.BootStay}
	}
	sh.seq++
	s := &jobs.Session{Kind: kind, Parts: map[string]*doc.Part{}}
	s.ID, s.Spec, s.State, s.Created = fmt.Sprintf("s%d", sh.seq), spec, doc.Waiting, sh.now
	s.Upload = kind.Upload("u-"+s.ID, &spec)
	if kind.Traits().Cast {
		s.Image = session.Image{Name: "debian", Manifest: "sha256:0"}
		if sh.rng.IntN(8) > 0 {
			s.Params = &session.Cast{ID: uint32(sh.seq)}
		}
		for i := range spec.MoreDisks {
			s.MoreDisks = append(s.MoreDisks, doc.SessionDisk{Image: session.Image{Name: "data", Manifest: "sha256:9"}})
			if sh.rng.IntN(4) > 0 {
				s.Send(i+1, jobs.Sending{Params: &session.Cast{ID: uint32(1000 + sh.seq)}})
			}
		}
		sh.held[s.ID] = true
	}
	for _, n := range spec.Nodes {
		s.Add(&doc.Part{Session: s.ID, Node: n, State: doc.Waiting})
	}
	sh.sessions[s.ID] = stored{s.State, encode(s.Record)}
	for id, p := range s.Parts {
		sh.parts[s.ID+"/"+id] = stored{p.State, encode(p)}
	}
	sh.step(jobs.Created{Session: s})
}

const erased = `{"v":1,"ok":true,"method":"zero","term":"clear","reason":"all was overwritten",` +
	`"disk":{"size":1,"serial":%q},"read_back":{"scope":"none","first_bad":-1}}`

// tell has the node report a step of the session, of each of its disks, if that goes yet.
func (sh *shell) tell(node, id, step string) {
	for i := 0; sh.st.Session(id) != nil && i < sh.st.Session(id).Disks(); i++ {
		sh.step(jobs.Reported{Node: node, Event: &session.Event{Session: id, Step: step, Disk: i, Time: sh.now},
			Free: -1})
	}
}

// report has the node report a step of its session, or of another.
func (sh *shell) report(node string, f *jobs.Facts) {
	s := sh.st.Current(node)
	if s == nil && sh.rng.IntN(4) > 0 {
		return
	}
	ev := &session.Event{Session: sh.anySession(), Level: session.Info, Time: sh.now}
	if s != nil && sh.rng.IntN(20) > 0 {
		ev.Session = s.ID
	}
	steps := []string{session.StepPlan, session.StepTable, session.StepFirstByte, session.StepProgress,
		session.StepMulticast, session.StepChunk,
		session.StepEntry, session.StepBoot, session.StepBoot, session.StepUploaded, session.StepUploaded, "probed",
		session.StepFailed, rescue.StepOpen, rescue.StepClosed,
		session.StepLog, "nonsense"}
	ev.Step = steps[sh.rng.IntN(len(steps))]
	if ev.Step == rescue.StepOpen {
		ev.Result = []byte(`{"consoles":["tty1"]}`)
	}
	if s != nil && sh.rng.IntN(3) == 0 {
		ev.Disk = sh.rng.IntN(s.Disks())
	}
	if sh.rng.IntN(200) == 0 {
		ev.Disk = 2 // which no session has
	}
	if s != nil && sh.rng.IntN(4) == 0 { // it has done all that it should
		switch {
		case s.Upload != nil:
			ev.Step = session.StepUploaded
			sh.step(jobs.ChoseDisk{Node: node, Disk: session.DiskID{Size: 1, Serial: s.ID}})
			sh.tell(node, s.ID, session.StepPlan)
			sh.step(jobs.Stored{Session: s.ID, Image: session.Image{Name: s.Image.Name, Manifest: "sha256:1"}})
		case s.Spec.Kind == "probe":
			ev.Step = "probed"
		case s.Spec.Kind == rescue.Action:
			sh.step(jobs.Reported{Node: node, Event: &session.Event{Session: s.ID, Step: rescue.StepOpen, Time: sh.now,
				Result: []byte(`{"consoles":["tty1"]}`)}, Free: -1})
			ev.Step = rescue.StepClosed
		case s.Spec.Kind == erasure.Action:
			sh.step(jobs.ChoseDisk{Node: node, Disk: session.DiskID{Size: 1, Serial: s.ID}})
			sh.tell(node, s.ID, session.StepPlan)
			ev.Step = erasure.StepErased
			if p := sh.st.Session(s.ID).Parts[node]; p != nil && p.Disk != nil {
				ev.Result = fmt.Appendf(nil, erased, p.Disk.Serial)
			}
		default:
			sh.step(jobs.ChoseDisk{Node: node, Disk: session.DiskID{Size: 1, Serial: s.ID}})
			sh.tell(node, s.ID, session.StepPlan)
			sh.tell(node, s.ID, session.StepWritten)
			ev.Step = session.StepBoot
			if s.GivesShell() {
				ev.Step = sh.inShell(node, s.ID)
			}
		}
	}
	if sh.rng.IntN(4) == 0 {
		ev.Progress = &session.Progress{Received: int64(sh.rng.IntN(10)) - 1, ToRead: 100}
	}
	f.Heard, f.Here = sh.now, true
	sh.step(jobs.Seen{Node: node, Facts: *f})
	if s = sh.st.Current(node); s != nil && s.ID == ev.Session {
		// The word of a node that its part is done, or all that counts of it.
		sh.word[s.ID+"/"+node] = sh.word[s.ID+"/"+node] || ev.Step == session.StepBoot ||
			ev.Step == session.StepUploaded || ev.Step == session.StepEntry ||
			ev.Step == "probed" || ev.Step == erasure.StepErased || ev.Step == rescue.StepClosed
	}
	sh.step(jobs.Reported{Node: node, Event: ev, Free: int64(sh.rng.IntN(200)) - 1})
}

// inShell has a node whose disk is written open its shell, and is what it says next: that it boots, with the shell
// closed or not, or that somebody came in.
func (sh *shell) inShell(node, id string) string {
	say := func(step, result string) {
		ev := &session.Event{Session: id, Step: step, Time: sh.now}
		if result != "" {
			ev.Result = []byte(result)
		}
		sh.step(jobs.Reported{Node: node, Event: ev, Free: -1})
	}
	sh.word[id+"/"+node] = true
	say(session.StepEntry, "")
	say(rescue.StepOpen, `{"consoles":["tty1"]}`)
	switch sh.rng.IntN(4) {
	case 0:
		return rescue.StepLogin // and there it stays
	case 1:
		return session.StepBoot // which fails it
	}
	say(rescue.StepClosed, "")
	return session.StepBoot
}

// cast has something happen to a session's cast.
func (sh *shell) cast(id string) {
	s := sh.st.Session(id)
	if s == nil {
		return
	}
	disk := sh.rng.IntN(s.Disks())
	switch x := s.SendingOf(disk); {
	case x.Params == nil:
	case !sh.casts[id]:
		sh.step(jobs.CastEnded{Session: id, Disk: disk, Shown: &doc.Cast{ID: x.Params.ID}})
	case sh.rng.IntN(3) == 0:
		sh.step(jobs.CastRuns{Session: id, Disk: disk})
	case sh.rng.IntN(2) == 0:
		sh.step(jobs.CastBroke{Session: id, Words: "the cast stopped"})
	default:
		p := *x.Params
		p.Feedback = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sh.rng.IntN(1000)))
		sh.step(jobs.CastMoved{Session: id, Disk: disk, Params: &p})
	}
}
