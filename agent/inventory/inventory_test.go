package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskcast/diskcast/agent/treetest"
	"github.com/diskcast/diskcast/internal/session"
)

func TestUEFIMachine(t *testing.T) {
	root := treetest.Make(t, map[string]string{
		"sys/class/dmi/id/product_uuid":    "4C4C4544-0042-3510-8052-B4C04F4E4D32\n",
		"sys/class/dmi/id/product_serial":  "To be filled by O.E.M.\n",
		"sys/class/dmi/id/sys_vendor":      "Dell Inc.\n",
		"sys/class/dmi/id/product_name":    "OptiPlex 7070 \n",
		"sys/kernel/security/lockdown":     "none [integrity] confidentiality\n",
		"proc/sys/kernel/osrelease":        "6.1.0-56-amd64\n",
		"proc/meminfo":                     "MemTotal:         471548 kB\nMemFree:          1 kB\n",
		"sys/class/net/lo/type":            "772\n",
		"sys/class/net/eth0/type":          "1\n",
		"sys/class/net/eth0/address":       "52:54:00:12:34:56\n",
		"sys/class/net/eth0/carrier":       "1\n",
		"sys/class/net/eth0/speed":         "1000\n",
		"sys/class/net/eth0/mtu":           "1500\n",
		"sys/class/net/eth0/device/driver": "->../../bus/pci/drivers/e1000e",
		"sys/class/net/eth1/type":          "1\n",
		"sys/class/net/eth1/address":       "52:54:00:12:34:57\n",
		"sys/class/net/eth1/speed":         "4294967295\n",
		"sys/class/net/ib0/type":           "32\n",

		"sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": "\x06\x00\x00\x00\x01",
	})
	r := Reader{Root: root, BootNIC: "eth0", Addrs: func(nic string) []string {
		if nic == "eth0" {
			return []string{"10.0.0.5/24"}
		}
		return nil
	}}
	want := session.Inventory{
		UUID: "4c4c4544-0042-3510-8052-b4c04f4e4d32", Vendor: "Dell Inc.", Product: "OptiPlex 7070",
		Firmware: session.UEFI, SecureBoot: true, Lockdown: "integrity", Kernel: "6.1.0-56-amd64", Memory: 471548 << 10,
		NICs: []session.NIC{
			{Name: "eth0", MAC: "52:54:00:12:34:56", Driver: "e1000e", Up: true, Mbps: 1000, MTU: 1500, Boot: true,
				Addrs: []string{"10.0.0.5/24"}},
			{Name: "eth1", MAC: "52:54:00:12:34:57"},
		},
	}
	if diff := cmp.Diff(want, r.Read(), cmpopts.IgnoreFields(session.Inventory{}, "CPUs")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestDisks(t *testing.T) {
	const nvme = "sys/block/nvme0n1/"
	root := treetest.Make(t, map[string]string{
		"sys/block/loop0/size": "100\n", "sys/block/ram0/size": "100\n", "sys/block/zram0/size": "100\n",
		"sys/block/sr0/size": "100\n", "sys/block/fd0/size": "8\n", "sys/block/dm-0/size": "100\n",
		"sys/block/md127/size":        "100\n",
		"sys/block/mmcblk0boot0/size": "100\n",
		"sys/block/sdb/size":          "0\n", // a card reader without a card
		"sys/block/nvme0c0n1/size":    "200\n", "sys/block/nvme0c0n1/hidden": "1\n",

		nvme + "size": "2000409264\n", nvme + "queue/logical_block_size": "4096\n", nvme + "queue/rotational": "0\n",
		nvme + "ro": "0\n", nvme + "removable": "0\n", nvme + "device/model": "Samsung SSD 980            \n",
		nvme + "device/serial": "S64ANS0T\n", nvme + "wwid": "eui.0025385a\n",

		"sys/block/sda/size": "976773168\n", "sys/block/sda/queue/logical_block_size": "512\n",
		"sys/block/sda/queue/rotational": "1\n",
		"sys/block/sda/device/model":     "ST500DM002-1BD14\n", "sys/block/sda/device/wwid": "naa.5000c500\n",
		"sys/block/sda/device/vpd_pg80": "\x00\x80\x00\x14            Z3TABCDE",

		"sys/block/vda/size": "8192\n", "sys/block/vda/serial": "disk-1\x00", "sys/block/vda/ro": "1\n",
		"sys/block/mmcblk0/size": "8192\n", "sys/block/mmcblk0/device/name": "SD32G\n",
		"sys/block/mmcblk0/device/serial": "0x1234\n",
		"sys/block/mmcblk0/removable":     "1\n",
		"sys/block/cciss!c0d0/size":       "16\n",
		"sys/block/sdc/size":              "16\n",
		"sys/block/sdc/device/vpd_pg80":   "\x00\x80\xff\xff\x01\x02",
	})
	want := []session.Disk{
		{Path: "/dev/cciss/c0d0", Size: 8192, SectorSize: 512},
		{Path: "/dev/mmcblk0", Size: 8192 * 512, SectorSize: 512, Model: "SD32G", Serial: "0x1234", Removable: true},
		{Path: "/dev/nvme0n1", Size: 2000409264 * 512, SectorSize: 4096, Model: "Samsung SSD 980", Serial: "S64ANS0T",
			WWN: "eui.0025385a"},
		{Path: "/dev/sda", Size: 976773168 * 512, SectorSize: 512, Model: "ST500DM002-1BD14", Serial: "Z3TABCDE",
			WWN: "naa.5000c500", Rotational: true},
		{Path: "/dev/sdc", Size: 8192, SectorSize: 512},
		{Path: "/dev/vda", Size: 8192 * 512, SectorSize: 512, Serial: "disk-1", ReadOnly: true},
	}
	r := Reader{Root: root}
	if diff := cmp.Diff(want, r.Disks()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestNothing is a machine whose sysfs says nothing: it has an inventory all the same.
func TestNothing(t *testing.T) {
	r := Reader{Root: t.TempDir()}
	if inv := r.Read(); inv.Firmware != session.BIOS || inv.Disks != nil || inv.NICs != nil {
		t.Errorf("%+v", inv)
	}
}

// TestThisMachine reads the machine that the test runs on: whatever it is, nothing must be nonsense.
func TestThisMachine(t *testing.T) {
	r := Reader{Root: "/"}
	inv := r.Read()
	if inv.Memory < 64<<20 || inv.CPUs < 1 || inv.Kernel == "" {
		t.Errorf("%+v", inv)
	}
	for _, d := range inv.Disks {
		if d.Size <= 0 || d.SectorSize < 512 {
			t.Errorf("%+v", d)
		}
	}
}

// TestBondedNICs has two cards in a bond with a VLAN on it: the inventory has the cards, with the addresses that they
// were made with, and the node's address at the one that it booted from.
func TestBondedNICs(t *testing.T) {
	r := &Reader{BootNIC: "eth1", Above: "vlan120", Addrs: func(nic string) []string { return []string{"of " + nic} },
		Root: treetest.Make(t, map[string]string{
			"sys/class/net/eth0/type": "1\n", "sys/class/net/eth0/address": "52:54:00:00:00:02\n",
			"sys/class/net/eth0/bonding_slave/perm_hwaddr": "52:54:00:00:00:01\n",
			"sys/class/net/eth1/type":                      "1\n", "sys/class/net/eth1/address": "52:54:00:00:00:02\n",
			"sys/class/net/eth1/bonding_slave/perm_hwaddr": "52:54:00:00:00:02\n",
			"sys/class/net/bond0/type":                     "1\n", "sys/class/net/bond0/address": "52:54:00:00:00:02\n",
			"sys/class/net/bond0/uevent": "DEVTYPE=bond\nINTERFACE=bond0\n",
			"sys/class/net/vlan120/type": "1\n", "sys/class/net/vlan120/address": "52:54:00:00:00:02\n",
			"sys/class/net/vlan120/uevent": "DEVTYPE=vlan\nINTERFACE=vlan120\n",
		})}
	got := r.NICs()
	if len(got) != 2 || got[0].MAC != "52:54:00:00:00:01" || got[0].Boot || got[1].MAC != "52:54:00:00:00:02" ||
		!got[1].Boot || got[1].Addrs[0] != "of vlan120" || got[0].Addrs[0] != "of eth0" {
		t.Errorf("%+v", got)
	}
}

// TestUnfit has what looks like disks and is none: named where a machine's owner would look for it, else left out.
func TestUnfit(t *testing.T) {
	r := &Reader{Root: treetest.Make(t, map[string]string{
		"sys/block/pmem0/size": "2048\n", "sys/block/dasda/size": "2048\n", "sys/block/bcache0/size": "2048\n",
		"sys/block/zd0/size": "2048\n", "sys/block/sda/size": "2048\n",
		"sys/block/sda/device": "->../../devices/pci0000:00/0000:00:05.0/host2/target2:0:1/2:0:1:0",
	})}
	got := r.Disks()
	if len(got) != 3 || !strings.HasPrefix(got[0].Unfit, "a DASD") ||
		!strings.HasPrefix(got[1].Unfit, "persistent memory") || got[2].Unfit != "" || got[2].HCTL != "2:0:1:0" {
		t.Errorf("%+v", got)
	}
}
