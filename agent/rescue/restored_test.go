package rescue

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/rescue"
)

// TestRestored: the shell of a machine that was restored says what its exit does, and nothing of a rescue.
func TestRestored(t *testing.T) {
	if err := (Restored{}).Reach(&rescue.Spec{}); err == nil || !strings.Contains(err.Error(), "--shell-key") {
		t.Errorf("nobody could come in: %v", err)
	}
	master, dev, base := console(t)
	shown := &screen{r: master}
	o := &office{t: t, opened: make(chan rescue.Opened, 1)}
	r := Restored{Options{Report: o, Shell: "/bin/sh", Home: t.TempDir(), Dev: dev, Consoles: []string{base},
		Log: slog.New(slog.DiscardHandler)}}
	spec := &rescue.Spec{Seconds: 600}
	if err := r.Reach(spec); err != nil {
		t.Errorf("by a console: %v", err)
	}
	over := make(chan error, 1)
	go func() { over <- r.Open(t.Context(), spec) }() // ends with its shell
	if at := <-o.opened; len(at.Consoles) != 1 || at.Consoles[0] != base {
		t.Errorf("open: %+v", at)
	}
	if before := shown.until(t, "With exit, or after 10m0s, it is started"); strings.Contains(before, "rescue") {
		t.Errorf("the console says %q", before)
	}
	fmt.Fprint(master, "exit\n")
	if err := <-over; err != nil || !strings.Contains(o.said(), "closed info the shell on the console") {
		t.Errorf("%v\n%s", err, o.said())
	}
}
