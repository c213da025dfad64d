package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/session"
)

// Server remembers which disk a session chose on this node; *client.Client is one.
type Server interface {
	// ChooseDisk tells the server what this node's plan chose as the session's disk of, counted from 0, and returns
	// what its first plan in the session chose. When it returns, that is durable.
	ChooseDisk(ctx context.Context, id string, of int, disk session.DiskID) (session.DiskID, error)
}

// ForSession returns the disk of a descriptor: the one that the rule means, or the one that the session's first plan on
// this node chose, which the rule must still mean: whoever spoke in this node's name may have chosen another.
func ForSession(disks []session.Disk, d *session.Descriptor) (session.Disk, error) {
	if d.Disk == nil {
		return diskrule.Choose(disks, *d.Target)
	}
	chosen, err := diskrule.Find(disks, *d.Disk)
	if err != nil {
		return chosen, err
	}
	if err := diskrule.Holds(disks, &chosen, *d.Target); err != nil {
		return session.Disk{}, fmt.Errorf("this session chose %s on this node at first, and that does not hold any "+
			"more: %w; nothing was written to either. "+
			"A disk was added or taken away since, or another machine spoke in this node's name. Look at `diskcast "+
			"node show`, and begin a new session with a rule that names the disk", d.Disk.Words(), err)
	}
	return chosen, nil
}

// Wait is how patient a node is with disks that come late: what is behind USB or a large controller comes seconds after
// its driver.
type Wait struct {
	For time.Duration // for a disk when none fits; 0: not at all
	// no disk has come or gone for so long, before one is chosen: another may fit too, a twin with the same serial
	// among them
	Quiet time.Duration
	Since time.Time // when the agent began to look
}

// Patience is how a node waits.
func Patience(since time.Time) Wait {
	return Wait{For: 15 * time.Second, Quiet: 5 * time.Second, Since: since}
}

// restless is how many times all of a Wait a node looks on while disks keep coming and going, before it refuses to
// choose among them.
const restless = 4

// lookEvery is how often it looks meanwhile.
const lookEvery = 250 * time.Millisecond

// Await is ForSession with patience: while no disk fits, and while others may come with which the rule would mean
// another, list is asked again. Nothing is chosen among disks that still come and go.
func Await(ctx context.Context, list func() []session.Disk, d *session.Descriptor, w Wait) (session.Disk, error) {
	end := time.NewTimer(w.For)
	defer end.Stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	began, limit := time.Now(), restless*(w.For+w.Quiet)
	changed, before := w.Since, list()
	over := w.For <= 0
	for {
		now := list()
		if !slices.Equal(now, before) {
			changed, before = time.Now(), now
		}
		chosen, err := ForSession(now, d)
		late := errors.As(err, new(diskrule.Missing))
		known := d.Disk != nil && d.Target.Path != "" // the one case in which no other disk matters
		quiet := known || time.Since(changed) >= w.Quiet
		switch {
		case quiet && (over || !late), over && late:
			return chosen, err
		case time.Since(began) >= limit:
			return session.Disk{}, fmt.Errorf("the disks of this node still come and go after %v, and what the rule "+
				"(%s) means depends on which are there; nothing was written. "+
				"`diskcast node show` prints them. Look for a bad cable, power supply or USB hub, take away what "+
				"comes and goes, and begin a new session", limit, diskrule.Rule(*d.Target))
		}
		select {
		case <-ctx.Done():
			return session.Disk{}, context.Cause(ctx)
		case <-end.C:
			over = true
		case <-tick.C:
		}
	}
}

// Settle makes the chosen disk the session's disk of, before anything is written to it. list reads the disks anew: the
// path must still be the chosen disk's after it was opened.
func Settle(ctx context.Context, s Server, d *session.Descriptor, of int, chosen session.Disk,
	list func() []session.Disk) error {
	id := chosen.ID()
	now := list()
	i := slices.IndexFunc(now, func(x session.Disk) bool { return x.Path == chosen.Path })
	if i < 0 || !id.Is(&now[i]) {
		return fmt.Errorf("%s is another disk than a moment ago, or gone; nothing was written", chosen.Path)
	}
	first, err := s.ChooseDisk(ctx, d.Session, of, id)
	if err != nil {
		return fmt.Errorf("telling the server which disk was chosen, before anything is written: %w", err)
	}
	if !first.Is(&chosen) {
		return fmt.Errorf("this session chose %s on this node at first, and now the rule means %s; nothing was "+
			"written to that", first.Words(), diskrule.Describe(chosen))
	}
	return nil
}
