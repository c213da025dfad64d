package power

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a machine whose power takes its time, and that minds being asked in bursts.
type fake struct {
	mu       sync.Mutex
	gate     *Gate
	takes    time.Duration
	state    State
	will     State
	at       time.Time // when will comes true
	last     time.Time
	writes   []State
	tooQuick bool
}

// TestNoDriver lists those that there are as people write lists.
func TestNoDriver(t *testing.T) {
	_, err := Drivers{{Name: "command"}, {Name: "ipmi"}, {Name: "wol"}}.Of("redfsh")
	if err == nil || err.Error() != `there is no power driver "redfsh"; there are command, ipmi, wol` {
		t.Errorf("%v", err)
	}
}

func (f *fake) next(ctx context.Context) error {
	err := f.gate.Next(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !f.last.IsZero() && now.Sub(f.last) < f.gate.pause {
		f.tooQuick = true
	}
	f.last = now
	if !f.at.IsZero() && !now.Before(f.at) {
		f.state, f.at = f.will, time.Time{}
	}
	return err
}

func (f *fake) State(ctx context.Context) (State, error) { err := f.next(ctx); return f.state, err }

func (f *fake) set(ctx context.Context, s State) error {
	err := f.next(ctx)
	f.will, f.at = s, time.Now().Add(f.takes)
	f.writes = append(f.writes, s)
	return err
}

func (f *fake) On(ctx context.Context) error         { return f.set(ctx, On) }
func (f *fake) Off(ctx context.Context) error        { return f.set(ctx, Off) }
func (f *fake) BootOnce(context.Context, Boot) error { return nil }
func (f *fake) Boot(context.Context) (Boot, error)   { return Network, nil }
func (f *fake) Close()                               {}
func (f *fake) machine() *Machine                    { return NewMachine(&Driver{Name: "fake"}, f, Usual) }
func newFake(takes time.Duration) *fake {
	return &fake{gate: NewGate(200 * time.Millisecond), takes: takes, state: Off}
}

// sluggish is a machine whose BMC needs several messages for a request, and long for each answer.
type sluggish struct {
	fake
	messages int
	takes    time.Duration
}

func (s *sluggish) State(ctx context.Context) (State, error) {
	for range s.messages {
		if err := s.gate.Next(ctx); err != nil {
			return "", err
		}
		if err := wait(ctx, s.takes); err != nil {
			return "", err
		}
	}
	return On, nil
}

// TestSlow: a BMC is given up for an answer that does not come, not for answers that take long together; a request has
// a bounded number of them. What is waited for is told.
func TestSlow(t *testing.T) {
	for name, c := range map[string]struct {
		messages int
		takes    time.Duration
		word     Word
		told     string
	}{
		"8 s an answer, 9 of them":   {9, 8 * time.Second, "", "answer takes more than 5s"},
		"1 s an answer":              {9, time.Second, "", ""},
		"an answer that never comes": {2, time.Hour, Silent, "answer takes more than 5s"},
		"messages without an end":    {1 << 20, time.Second, Odd, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &sluggish{fake{gate: NewGate(200 * time.Millisecond)}, c.messages, c.takes}
			m, told := NewMachine(&Driver{Name: "fake"}, s, Usual), ""
			var mu sync.Mutex
			m.Tell(func(words string) {
				mu.Lock()
				defer mu.Unlock()
				told += words + "\n"
			})
			got, err := m.State(t.Context())
			if c.word != "" && WordOf(err) != c.word || c.word == "" && (err != nil || got != On) {
				t.Errorf("%s: %s, %v", name, got, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(told, c.told) || c.told == "" && told != "" {
				t.Errorf("%s: told was %q", name, told)
			}
		})
	}
}

// TestPaced powers on 500 machines: never more than 20 at once, with a gap between two starts, each one read back.
func TestPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := make([]*fake, 500)
		for i := range all {
			all[i] = newFake(time.Duration(i%30) * time.Second)
		}
		var mu sync.Mutex
		var starts []time.Time
		inside, most, done := 0, 0, 0
		pace := Pace{AtOnce: 20, Gap: 500 * time.Millisecond}
		pace.Each(t.Context(), len(all), func(i int) {
			mu.Lock()
			inside++
			most = max(most, inside)
			starts = append(starts, time.Now())
			mu.Unlock()
			o, err := all[i].machine().On(t.Context())
			mu.Lock()
			defer mu.Unlock()
			inside--
			if err != nil || o.State != On || all[i].state != On {
				t.Errorf("machine %d: %v, %v, and it is %s", i, o, err, all[i].state)
			}
			done++
		}, func(i int) { t.Errorf("machine %d was left out", i) })
		if done != len(all) || most != pace.AtOnce {
			t.Errorf("%d done, %d at once; want %d and %d", done, most, len(all), pace.AtOnce)
		}
		for i := 1; i < len(starts); i++ {
			if gap := starts[i].Sub(starts[i-1]); gap < pace.Gap {
				t.Fatalf("machine %d began %v after the one before; want %v", i, gap, pace.Gap)
			}
		}
		for i, f := range all {
			if len(f.writes) != 1 || f.tooQuick {
				t.Errorf("machine %d: writes %v, messages too close: %v", i, f.writes, f.tooQuick)
			}
		}
	})
}

// TestCancelled has 500 machines cancelled after a minute: none begins after that, and each is accounted for.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var mu sync.Mutex
		began, cut, skipped := 0, 0, 0
		start := time.Now()
		Pace{AtOnce: 20, Gap: 500 * time.Millisecond}.Each(ctx, 500, func(i int) {
			mu.Lock()
			began++
			mu.Unlock()
			if late := time.Since(start); late > time.Minute {
				t.Errorf("machine %d began after %v", i, late)
			}
			f := newFake(20 * time.Second)
			if _, err := f.machine().On(ctx); err != nil {
				mu.Lock()
				cut++
				mu.Unlock()
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("machine %d: %v", i, err)
				}
			}
		}, func(int) { skipped++ })
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it ended after %v, want at the minute", took)
		}
		if began+skipped != 500 || began < 20 || cut == 0 || skipped == 0 {
			t.Errorf("%d began, %d of them cut short, %d skipped; want 500 in all and some of each", began, cut,
				skipped)
		}
	})
}

// TestCycle sees the machine off before it is switched on, and says so where it stays off.
func TestCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(10 * time.Second)
		f.state = On
		o, err := f.machine().Cycle(t.Context())
		if err != nil || o.State != On || fmt.Sprint(f.writes) != "[off on]" {
			t.Errorf("cycle: %v, %v, writes %v", o, err, f.writes)
		}
		f = newFake(10 * time.Second)
		f.state = On
		ctx, stop := context.WithTimeout(t.Context(), 18*time.Second) // while it rests
		defer stop()
		if _, err := f.machine().Cycle(ctx); err == nil || !strings.Contains(err.Error(), "not on again") {
			t.Errorf("a cycle that was cancelled in its middle: %v, writes %v", err, f.writes)
		}
	})
}

// TestLimit gives up when the limit has passed, not before and not much later.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if o, err := newFake(Usual.Limit - 2*Usual.Poll).machine().On(t.Context()); err != nil {
			t.Errorf("on just before the limit: %v, %v", o, err)
		}
		start := time.Now()
		o, err := newFake(time.Hour).machine().On(t.Context())
		if took := time.Since(start); WordOf(err) != Nothing || took < Usual.Limit || took > Usual.Limit+2*Usual.Poll {
			t.Errorf("never on: %v, %v after %v; want %q after %v", o, err, took, Nothing, Usual.Limit)
		}
	})
}

// TestBlind says of what cannot be read back that it is not known.
func TestBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(0)
		m := NewMachine(&Driver{Name: "blind", Blind: "nobody answers"}, f, Usual)
		o, err := m.On(t.Context())
		if err != nil || !o.Blind || o.State != Unknown || o.Note != "nobody answers" {
			t.Errorf("on: %+v, %v; want an outcome that is not known", o, err)
		}
		for name, f := range map[string]func(context.Context) (*Outcome, error){"cycle": m.Cycle,
			"boot": func(ctx context.Context) (*Outcome, error) { return m.BootOnce(ctx, Network) }} {
			if o, err := f(t.Context()); WordOf(err) != Cannot {
				t.Errorf("%s: %v, %v; want the word %q", name, o, err, Cannot)
			}
		}
	})
}

// bare is a machine of which what is booted cannot be set.
type bare struct {
	*fake
	why error
}

func (b *bare) BootOnce(context.Context, Boot) error { return b.why }

// TestBring has machines come: which lose their power, and what is said of each.
func TestBring(t *testing.T) {
	cannot, dumb := Fail(Cannot, "a plug sets no boot"), Fail(Odd, "a login page")
	for _, c := range []struct {
		name   string
		is     State
		cycle  bool
		boot   error
		spare  string
		writes string
		want   string // of the note, or of the error
	}{
		{"off", Off, false, nil, "", "[on]", ""},
		{"off, and no boot", Off, false, dumb, "", "[on]", "its own boot order decides (no answer that can be read"},
		{"on", On, false, nil, "", "[]", "it was on, and what it runs was left alone"},
		{"on, to be cycled", On, true, nil, "", "[off on]", "what it ran was ended"},
		{"on, to be cycled, by a plug", On, true, cannot, "", "[off on]", "its own boot order decides (cannot do this"},
		{"on, to be cycled, and no boot", On, true, dumb, "", "[]", "its power was left alone: no answer"},
		{"on, to be cycled, and at work", On, true, nil, "its agent runs", "[]", "left alone, for its agent runs"},
		{"off, to be cycled", Off, true, nil, "its agent runs", "[on]", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(3 * time.Second)
			f.state = c.is
			m := NewMachine(&Driver{Name: "fake"}, f, Usual)
			if c.boot != nil {
				m = NewMachine(&Driver{Name: "fake"}, &bare{f, c.boot}, Usual)
			}
			o, err := m.Bring(t.Context(), c.cycle, func() string { return c.spare })
			said := ""
			switch {
			case err != nil:
				said = err.Error()
			default:
				said = o.Note
				if o.State != On || (o.Boot == Network) != (c.boot == nil) {
					t.Errorf("%s: %+v", c.name, o)
				}
			}
			if fmt.Sprint(f.writes) != c.writes || !strings.Contains(said, c.want) || f.state != On && err == nil {
				t.Errorf("%s: wrote %v, said %q, want %s, %q", c.name, f.writes, said, c.writes, c.want)
			}
		})
	}
}
