package uevent

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestSocketWaitEnds(t *testing.T) {
	s, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	// The host may have events of its own.
	for err == nil {
		if _, err = s.Pending(); err == nil {
			err = s.Wait(ctx)
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// A network card that appears in a namespace of the test's own is an event there.
func TestSocketReceives(t *testing.T) {
	need.Root(t)
	// The thread stays locked: it is thrown away with its namespace when the test's goroutine ends.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	s, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	if err := netlink.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "dc-uevent"}}); err != nil {
		// Some kernels have no dummy device; a bridge is as good.
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "dc-uevent"}}); err != nil {
			t.Fatal(err)
		}
	}
	for {
		events, err := s.Pending()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Action == "add" && e.Subsystem == "net" && e.Path == "/devices/virtual/net/dc-uevent" {
				return
			}
		}
		if err := s.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
