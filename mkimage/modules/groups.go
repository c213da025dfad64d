package modules

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/kmod"
)

// Default is the selection for machines of any kind.
var Default = []string{"net", "storage", "fs", "input", "health"}

// group is a set of modules by where they lie in the kernel's source tree, which is where they lie below kernel/ too.
type group struct {
	about   string
	in      []string // folders ("drivers/ata/") or modules ("fs/fat/vfat")
	without []string
}

var groups = map[string]group{
	"net": {
		about: "wired network cards, also virtual and USB ones, VLANs and bonds",
		in: []string{"drivers/net/ethernet/", "drivers/net/phy/", "drivers/net/mdio/", "drivers/net/pcs/",
			"drivers/net/usb/", "drivers/net/hyperv/",
			"drivers/net/vmxnet3/", "drivers/net/fjes/", "drivers/net/virtio_net", "drivers/net/xen-netfront",
			"drivers/net/net_failover", "drivers/net/mii",
			"drivers/net/mdio", "drivers/net/bonding/", "net/8021q/", "net/packet/af_packet",
			"drivers/virtio/", "drivers/hv/", "drivers/xen/xen-privcmd", "drivers/pci/controller/"},
		without: []string{"drivers/net/usb/sierra_net", "drivers/net/usb/qmi_wwan", "drivers/net/usb/hso",
			"drivers/net/usb/huawei_cdc_ncm", "drivers/virtio/virtio_mem"},
	},
	"storage": {
		about: "disks and their controllers, also virtual and USB ones, software RAID and LVM",
		in: []string{"drivers/ata/", "drivers/scsi/", "drivers/nvme/host/", "drivers/nvme/common/",
			"drivers/block/virtio_blk", "drivers/block/xen-blkfront", "drivers/block/loop",
			"drivers/block/nbd", "drivers/message/fusion/", "drivers/md/", "drivers/mmc/", "drivers/usb/host/",
			"drivers/usb/core/", "drivers/usb/common/", "drivers/usb/storage/", "drivers/ufs/",
			"drivers/virtio/", "drivers/hv/", "drivers/pci/controller/", "drivers/nvdimm/", "drivers/acpi/nfit/",
			"drivers/char/hw_random/virtio-rng"},
		without: []string{"drivers/md/bcache/", "drivers/scsi/scsi_debug", "drivers/scsi/pcmcia/",
			"drivers/scsi/device_handler/", "drivers/virtio/virtio_mem", "drivers/usb/host/sl811_cs"},
	},
	"fs": {
		about: "the file systems ext4, vfat, xfs, btrfs, ntfs3 where the kernel has it, efivarfs and fuse",
		in: []string{"fs/ext4/", "fs/fat/vfat", "fs/xfs/", "fs/btrfs/", "fs/ntfs3/ntfs3", "fs/efivarfs/",
			"fs/fuse/fuse",
			"fs/nls/nls_cp437", "fs/nls/nls_ascii", "fs/nls/nls_iso8859-1", "fs/nls/nls_utf8"},
	},
	"input": {
		about: "keyboards, for the console of a node that is in trouble",
		in: []string{"drivers/hid/hid", "drivers/hid/hid-generic", "drivers/hid/usbhid/usbhid",
			"drivers/hid/hid-hyperv", "drivers/input/keyboard/atkbd", "drivers/input/serio/", "drivers/input/evdev"},
	},
	"health": {
		about: "watchdogs, and where firmware keeps the last words of a kernel that crashed",
		in:    health,
	},
	"all":  {about: "every module of the kernel", in: []string{""}},
	"none": {about: "no module"},
}

// health are the watchdogs that hardware names, what the chipset's hang on, one without hardware, and pstore.
var health = []string{"drivers/watchdog/softdog", "drivers/watchdog/iTCO_wdt", "drivers/watchdog/iTCO_vendor_support",
	"drivers/watchdog/sp5100_tco", "drivers/watchdog/wdat_wdt", "drivers/watchdog/i6300esb", "drivers/watchdog/hpwdt",
	"drivers/watchdog/mei_wdt", "drivers/watchdog/xen_wdt", "drivers/watchdog/sbsa_gwdt", "drivers/watchdog/imx2_wdt",
	"drivers/watchdog/bcm2835_wdt", "drivers/watchdog/watchdog", "drivers/mfd/lpc_ich", "drivers/mfd/intel_pmc_bxt",
	"drivers/i2c/busses/i2c-i801", "drivers/firmware/efi/efi-pstore", "fs/pstore/"}

// everyNode is what a node needs whatever its hardware: file systems, a console that a keyboard is plugged into when
// there is trouble, disks and sticks behind whatever controller, logical volumes, VLANs and bonds.
var everyNode = group{in: append([]string{"drivers/scsi/sd_mod", "drivers/usb/storage/usb-storage",
	"drivers/usb/storage/uas", "drivers/block/loop", "drivers/md/dm-mod", "drivers/net/bonding/", "net/8021q/",
	"net/packet/af_packet", "drivers/hid/hid", "drivers/hid/hid-generic", "drivers/hid/usbhid/usbhid",
	"drivers/input/keyboard/atkbd", "drivers/input/evdev", "drivers/watchdog/softdog",
	"drivers/firmware/efi/efi-pstore", "fs/pstore/"}, groups["fs"].in...)}

// Kind is what drivers are for.
type Kind struct {
	Name string
	in   []string
}

// Kinds of drivers without which a node does nothing.
var (
	Cards = Kind{"a network card", []string{"drivers/net/ethernet/", "drivers/net/usb/", "drivers/net/hyperv/",
		"drivers/net/vmxnet3/", "drivers/net/fjes/", "drivers/net/virtio_net", "drivers/net/xen-netfront"}}
	Controllers = Kind{"a disk controller", []string{"drivers/ata/", "drivers/scsi/", "drivers/nvme/host/",
		"drivers/block/virtio_blk", "drivers/block/xen-blkfront", "drivers/message/fusion/", "drivers/mmc/",
		"drivers/usb/storage/", "drivers/ufs/", "drivers/nvdimm/"}}
)

// Holds reports whether a module, by its path in /lib/modules/RELEASE, is one; a module from outside the kernel's own
// tree may be.
func (k Kind) Holds(path string) bool {
	m := kmod.Module{Path: path}
	return !strings.HasPrefix(path, "kernel/") || within(&m, k.in)
}

// IsGroup reports whether a word is the name of a group.
func IsGroup(word string) bool {
	_, ok := groups[word]
	return ok
}

// EveryNode reports whether each node needs the module, whatever its hardware.
func EveryNode(m *kmod.Module) bool { return everyNode.holds(m) }

// GroupNames are the names of the groups, sorted.
func GroupNames() []string { return slices.Sorted(maps.Keys(groups)) }

// About says in a few words what is in a group.
func About(group string) string { return groups[group].about }

func (g group) holds(m *kmod.Module) bool {
	return within(m, g.in) && !within(m, g.without)
}

func within(m *kmod.Module, places []string) bool {
	// Modules of the kernel's own tree lie below kernel/; those from elsewhere (updates/dkms) are in "all" only.
	// One that stands for a module of that tree is where that one is.
	file, inTree := strings.CutPrefix(strings.TrimSuffix(Plain(cmp.Or(m.Place, m.Path)), ".ko"), "kernel/")
	for _, p := range places {
		if p == "" || inTree && (file == p || strings.HasSuffix(p, "/") && strings.HasPrefix(file, p)) {
			return true
		}
	}
	return false
}
