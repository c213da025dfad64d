package vm

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Bus is what a disk is plugged into.
type Bus string

// VirtioBlk is the zero value, a controller in the disk itself. A SCSI disk is alone on a virtio-scsi controller, which
// stays in its PCI slot. A USB disk is a removable stick. An AHCI disk is alone on its controller, an NVMe disk the
// first namespace of its own.
const (
	VirtioBlk Bus = ""
	SCSI      Bus = "scsi"
	USB       Bus = "usb"
	AHCI      Bus = "ahci"
	NVMe      Bus = "nvme"
)

// firstSlot is the PCI slot of the first disk's SCSI controller; QEMU gives the lower ones to devices without a place.
const firstSlot = 0x10

// device is the driver and the properties of a device, as QEMU's -device and device_add take them.
type device map[string]any

func diskID(i int) string { return "disk" + itoa(i) }

// devices are the parts of a disk in the order in which they are plugged in.
func (v *VM) devices(i, bootIndex int) []device {
	d := v.o.Disks[i]
	disk := device{"id": fmt.Sprintf("dev%d", i), "drive": diskID(i)}
	if d.Serial != "" {
		disk["serial"] = d.Serial
	}
	if d.SectorSize != 0 {
		disk["logical_block_size"], disk["physical_block_size"] = d.SectorSize, d.SectorSize
	}
	if d.Bus != USB && !v.own {
		disk["bootindex"] = bootIndex
	}
	controller := fmt.Sprintf("ctl%d", i)
	switch d.Bus {
	case SCSI:
		disk["driver"], disk["bus"] = "scsi-hd", controller+".0"
		return []device{{"driver": "virtio-scsi-pci", "id": controller, "addr": fmt.Sprintf("0x%x", firstSlot+i)}, disk}
	case USB:
		disk["driver"], disk["bus"], disk["removable"] = "usb-storage", controller+".0", true
		return []device{{"driver": "qemu-xhci", "id": controller}, disk}
	case AHCI:
		disk["driver"], disk["bus"] = "ide-hd", controller+".0"
		return []device{{"driver": "ahci", "id": controller}, disk}
	case NVMe:
		disk["driver"] = "nvme"
		return []device{disk}
	}
	disk["driver"] = "virtio-blk-pci"
	return []device{disk}
}

func (d device) arg() string {
	out := fmt.Sprint(d["driver"])
	for _, k := range slices.Sorted(maps.Keys(d)) {
		switch value := d[k]; {
		case k == "driver":
		case value == true:
			out += "," + k + "=on"
		default:
			out += fmt.Sprintf(",%s=%v", k, value)
		}
	}
	return out
}

// Late names the disks, by number, that are not plugged in when the machine is switched on the next times.
func (v *VM) Late(disks ...int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.late = map[int]bool{}
	for _, i := range disks {
		v.late[i] = true
	}
}

// Plug plugs a late disk into the running machine, with its controller.
func (v *VM) Plug(ctx context.Context, disk int) error {
	q, err := v.monitor()
	if err != nil {
		return err
	}
	for _, dev := range v.devices(disk, 100+disk) {
		if _, err := q.ask(ctx, "device_add", dev); err != nil {
			return fmt.Errorf("machine %s: plugging in disk %d: %w", v.o.Name, disk, err)
		}
	}
	return nil
}
