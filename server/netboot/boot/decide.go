package boot

import (
	"fmt"

	"github.com/diskcast/diskcast/server/netboot"
)

// scriptSays is what iPXE is told of what the machine boots in the place of the boot directory's script, empty for
// that, and the name that the timeline has for it. pick is what was chosen in a menu.
func (d *Dir) scriptSays(what netboot.What, mac, pick string) (text, shown string, err error) {
	switch what {
	case netboot.Agent:
		return "", Script, nil
	case netboot.OwnDisk:
		return Localboot, LocalDisk, nil
	case netboot.Nothing:
		return notHere + ownDisk, LocalDisk, nil
	case netboot.Menu:
		switch pick {
		case pickAgent:
			return "", Script, nil
		case pickOwn:
			return chosen + ownDisk, LocalDisk, nil
		}
		return d.menu(mac), menuScript, nil
	case netboot.Memtest:
		if pick == pickAgent { // the test does not start
			return "", Script, nil
		}
		return d.memtest(mac), memtestScript, nil
	}
	return "", "", unheard(what)
}

// grubSays is what GRUB is told of what the machine boots, and the name that the timeline has for it.
func (d *Dir) grubSays(what netboot.What, start netboot.Start, ask grubAsk, file string) (text, shown string,
	err error) {
	if lostWords[ask.what] != "" {
		return grubRestart, file, nil
	}
	switch what {
	case netboot.Agent:
		if ask.what != askNode { // a session came while the menu was there
			return grubToAgent, file, nil
		}
		return grubNetwork, file, nil
	case netboot.OwnDisk:
		return d.grubDisk(ask.mac, start) + grubLocal, LocalDisk, nil
	case netboot.Nothing: // its DHCP is another server's, to which a restart would bring it back
		return grubNotHere, LocalDisk, nil
	case netboot.Menu:
		switch ask.what {
		case askOwn:
			if start.Firmware != "" {
				return grubLeave(ask.mac), LocalDisk, nil
			}
			return d.grubDisk(ask.mac, start) + grubChosen, LocalDisk, nil
		case askMenu:
			return d.grubMenu(ask.mac), menuGRUB, nil
		}
		return grubToMenu(ask.mac), file, nil
	case netboot.Memtest:
		if ask.what != askNode {
			return grubToAgent, file, nil
		}
		return d.grubMemtest(), memtestGRUB, nil
	}
	return "", "", unheard(what)
}

func unheard(what netboot.What) error {
	return fmt.Errorf("the machine is to boot %q, of which this server's boot files know nothing: nothing is "+
		"sent to it", what)
}
