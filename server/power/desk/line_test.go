package desk

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
)

func nobody() string { return "" }

// TestLine brings 500 machines for two sessions: one line, as the desk's pace says, each machine once, and what is
// taken back in time is not done.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l, _ := newDesk(t)
		for i := range 500 {
			set(t, d, machine(i))
		}
		l.state["m7"] = power.On
		l.fails["m9"] = power.Fail(power.Silent, "no answer within 20s")
		rows := make(chan doc.PowerRow, 1000)
		begun := time.Now()
		for i := range 500 { // before the desk runs: a server that starts asks at once
			m := doc.Machine{ID: machine(i).ID}
			for range 2 {
				d.Switch(fmt.Sprintf("s%d/m%d", i%2, i), m, doc.PowerOn, nobody, func(r doc.PowerRow) { rows <- r })
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		n := map[string]int{}
		for range 400 {
			r := <-rows
			n[r.State]++
			switch r.Machine {
			case "m7":
				if r.Power != "on" || !strings.Contains(r.Words, "left alone") {
					t.Errorf("one that was on: %+v", r)
				}
			case "m9":
				if r.Word != string(power.Silent) || !strings.HasPrefix(r.Words, "lab m9: does not answer: ") {
					t.Errorf("one that does not answer: %+v", r)
				}
			}
		}
		if took := time.Since(begun); n[doc.Failed] != 1 || took < 199*time.Second || took > 10*time.Minute {
			t.Errorf("400 of 500 machines took %v: %v", took, n)
		}
		for i := range 500 {
			d.Drop(fmt.Sprintf("s%d/m%d", i%2, i))
		}
		time.Sleep(10 * time.Minute) // of the bubble's clock
		left := len(rows)
		if left > atOnce+1 {
			t.Errorf("%d machines were switched after all was taken back", left)
		}
		if l.most > atOnce || l.most < 2 {
			t.Errorf("%d machines were in work at once", l.most)
		}
		d.Switch("s1/off", doc.Machine{ID: "m1"}, doc.PowerOff, func() string { return "it works for session s9" },
			func(r doc.PowerRow) { rows <- r })
		for range left {
			<-rows
		}
		if r := <-rows; r.Power != "on" || !strings.Contains(r.Words, "left alone, for it works for session s9") {
			t.Errorf("one that must not lose its power: %+v", r)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestLineEnds has a server end while a machine is in work: nobody is told anything of it.
func TestLineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, _ := newDesk(t)
		set(t, d, machine(1))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		d.Switch("s1/m1", doc.Machine{ID: "m1"}, doc.PowerCycle, nobody,
			func(r doc.PowerRow) { t.Errorf("told: %+v", r) })
		time.Sleep(5 * time.Second) // of the bubble's clock
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
