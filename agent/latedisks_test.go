package main

import (
	"context"
	"errors"
	"testing"

	"github.com/diskcast/diskcast/internal/uevent"
)

// lots are device events that come one lot after another; behind them the source fails.
type lots struct {
	list []lot
	n    int
	err  error
}

type lot struct {
	events []uevent.Event
	err    error
}

func (l *lots) Wait(context.Context) error {
	if l.n == len(l.list) {
		return l.err
	}
	return nil
}

func (l *lots) Pending() ([]uevent.Event, error) {
	l.n++
	return l.list[l.n-1].events, l.list[l.n-1].err
}

func TestFollowDisks(t *testing.T) {
	disk, nic := uevent.Event{Action: "add", Subsystem: "block"}, uevent.Event{Action: "add", Subsystem: "net"}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		lots []lot
		want bool
	}{
		"a disk":                {[]lot{{events: []uevent.Event{nic, disk}}}, true},
		"two, and nobody reads": {[]lot{{events: []uevent.Event{disk}}, {events: []uevent.Event{disk}}}, true},
		"a card alone":          {[]lot{{events: []uevent.Event{nic}}}, false},
		"nobody knows":          {[]lot{{err: uevent.ErrLost}}, true},
		"it fails":              {[]lot{{err: broken}}, false},
	} {
		came := make(chan struct{}, 1)
		err := followDisks(t.Context(), &lots{list: c.lots, err: broken}, came)
		if !errors.Is(err, broken) || len(came) == 1 != c.want {
			t.Errorf("%s: %v, told %v; want %v", name, err, len(came) == 1, c.want)
		}
	}
}
