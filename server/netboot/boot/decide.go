package boot

import (
	"fmt"

	"github.com/diskcast/diskcast/server/netboot"
)

// grubSays is what GRUB is told of what the machine boots, and the name that the timeline has for it.
func grubSays(what netboot.What, file string) (text, shown string, err error) {
	switch what {
	case netboot.Agent:
		return grubNetwork, file, nil
	case netboot.OwnDisk:
		return grubLocal, LocalDisk, nil
	}
	return "", "", fmt.Errorf("the machine is to boot %q, of which this server's boot files know nothing: nothing is "+
		"sent to it", what)
}
