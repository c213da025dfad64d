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
	defer close(done)
	if err := netlink.AddrSubscribeWithOptions(updates, done,
		netlink.AddrSubscribeOptions{ListExisting: true}); err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	timeout := time.After(10 * time.Second)
	for {
		select {
		case u := <-updates:
			if u.NewAddr && u.LinkIndex == link.Attrs().Index && u.Flags&unix.IFA_F_TENTATIVE == 0 &&
				u.LinkAddress.IP.IsLinkLocalUnicast() && u.LinkAddress.IP.To4() == nil {
				return nil
			}
		case <-timeout:
			return fmt.Errorf("%s got no link-local address", name)
		}
	}
}
