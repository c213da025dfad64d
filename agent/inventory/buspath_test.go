package inventory

import (
	"testing"

	"github.com/diskcast/diskcast/agent/treetest"
)

// Paths as Linux 6.1 has them in sysfs, and what udev 252 calls them.
func TestPlace(t *testing.T) {
	root := treetest.Make(t, map[string]string{
		"sys/block/sda": "->../devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sda",
		"sys/block/sdb": "->../devices/pci0000:00/0000:00:05.0/virtio2/host7/target7:0:1/7:0:1:0/block/sdb",
		"sys/block/sdc": "->../devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host9/target9:0:0/9:0:0:0/" +
			"block/sdc",
		"sys/block/sdd":     "->../devices/pci0000:00/0000:00:03.0/0000:02:00.0/host4/target4:2:3/4:2:3:0/block/sdd",
		"sys/block/sde":     "->../devices/pci0000:00/0000:00:01.1/ata1/host0/target0:0:1/0:0:1:0/block/sde",
		"sys/block/nvme0n1": "->../devices/pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0/nvme0n1",
		"sys/block/nvme1n2": "->../devices/pci0000:00/0000:00:1e.0/nvme/nvme1/nvme1n2",
		"sys/block/vda":     "->../devices/pci0000:00/0000:00:04.0/virtio1/block/vda",
		"sys/block/mmcblk0": "->../devices/platform/80860F14:00/mmc_host/mmc0/mmc0:0001/block/mmcblk0",
		"sys/block/xvda":    "->../devices/vbd-51712/block/xvda",
		"sys/block/vdb":     "->../devices/LNRO0005:01/virtio1/block/vdb",
		"sys/block/loop0":   "->../devices/virtual/block/loop0",
		"sys/devices/pci0000:00/0000:00:1f.2/ata3/ata_port/ata3/port_no": "3\n",
		"sys/devices/pci0000:00/0000:00:01.1/ata1/ata_port/ata1/port_no": "1\n",
		"sys/devices/pci0000:00/0000:00:1e.0/nvme/nvme1/nvme1n2/nsid":    "5\n",
		// Two hosts of one controller: the second is number 1 of it whatever the kernel counted before.
		"sys/devices/pci0000:00/0000:00:03.0/0000:02:00.0/host3/.": "",
		"sys/devices/pci0000:00/0000:00:03.0/0000:02:00.0/host4/.": "",
	})
	r := Reader{Root: root}
	for name, want := range map[string][2]string{
		"sda":     {"ata", "pci-0000:00:1f.2-ata-3"},
		"sdb":     {"scsi", "pci-0000:00:05.0-scsi-0:0:1:0"},
		"sdc":     {"usb", "pci-0000:00:14.0-usb-0:1.4:1.0-scsi-0:0:0:0"},
		"sdd":     {"scsi", "pci-0000:02:00.0-scsi-1:2:3:0"},
		"sde":     {"ata", "pci-0000:00:01.1-ata-1"},
		"nvme0n1": {"nvme", "pci-0000:01:00.0-nvme-1"},
		"nvme1n2": {"nvme", "pci-0000:00:1e.0-nvme-5"},
		"vda":     {"virtio", "pci-0000:00:04.0"},
		"mmcblk0": {"mmc", "platform-80860F14:00-mmc"},
		"xvda":    {"xen", "xen-vbd-51712"},
		"vdb":     {"virtio", "platform-LNRO0005:01"},
		"loop0":   {"", ""},
		"none":    {"", ""},
	} {
		if bus, place := r.place(name); bus != want[0] || place != want[1] {
			t.Errorf("%s: %q %q, want %q %q", name, bus, place, want[0], want[1])
		}
	}
}

// TestUSBSerial has a disk in a case behind a hub that has a serial too; one that is no USB disk but whose controller
// is; and one whose USB device has none.
func TestUSBSerial(t *testing.T) {
	const host = "sys/devices/pci0000:00/0000:00:14.0/usb2/"
	r := Reader{Root: treetest.Make(t, map[string]string{
		"sys/block/sda": "->../devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host9/target9:0:0/9:0:0:0/" +
			"block/sda",
		"sys/block/sdb": "->../devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sdb",
		"sys/block/sdc": "->../devices/pci0000:00/0000:00:14.0/usb2/2-2/2-2:1.0/host8/target8:0:0/8:0:0:0/" +
			"block/sdc",
		host + "serial":             "0000:00:14.0\n",
		host + "2-1/serial":         "HUB\n",
		host + "2-1/2-1.4/serial":   "MSFT30AB12\n",
		host + "2-2/2-2:1.0/serial": "not a device's\n",
	})}
	for name, want := range map[string]string{"sda": "MSFT30AB12", "sdb": "", "sdc": "", "none": ""} {
		if got := r.usbSerial(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
