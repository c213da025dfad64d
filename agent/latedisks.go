package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/uevent"
)

// disksEvery is how often the disks are looked at without an event: a few files of sysfs.
const disksEvery = 5 * time.Second

// deviceEvents are the kernel's; *uevent.Socket is the real source.
type deviceEvents interface {
	Pending() ([]uevent.Event, error)
	Wait(ctx context.Context) error
}

// listenDisks sends a value when the kernel has said something of block devices, until ctx ends. Without such events,
// which are a kernel's that has no netlink, only the clock tells when to look.
func (a *agent) listenDisks(ctx context.Context) <-chan struct{} {
	came := make(chan struct{}, 1)
	s, err := uevent.Listen()
	if err != nil {
		a.log.Warn("disks that come late are seen late", "err", err)
		return came
	}
	go func() { // ends with ctx
		if err := errors.Join(followDisks(ctx, s, came), s.Close()); ctx.Err() == nil {
			a.log.Warn("disks that come late are seen late", "err", err)
		}
	}()
	return came
}

// followDisks sends to came, without waiting for its reader, for each lot of events with one of a block device.
func followDisks(ctx context.Context, events deviceEvents, came chan<- struct{}) error {
	for {
		if err := events.Wait(ctx); err != nil {
			return err
		}
		list, err := events.Pending()
		if err != nil && !errors.Is(err, uevent.ErrLost) {
			return err
		}
		if err == nil && !slices.ContainsFunc(list, func(e uevent.Event) bool { return e.Subsystem == "block" }) {
			continue
		}
		select {
		case came <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// watchDisks tells the server of disks that come late or go, so that its inventory is what is there. It looks when
// something comes from came, and every few seconds: not all that changes is an event.
func (a *agent) watchDisks(ctx context.Context, came <-chan struct{}) error {
	tick := time.NewTicker(disksEvery)
	defer tick.Stop()
	// Whether a disk is read-only changes while the agent looks for what to start on it.
	list := func() []session.Disk {
		disks := slices.Clone(a.disks.List())
		for i := range disks {
			disks[i].ReadOnly = false
		}
		return disks
	}
	told := list()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-came:
		case <-tick.C:
		}
		now := list()
		if slices.Equal(told, now) {
			continue
		}
		for _, d := range now {
			if !slices.Contains(told, d) {
				a.log.Info("a disk came", "disk", diskrule.Describe(d))
			}
		}
		for _, d := range told {
			if !slices.Contains(now, d) {
				a.log.Warn("a disk is gone, or changed", "disk", diskrule.Describe(d))
			}
		}
		if err := a.client.Refresh(ctx); err != nil {
			return err
		}
		a.contents.Again()
		told = now
	}
}
