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
	err = Await(ctx, func(to chan<- netlink.LinkUpdate, done <-chan struct{}) error {
		return netlink.LinkSubscribeWithOptions(to, done, netlink.LinkSubscribeOptions{ListExisting: true})
	}, func(u *netlink.LinkUpdate) bool {
		return u.Index == int32(link.Attrs().Index) && u.Flags&unix.IFF_RUNNING != 0
	})
	if err != nil {
		return fmt.Errorf("%s got no carrier: %w", name, err)
	}
	return nil
}

// Running waits, for a bounded time, until the interface of the caller's namespace has its carrier.
func Running(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), carrierComes)
	defer cancel()
	return WaitRunning(ctx, name)
}
