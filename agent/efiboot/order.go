package efiboot

import (
	"encoding/binary"
	"errors"
	"regexp"
	"slices"
)

// class is what an entry of the boot order starts from.
type class int

const (
	inert     class = iota // not tried: switched off, a program like the setup, or a number without an entry
	network                // PXE, HTTP
	removable              // USB, CD
	program                // in the firmware itself: a shell
	disk                   // everything else
)

// optical recognizes a drive behind a SATA port, whose device path is a disk's.
var optical = regexp.MustCompile(`(?i)\b(dvd|cd|cd-?rom|optical)\b`)

// class of an option; o may be nil.
func (o *Option) class() class {
	if o == nil || o.Attributes&active == 0 || o.Attributes&categories == categoryApp {
		return inert
	}
	c := disk
	for _, n := range o.nodes() {
		switch n.kind {
		case nodeMAC, nodeIPv4, nodeIPv6, nodeVLAN, nodeURI:
			return network
		case nodeUSB, nodeUSBWWID, nodeCDROM:
			c = removable
		case nodeFVFile, nodeFV:
			c = program
		case nodeDisk:
			return disk // a system that was installed on it, be it a USB disk
		case nodeBBS:
			c = bbs(n.data)
		}
	}
	if c == disk && optical.MatchString(o.Description) {
		return removable
	}
	return c
}

// bbs takes the device type of the BIOS Boot Specification (section 10.3.6).
func bbs(b []byte) class {
	const cdrom, usb, embeddedNetwork, floppy, bev = 3, 5, 6, 1, 0x80
	if len(b) < 2 {
		return inert
	}
	switch binary.LittleEndian.Uint16(b) {
	case embeddedNetwork, bev: // a boot entry vector is a network card's
		return network
	case cdrom, usb, floppy:
		return removable
	}
	return disk
}

// place puts the entry with the number id into the boot order and changes nothing else: where the network came before the first disk the entry
// comes right behind the network, else before the first disk. Drives for removable media keep their place before a disk.
func place(order []uint16, id uint16, classOf func(uint16) class) []uint16 {
	order = slices.DeleteFunc(slices.Clone(order), func(n uint16) bool { return n == id })
	at, last := -1, len(order)
	for i, n := range order {
		c := classOf(n)
		if c == network {
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

var errOrder = errors.New("the variable BootOrder is no list of 16-bit numbers")

func parseOrder(b []byte) ([]uint16, error) {
	if len(b)%2 != 0 || len(b) > maxOption {
		return nil, errOrder
	}
	var out []uint16
	for ; len(b) > 0; b = b[2:] {
		out = append(out, binary.LittleEndian.Uint16(b))
	}
	return out, nil
}

func orderBytes(order []uint16) []byte {
	var b []byte
	for _, n := range order {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}
