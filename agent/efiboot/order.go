package efiboot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/rx"
)

// class is what an entry of the boot order starts from.
type class int

const (
	inert     class = iota // not tried: switched off, a program like the setup, or a number without an entry
	network                // PXE, HTTP
	removable              // USB, CD
	program                // in the firmware itself: a shell
	disk                   // surely a disk
	unknown                // anything else, which may be the network
)

// optical recognizes a drive behind a SATA port, whose device path is a disk's.
var optical = rx.New(`(?i)\b(dvd|cd|cd-?rom|optical)\b`)

// netWords are what firmware calls its network entries, where the device path does not tell.
var netWords = rx.New(`(?i)pxe|ipv[46]|\b(ip[46]|w?lan|https?|network|ethernet|nic)\b`)

// classOf is the class of an option, which may be nil. What is not surely a disk is none: an entry before the network
// would end the machine's netboot.
func classOf(o *efivars.Option) class {
	if o == nil || !o.Tried() {
		return inert
	}
	nodes := o.Nodes()
	c := pathClass(nodes)
	switch {
	case c != disk && c != network && netWords().MatchString(o.Description):
		return network
	case c == disk && optical().MatchString(o.Description) && !slices.ContainsFunc(nodes, onPartition):
		return removable
	case c == unknown && miscDevice(o.Description, nodes):
		return disk
	}
	return c
}

// pathClass is what the device path alone tells.
func pathClass(nodes []efivars.Node) class {
	c := unknown
	for _, n := range nodes {
		switch n.Kind {
		case efivars.NodeMAC, efivars.NodeIPv4, efivars.NodeIPv6, efivars.NodeVLAN, efivars.NodeURI, efivars.NodeWiFi,
			efivars.NodeDNS:
			return network
		case efivars.NodeDisk:
			return disk // a system that was installed on it, be it a USB disk
		case efivars.NodeATAPI, efivars.NodeSCSI, efivars.NodeFibre, efivars.NodeSATA, efivars.NodeISCSI,
			efivars.NodeFibreEx, efivars.NodeSASEx,
			efivars.NodeNVMe, efivars.NodeUFS, efivars.NodeSD, efivars.NodeEMMC, efivars.NodeNVDIMM, efivars.NodeNVMeOF:
			c = disk
		case efivars.NodeUSB, efivars.NodeUSBWWID, efivars.NodeCDROM:
			c = removable
		case efivars.NodeFVFile, efivars.NodeFV:
			c = program
		case efivars.NodeVendor:
			c = vendor(n.Data)
		case efivars.NodeBBS:
			c = bbs(n.Data)
		}
	}
	return c
}

func onPartition(n efivars.Node) bool { return n.Kind == efivars.NodeDisk }

// miscDevice recognizes EDK II's name for a disk behind a controller without a node of its own, such as virtio: nothing
// but the places of the controller (types 1 and 2) is in its path. EDK II's network entries have the card's address in
// theirs.
func miscDevice(description string, nodes []efivars.Node) bool {
	return strings.HasPrefix(description, "UEFI Misc Device") && len(nodes) > 0 &&
		!slices.ContainsFunc(nodes, func(n efivars.Node) bool { return n.Kind>>8 != 1 && n.Kind>>8 != 2 })
}

// lenovo is the GUID of ThinkPads' entries for kinds of devices, as a device path has it:
// bc7838d2-0f82-4d60-8316-c068ee79d25b. A second GUID names the kind, and a byte may follow that counts the devices.
const lenovo = "\xd2\x38\x78\xbc\x82\x0f\x60\x4d\x83\x16\xc0\x68\xee\x79\xd2\x5b"

// lenovoKinds are the kinds by their bytes, as efibootmgr prints them.
var lenovoKinds = map[string]class{
	"78a84aaf2b2afc4ea79cf5cc8f3d3803": network,   // PCI LAN
	"33e821aaaf33bc4789bd419f88c50803": removable, // USB HDD
	"86701296aa5a7848b66cd49dd3ba6a55": removable, // USB CD
	"6ff015a28830b543a8b8641009461e49": removable, // USB FDD
	"aea2090adfde214e8b3a5e471856a354": removable, // ATAPI CD
	"001c199932d94c4eae9aa0b6e98eb8a4": disk,      // NVMe
	"91af625956449f41a7b91f4f892ab0f6": disk,      // ATA HDD
}

// vendor takes a vendor's node: a GUID and what its owner makes of it.
func vendor(b []byte) class {
	kind, ok := bytes.CutPrefix(b, []byte(lenovo))
	if !ok || len(kind) < 16 {
		return unknown
	}
	if c, ok := lenovoKinds[hex.EncodeToString(kind[:16])]; ok {
		return c
	}
	return unknown
}

// bbs takes the device type of the BIOS Boot Specification (section 10.3.6).
func bbs(b []byte) class {
	const floppy, hardDisk, cdrom, usb, embeddedNetwork, bev = 1, 2, 3, 5, 6, 0x80
	if len(b) < 2 {
		return unknown
	}
	switch binary.LittleEndian.Uint16(b) {
	case embeddedNetwork, bev: // a boot entry vector is a network card's
		return network
	case cdrom, usb, floppy:
		return removable
	case hardDisk:
		return disk
	}
	return unknown
}

// place puts the entry with the number id into the boot order and changes nothing else: where the network, or what may
// be it, came before the first sure disk the entry comes right behind that, else before the first disk. Drives for
// removable media keep their place before a disk. An entry that is the first disk already is in its place: who came
// before it and who behind was decided by somebody, and stays.
//
// came is the entry that the machine was started by, nil when that is not known. Where it is the network's, the entry
// comes right behind it, before the network by other protocols and cards: those would take minutes each time that the
// machine is to start its own disk.
func place(order []uint16, id uint16, came *uint16, classes func(uint16) class) []uint16 {
	rest := slices.DeleteFunc(slices.Clone(order), func(n uint16) bool { return n == id })
	if at := behind(order, id, came, classes); at > 0 {
		return slices.Insert(rest, at, id)
	}
	at, last := -1, len(rest)
	for i, n := range order {
		if n == id {
			return slices.Insert(rest, i, id) // nothing was taken out before it
		}
		c := classes(n)
		if c == network || c == unknown {
			at = i + 1
		}
		if c == disk || c == program && at < 0 {
			last = i
			break
		}
	}
	if at < 0 {
		at = last
	}
	return slices.Insert(rest, at, id)
}

// behind is the place in the order right behind the network's entry that the machine was started by, 0 where the entry
// does not belong there.
func behind(order []uint16, id uint16, came *uint16, classes func(uint16) class) int {
	at, drives := 0, false
	for i, n := range order {
		c := classes(n)
		switch {
		case n == id && drives: // somebody put it there
			return 0
		case n == id || c == disk || c == program:
			return at
		case at == 0 && came != nil && n == *came && c == network:
			at = i + 1
		case at > 0 && c == unknown: // it may be another disk
			return 0
		case at > 0 && c == removable:
			drives = true
		}
	}
	return at
}
