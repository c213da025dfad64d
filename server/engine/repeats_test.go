package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

func (h *house) repeat(every, missed, spec string) *doc.Repeat {
	h.t.Helper()
	r, err := h.e.CreateRepeat(h.t.Context(), doc.RepeatSpec{V: 1, Every: every, Missed: missed,
		Spec: json.RawMessage(spec)})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// lastRun waits until no session of the repeating one is being made, and is what came of its last time.
func (h *house) lastRun(id string) doc.RepeatRun {
	h.t.Helper()
	sub, err := h.e.Follow("", "", "")
	if err != nil {
		h.t.Fatal(err)
	}
	for {
		lines, _, err := sub.Next(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		for _, l := range lines {
			if l.Repeat != nil && l.Repeat.ID == id {
				n := len(l.Repeat.Runs)
				if n == 0 {
					return doc.RepeatRun{}
				}
				if run := l.Repeat.Runs[n-1]; run.State != doc.RunMaking {
					return run
				}
			}
		}
	}
}

func (h *house) madeOf(id string) (made []string) {
	for _, s := range h.e.Sessions() {
		if s.Spec.Repeat == id {
			made = append(made, s.ID)
		}
	}
	return made
}

// TestRepeatLeftOut: who makes a rule whose hour the clock leaves out hears on which day nothing is made.
func TestRepeatLeftOut(t *testing.T) {
	h := newHouse(t)
	h.machine(1).powerOn()
	h.crash()
	var err error
	if h.zone, err = time.LoadLocation("Europe/Berlin"); err != nil {
		t.Fatal(err)
	}
	h.start()
	const spec = `{"v":1,"image":"debian","nodes":["52:54:00:00:00:01"]}`
	r := h.repeat("30 2 * * *", "", spec)
	if shown, err := h.e.Repeat(r.ID); err != nil || shown.Note != r.Note ||
		!strings.HasPrefix(r.Note, "nothing is made on 2026-03-29: the server's clock (Europe/Berlin) goes from 02:00 "+
			"to 03:00") {
		t.Errorf("got %q, and later %+v, %v", r.Note, shown, err)
	}
	if r = h.repeat("30 3 * * *", "", spec); r.Note != "" {
		t.Errorf("an hour that is there: %q", r.Note)
	}
}

// TestRepeat follows a repeating session over its days: one that goes well, one that is not over when the next is due,
// a server that was off for days, a machine that is not there any more.
func TestRepeat(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.powerOn()
	r := h.repeat("0 3 * * *", "", `{"v":1,"image":"debian","nodes":["52:54:00:00:00:01"]}`)
	if want := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC); !r.Next.Equal(want) || r.ID != "r1" ||
		r.Missed != doc.MissedSkip {
		t.Errorf("%+v, want its next time at %v", r, want)
	}
	h.pass(3*time.Hour - time.Second)
	if run := h.lastRun("r1"); run.State != "" {
		t.Errorf("before its time: %+v", run)
	}
	h.pass(time.Second)
	if run := h.lastRun("r1"); run.State != doc.RunMade || run.Session != "s1" || run.Words != "" {
		t.Errorf("the first day: %+v", run)
	}
	m.hello()
	h.expect("s1", "casting offered")
	for range 24 * 60 { // an agent asks all day
		h.pass(time.Minute)
		m.descriptor(0)
	}
	if run := h.lastRun("r1"); run.State != doc.RunSkipped ||
		!strings.Contains(run.Words, "session s1, which was made of it before, is not over") {
		t.Errorf("the second day: %+v", run)
	}
	m.say("s1", goodRestore...)
	h.expect("s1", "done done")
	h.crash()
	h.pastTime(3*24*time.Hour + time.Hour)
	h.start()
	h.pass(time.Second)
	if run := h.lastRun("r1"); run.State != doc.RunMissed ||
		!strings.HasPrefix(run.Words, "3 times up to 2026-01-05 03:00:00 were missed") {
		t.Errorf("after three days: %+v", run)
	}
	if made := h.madeOf("r1"); len(made) != 1 {
		t.Errorf("made are %q", made)
	}
	h.pass(23 * time.Hour)
	if run := h.lastRun("r1"); run.State != doc.RunMade || run.Session != "s2" {
		t.Errorf("the day after: %+v", run)
	}
	if err := h.e.RemoveRepeat(t.Context(), "r1"); err != nil {
		t.Fatal(err)
	}
	h.restart()
	h.pass(24 * time.Hour)
	if made := h.madeOf("r1"); len(made) != 2 || len(h.e.Repeats()) != 0 {
		t.Errorf("removed, and made are %q", made)
	}
	if again := h.repeat("@daily", "", `{"v":1,"image":"debian","all":true}`); again.ID != "r2" {
		t.Errorf("an id is given twice: %s", again.ID)
	}
}

// pastTime lets time pass while no server runs.
func (h *house) pastTime(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// TestRepeatMadeUp has one session be made for all times that were missed, where that is asked for.
func TestRepeatMadeUp(t *testing.T) {
	h := newHouse(t)
	h.repeat("0 * * * *", doc.MissedRun, `{"v":1,"image":"debian","all":true}`)
	h.crash()
	h.pastTime(5*time.Hour + 30*time.Minute)
	h.start()
	h.pass(time.Second)
	if run := h.lastRun("r1"); run.Session != "s1" ||
		!strings.HasPrefix(run.Words, "5 times up to 2026-01-01 05:00:00 were missed") {
		t.Errorf("%+v", run)
	}
	h.pass(time.Minute)
	if made := h.madeOf("r1"); len(made) != 1 {
		t.Errorf("made are %q", made)
	}
}

func TestRepeatRefused(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct{ every, missed, spec, want string }{
		{"0 3 * *", "", `{"v":1,"image":"debian","all":true}`, "five fields"},
		{"@daily", "twice", `{"v":1,"image":"debian","all":true}`, "none of skip"},
		{"@daily", "", `{"v":1,"image":"none","all":true}`, "image"},
		{"@daily", "", `{"v":1,"image":"debian"}`, "which nodes"},
		{"@daily", "", `{"v":1,"image":"debian","all":true,"at":"2026-11-28T21:30:00Z"}`, "no start time"},
		{"@daily", "", `{"v":1,"image":"debian","all":true,"befor":"dns"}`, "befor"},
		{"@daily", "", `{"v":1,"image":"debian","all":true,"before":"dns"}`, "no hook dns"},
		{"@daily", "", `[]`, "spec of a repeating session"},
	} {
		_, err := h.e.CreateRepeat(t.Context(), doc.RepeatSpec{V: 1, Every: c.every, Missed: c.missed,
			Spec: json.RawMessage(c.spec)})
		if !errors.Is(err, engine.ErrSpec) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c, err, c.want)
		}
	}
}

// TestRepeatSecrets keeps what a repeating session's personalization has secret sealed, and makes sessions of it all
// the same.
func TestRepeatSecrets(t *testing.T) {
	h := sealing(t)
	m := h.seated(1)
	r := h.repeat("@hourly", "", `{"v":1,"image":"debian","nodes":["`+m.mac+`"],"personalize":`+ownSettings+`}`)
	h.pass(time.Hour)
	if run := h.lastRun(r.ID); run.State != doc.RunMade {
		t.Errorf("%+v", run)
	}
	shown, err := h.e.Repeat(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	all, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	told := string(all) + h.everything(t, "s1", m)
	for _, secret := range []string{secretHash, secretFile} {
		if strings.Contains(told, secret) {
			t.Errorf("%s is told, or stored in clear", secret)
		}
	}
	m.hello()
	m.say("s1", wholeDisk...)
	h.pass(2 * time.Minute)
	if d, err := m.ask("s1", "a"); err != nil || d.Things.Passwords["root"] != secretHash {
		t.Errorf("its personalization: %+v, %v", d, err)
	}
}

// TestRepeatKilled kills the server between any two transactions while a session is due: one is made for its time, and
// not two.
func TestRepeatKilled(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			h := newHouse(t)
			h.crash()
			db := &mortal{Store: h.store, left: -1}
			h.store = db
			h.start()
			h.repeat("0 3 * * *", "", `{"v":1,"image":"debian","all":true}`)
			h.pass(3*time.Hour - time.Second)
			for kill := range 4 {
				db.live(rng.IntN(5))
				h.pass(time.Second)
				if rng.IntN(2) == 0 {
					h.lastRun("r1")
				}
				h.crash()
				db.live(-1)
				h.start()
				if made := h.madeOf("r1"); len(made) > 1 {
					t.Fatalf("after %d kills made are %q", kill+1, made)
				}
			}
			h.pass(time.Second)
			run := h.lastRun("r1")
			if made := h.madeOf("r1"); len(made) != 1 || run.State != doc.RunMade || run.Session != made[0] {
				t.Errorf("made are %q, and what came of it is %+v", made, run)
			}
		})
	}
}
