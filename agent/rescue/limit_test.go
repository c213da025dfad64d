package rescue

import (
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"log/slog"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
)

// TestTimeIsOver: a rescue ends by itself when its time is over.
func TestTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{t: t, opened: make(chan rescue.Opened, 1)}
		j := Action(Options{Report: o, Log: slog.New(slog.DiscardHandler), Dev: t.TempDir(),
			Consoles: []string{"none"}})(&session.Descriptor{Session: "s",
			Action: rescue.Action, Job: []byte(`{"seconds":3600}`)})
		began := time.Now()
		if err := j.Run(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Hour ||
			!strings.Contains(o.said(), "closed info its time of 1h0m0s is over") {
			t.Errorf("after %v:\n%s", took, o.said())
		}
	})
}

// TestNoPort: a port that is not to be had is a failure with words, and no event says that a shell is open.
func TestNoPort(t *testing.T) {
	o := &office{t: t, opened: make(chan rescue.Opened, 1)}
	j := Action(Options{Report: o, Log: slog.New(slog.DiscardHandler),
		Listen: func() (net.Listener, error) { return nil, errors.New("port 22 is taken") }})(
		&session.Descriptor{Session: "s", Action: rescue.Action,
			Job: []byte(`{"keys":["` + keyLine(newSigner(t)) + `"]}`)})
	if err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "port 22 is taken") || o.said() != "" {
		t.Errorf("%v\n%s", err, o.said())
	}
}

// TestNoWayIn: a shell that nobody could reach is a failure, and no event says that one is open.
func TestNoWayIn(t *testing.T) {
	o := &office{t: t, opened: make(chan rescue.Opened, 1)}
	j := Action(Options{Report: o, Log: slog.New(slog.DiscardHandler)})(
		&session.Descriptor{Session: "s", Action: rescue.Action, Job: []byte(`{}`)})
	if err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--key") || o.said() != "" {
		t.Errorf("%v\n%s", err, o.said())
	}
}

// TestWaysIn: the event names the ways in that there are.
func TestWaysIn(t *testing.T) {
	o := open(t, 600, nil)
	if got := o.said(); !strings.HasPrefix(got, "open info a shell by ssh -p ") {
		t.Errorf("without a console: %s", got)
	}
	o = open(t, 600, func(o *Options) { o.Dev, o.Consoles = t.TempDir(), []string{"none", "ttyS9"} })
	if got := o.said(); !strings.HasPrefix(got, "open info a shell on none, ttyS9, and by ssh -p ") {
		t.Errorf("with consoles: %s", got)
	}
}
