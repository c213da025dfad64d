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
// stays in its PCI slot. A USB disk is a removable stick, a USBDisk one that stays plugged in, by the same protocol. An
// AHCI disk is alone on its controller, an NVMe disk the first namespace of its own; LSI is the controller 53C895A,
// MegaSAS a RAID controller that shows its disks as they are, MPTSAS Fusion MPT.
const (
	VirtioBlk Bus = ""
	SCSI      Bus = "scsi"
	USB       Bus = "usb"
	AHCI      Bus = "ahci"
	NVMe      Bus = "nvme"
	USBDisk   Bus = "usb-disk"
	LSI       Bus = "lsi"
	MegaSAS   Bus = "megasas"
	MPTSAS    Bus = "mptsas"
)

// scsiControllers are QEMU's names of the controllers that a SCSI disk is behind.
var scsiControllers = map[Bus]string{LSI: "lsi53c895a", MegaSAS: "megasas", MPTSAS: "mptsas1068"}

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
	if d.Bus != USB && d.Bus != USBDisk && !v.own {
		disk["bootindex"] = bootIndex
	}
	controller := fmt.Sprintf("ctl%d", i)
	switch d.Bus {
	case SCSI:
		disk["driver"], disk["bus"] = "scsi-hd", controller+".0"
		return []device{{"driver": "virtio-scsi-pci", "id": controller, "addr": fmt.Sprintf("0x%x", firstSlot+i)}, disk}
	case USB, USBDisk:
		disk["driver"], disk["bus"], disk["removable"] = "usb-storage", controller+".0", d.Bus == USB
		return []device{{"driver": "qemu-xhci", "id": controller}, disk}
	case AHCI:
		disk["driver"], disk["bus"] = "ide-hd", controller+".0"
		return []device{{"driver": "ahci", "id": controller}, disk}
	case NVMe:
		disk["driver"] = "nvme"
		return []device{disk}
	case LSI, MegaSAS, MPTSAS:
		disk["driver"], disk["bus"] = "scsi-hd", controller+".0"
		return []device{{"driver": scsiControllers[d.Bus], "id": controller}, disk}
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
		case value == false:
			out += "," + k + "=off"
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
