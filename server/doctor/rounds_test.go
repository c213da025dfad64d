package doctor

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// TestRounds: who asks while the server looks, or shortly after, gets what that look found; nobody has it look twice.
func TestRounds(t *testing.T) {
	var looks atomic.Int32
	hold := make(chan struct{})
	r := NewRounds(func(context.Context) *Report {
		looks.Add(1)
		<-hold
		return &Report{V: 1, Looks: []doc.DoctorLook{{Check: "x", Not: []string{"y"}}}}
	}, slog.New(slog.DiscardHandler))
	var now atomic.Int64
	r.now = func() time.Time { return time.Unix(1e9+now.Load(), 0) }
	if _, err := r.Ask("early"); err == nil {
		t.Error("a look was begun that nobody makes")
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }() // ends with the test
	defer func() { stop(); <-done }()
	<-r.Ready()
	if v := r.view(); v.State != doc.DoctorNever || v.Report != nil {
		t.Errorf("before any look: %+v", v)
	}
	first, err := r.Ask("ann")
	if err != nil || first.State != doc.DoctorLooking || first.By != "ann" {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := r.Ask("bob"); err != nil || second.By != "ann" || second.Serial != first.Serial {
		t.Errorf("asked while it looks: %+v, %v", second, err)
	}
	close(hold)
	v := r.Wait(t.Context(), first.Serial)
	if v.State != doc.DoctorLooked || v.Report == nil || v.Report.Missed() != 1 || looks.Load() != 1 {
		t.Errorf("after it: %+v, %d looks", v, looks.Load())
	}
	now.Store(int64(roundEvery/time.Second) - 1)
	if again, err := r.Ask("bob"); err != nil || again.State != doc.DoctorLooked || looks.Load() != 1 {
		t.Errorf("asked again at once: %+v, %v", again, err)
	}
	for _, at := range []int64{int64(roundEvery / time.Second), -1e6} { // the second: a clock that was set back
		was := looks.Load()
		now.Store(at)
		again, err := r.Ask("bob")
		if err != nil || again.State != doc.DoctorLooking || again.By != "bob" || again.Report == nil {
			t.Errorf("asked again later: %+v, %v", again, err)
		}
		if v := r.Wait(t.Context(), again.Serial); v.State != doc.DoctorLooked || looks.Load() != was+1 {
			t.Errorf("after that: %+v, %d looks", v, looks.Load())
		}
	}
}

// TestInside: what a server leaves to the command is named as not looked at.
func TestInside(t *testing.T) {
	s := &Subject{Interface: "lo", State: t.TempDir(), Store: t.TempDir(), BootDir: t.TempDir(), Inside: true,
		Querier: true, Away: "of a test", Host: Real{}}
	r := Run(t.Context(), s)
	for _, l := range r.Looks {
		if l.Check == "firewall" && (len(l.Not) != 1 || len(l.Found)+len(l.Well) != 0) {
			t.Errorf("the firewall: %+v", l)
		}
	}
	for id, g := range graves {
		if g != doc.GraveStops && g != doc.GraveMind {
			t.Errorf("%s is %q", id, g)
		}
	}
	worst := (&Report{Looks: []doc.DoctorLook{{Found: []Finding{{ID: "c", Grave: doc.GraveMind},
		{ID: "b", Grave: doc.GraveHinders}}}, {Found: []Finding{{ID: "a", Grave: doc.GraveStops}}}}}).Findings()
	if len(worst) != 3 || worst[0].ID != "a" || worst[1].ID != "b" || worst[2].ID != "c" {
		t.Errorf("findings, the worst first: %v", worst)
	}
}
