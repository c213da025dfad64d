package main

import (
	"context"

	"github.com/diskcast/diskcast/agent/efiboot"
	"github.com/diskcast/diskcast/agent/imaging"
)

// entry makes the firmware start the restored disk. With -no-boot the machine is somebody else's, and so is its firmware.
func (a *agent) entry(_ context.Context, r *imaging.Result) (string, error) {
	if a.o.noBoot {
		return "the firmware's boot entries were left alone (-no-boot)", nil
	}
	m := &efiboot.Machine{Root: "/", Disks: a.inventory.Disks}
	return m.Enter(r.Disk)
}
