package netlab

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// carrierComes bounds how long a cable between two interfaces that are up may be without a carrier: the kernel's worker
// tells it, and on a busy machine that comes late.
const carrierComes = 30 * time.Second

// WaitRunning waits until an interface of the caller's namespace has its carrier, which is what makes it "running":
// being up is not enough, the kernel looks at the cable later.
func WaitRunning(ctx context.Context, name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	updates, done := make(chan netlink.LinkUpdate, 16), make(chan struct{})
	if err := netlink.LinkSubscribeWithOptions(updates, done,
		netlink.LinkSubscribeOptions{ListExisting: true}); err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	defer func() {
		close(done)
		// It ends when the subscription has closed the channel, which it cannot while it has an update in hand.
		go func() {
			for range updates {
			}
		}()
	}()
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				return fmt.Errorf("watch links: the kernel ended it before %s had a carrier", name)
			}
			if u.Index == int32(link.Attrs().Index) && u.Flags&unix.IFF_RUNNING != 0 {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("%s got no carrier: %w", name, context.Cause(ctx))
		}
	}
}

// Running waits, for a bounded time, until the interface of the caller's namespace has its carrier.
func Running(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), carrierComes)
	defer cancel()
	return WaitRunning(ctx, name)
}
