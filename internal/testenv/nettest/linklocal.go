package nettest

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/netlab"
)

// WaitLinkLocal waits until the interface, of the caller's namespace, can send from its link-local IPv6 address: the
// kernel gives it some time after both ends of a cable are up, and looks first whether another host has it.
func WaitLinkLocal(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = netlab.Await(ctx, func(to chan<- netlink.AddrUpdate, done <-chan struct{}) error {
		return netlink.AddrSubscribeWithOptions(to, done, netlink.AddrSubscribeOptions{ListExisting: true})
	}, func(u *netlink.AddrUpdate) bool {
		return u.NewAddr && u.LinkIndex == link.Attrs().Index && u.Flags&unix.IFA_F_TENTATIVE == 0 &&
			u.LinkAddress.IP.IsLinkLocalUnicast() && u.LinkAddress.IP.To4() == nil
	})
	if err != nil {
		return fmt.Errorf("%s got no link-local address: %w", name, err)
	}
	return nil
}
