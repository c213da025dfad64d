package efiboot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
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
var optical = regexp.MustCompile(`(?i)\b(dvd|cd|cd-?rom|optical)\b`)

// netWords are what firmware calls its network entries, where the device path does not tell.
var netWords = regexp.MustCompile(`(?i)pxe|ipv[46]|\b(ip[46]|w?lan|https?|network|ethernet|nic)\b`)

// class of an option; o may be nil. What is not surely a disk is none: an entry before the network would end the machine's netboot.
func (o *Option) class() class {
	if o == nil || o.Attributes&active == 0 || o.Attributes&categories == categoryApp {
		return inert
	}
	c := o.pathClass()
	switch {
	case c != disk && c != network && netWords.MatchString(o.Description):
		return network
	case c == disk && optical.MatchString(o.Description) && !o.onPartition():
		return removable
	case c == unknown && o.miscDevice():
		return disk
	}
	return c
}

// pathClass is what the device path alone tells.
func (o *Option) pathClass() class {
	c := unknown
	for _, n := range o.nodes() {
		switch n.kind {
		case nodeMAC, nodeIPv4, nodeIPv6, nodeVLAN, nodeURI, nodeWiFi, nodeDNS:
			return network
		case nodeDisk:
			return disk // a system that was installed on it, be it a USB disk
		case nodeATAPI, nodeSCSI, nodeFibre, nodeSATA, nodeISCSI, nodeFibreEx, nodeSASEx, nodeNVMe, nodeUFS, nodeSD, nodeEMMC, nodeNVDIMM, nodeNVMeOF:
			c = disk
		case nodeUSB, nodeUSBWWID, nodeCDROM:
			c = removable
		case nodeFVFile, nodeFV:
			c = program
		case nodeVendor:
			c = vendor(n.data)
		case nodeBBS:
			c = bbs(n.data)
		}
	}
	return c
}

func (o *Option) onPartition() bool {
	return slices.ContainsFunc(o.nodes(), func(n node) bool { return n.kind == nodeDisk })
}

// miscDevice recognizes EDK II's name for a disk behind a controller without a node of its own, such as virtio: nothing but the places of
// the controller (types 1 and 2) is in its path. EDK II's network entries have the card's address in theirs.
func (o *Option) miscDevice() bool {
	n := o.nodes()
	return strings.HasPrefix(o.Description, "UEFI Misc Device") && len(n) > 0 &&
		!slices.ContainsFunc(n, func(n node) bool { return n.kind>>8 != 1 && n.kind>>8 != 2 })
}

// lenovo is the GUID of ThinkPads' entries for kinds of devices, as a device path has it: bc7838d2-0f82-4d60-8316-c068ee79d25b. A second
// GUID names the kind, and a byte may follow that counts the devices.
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

// place puts the entry with the number id into the boot order and changes nothing else: where the network, or what may be it, came before the
// first sure disk the entry comes right behind that, else before the first disk. Drives for removable media keep their place before a disk.
func place(order []uint16, id uint16, classOf func(uint16) class) []uint16 {
	order = slices.DeleteFunc(slices.Clone(order), func(n uint16) bool { return n == id })
	at, last := -1, len(order)
	for i, n := range order {
		c := classOf(n)
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
	return slices.Insert(order, at, id)
}

// parseOrder reads the variable BootOrder, 16-bit numbers in little endian. Of one with an odd byte at its end the whole numbers count, as
// they do for EDK II's boot manager; damaged tells so.
func parseOrder(b []byte) (order []uint16, damaged bool, err error) {
	if len(b) > maxOption {
		return nil, false, fmt.Errorf("the variable BootOrder has %d bytes", len(b))
	}
	for ; len(b) >= 2; b = b[2:] {
		order = append(order, binary.LittleEndian.Uint16(b))
	}
	return order, len(b) > 0, nil
}

func orderBytes(order []uint16) []byte {
	var b []byte
	for _, n := range order {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}
