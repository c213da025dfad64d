package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// Server remembers which disk a session chose on this node; *client.Client is one.
type Server interface {
	// ChooseDisk tells the server what this node's plan chose, and returns what its first plan in the session chose. When it
	// returns, that is durable.
	ChooseDisk(ctx context.Context, id string, disk session.DiskID) (session.DiskID, error)
}

// ForSession returns the disk of a descriptor: the one that the session's first plan on this node chose, else the one that the rule means.
func ForSession(disks []session.Disk, d *session.Descriptor) (session.Disk, error) {
	if d.Disk != nil {
		return Find(disks, *d.Disk)
	}
	return Choose(disks, *d.Target)
}

// Patience is how long a node waits for a disk that is not there when its agent is: what is behind USB or a large controller comes seconds
// after its driver.
const Patience = 15 * time.Second

// lookEvery is how often it looks meanwhile.
const lookEvery = 250 * time.Millisecond

// Await is ForSession with patience: while no disk fits, list is asked again, for as long as wait.
func Await(ctx context.Context, list func() []session.Disk, d *session.Descriptor, wait time.Duration) (session.Disk, error) {
	end := time.NewTimer(wait)
	defer end.Stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		chosen, err := ForSession(list(), d)
		if !errors.As(err, new(Missing)) || wait <= 0 {
			return chosen, err
		}
		select {
		case <-ctx.Done():
			return session.Disk{}, context.Cause(ctx)
		case <-end.C:
			return session.Disk{}, err
		case <-tick.C:
		}
	}
}

// Settle makes the chosen disk the session's, before anything is written to it. list reads the disks anew: the path must still be
// the chosen disk's after it was opened.
func Settle(ctx context.Context, s Server, d *session.Descriptor, chosen session.Disk, list func() []session.Disk) error {
	id := chosen.ID()
	now := list()
	i := slices.IndexFunc(now, func(x session.Disk) bool { return x.Path == chosen.Path })
	if i < 0 || !id.Is(&now[i]) {
		return fmt.Errorf("%s is another disk than a moment ago, or gone; nothing was written", chosen.Path)
	}
	first, err := s.ChooseDisk(ctx, d.Session, id)
	if err != nil {
		return fmt.Errorf("telling the server which disk was chosen, before anything is written: %w", err)
	}
	if !first.Is(&chosen) {
		return fmt.Errorf("this session chose %s on this node at first, and now the rule means %s; nothing was written to that", first.Words(), Describe(chosen))
	}
	return nil
}
