package nettest

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// WaitLinkLocal waits until the interface, of the caller's namespace, can send from its link-local IPv6 address: the
// kernel gives it some time after both ends of a cable are up, and looks first whether another host has it.
func WaitLinkLocal(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	updates, done := make(chan netlink.AddrUpdate, 16), make(chan struct{})
	if err := netlink.AddrSubscribeWithOptions(updates, done,
		netlink.AddrSubscribeOptions{ListExisting: true}); err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	defer func() {
		close(done)
		// It ends when the subscription has closed the channel, which it cannot while it has an update in hand.
		go func() {
			for range updates {
			}
		}()
	}()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				return fmt.Errorf("watch addresses: the kernel ended it before %s had one", name)
			}
			if u.NewAddr && u.LinkIndex == link.Attrs().Index && u.Flags&unix.IFA_F_TENTATIVE == 0 &&
				u.LinkAddress.IP.IsLinkLocalUnicast() && u.LinkAddress.IP.To4() == nil {
				return nil
			}
		case <-timeout:
			return fmt.Errorf("%s got no link-local address", name)
		}
	}
}
