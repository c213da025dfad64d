package site

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// Node is a machine of the site.
type Node struct {
	*vm.VM
	MAC   string
	Tap   string   // its cable, in the lab's namespace
	ID    string   // the server's name for it
	Disk  string   // raw file of its first disk
	Disks []string // raw files of all
	Log   string   // everything its console said
}

// Hardware of a node; the zero value is a blank machine with one disk of 2 GiB and 512 MiB of memory.
type Hardware struct {
	Memory int      // MiB
	CPUs   int      //
	Disks  []int64  // sizes, bytes
	Buses  []vm.Bus // what each disk is plugged into; those left out are virtio-blk
	Sector int      // of the disks, bytes; 512 when zero
	NIC    string   // the card as QEMU calls it; virtio-net-pci when empty
	Junk   bool     // the first disk is not blank: its first 64 MiB hold an older life
	// Firmware is in the machine's flash; its variables are copied for the machine. With any, the machine boots by the
	// firmware's own network stack, without the card's ROM.
	Firmware vm.Firmware
	ROM      bool // the card has its ROM although there is firmware: that has no driver of its own for it
	VLAN     int  // the machine's port carries this one alone, with its tag; 0: a port without tags
	// DiskFirst has the firmware start the first disk, and the network not at all.
	DiskFirst bool
	Extra     []string // more arguments for QEMU
	QEMU      string   // the QEMU to run; empty: the installed one
	// Wire receives the console as well; nil for nobody.
	Wire io.Writer
}

// Node adds a machine, switched off, that boots from the network.
func (s *Site) Node(name string, h Hardware) (*Node, error) {
	s.mu.Lock()
	n := len(s.nodes) + 1
	s.mu.Unlock()
	if len(h.Disks) == 0 {
		h.Disks = []int64{2 << 30}
	}
	mac := fmt.Sprintf("52:54:00:dc:00:%02x", n)
	tap := fmt.Sprintf("n%d", n)
	node := &Node{MAC: mac, Tap: tap, ID: strings.ReplaceAll(mac, ":", "-"),
		Log: filepath.Join(s.o.Dir, name+".console")}
	var disks []vm.Disk
	for i, size := range h.Disks {
		path := filepath.Join(s.o.Dir, fmt.Sprintf("%s-%d.raw", name, i))
		if err := sparse.Create(path, size); err != nil {
			return nil, err
		}
		d := vm.Disk{Path: path, Serial: fmt.Sprintf("%s-%d", name, i), SectorSize: h.Sector}
		if i < len(h.Buses) {
			d.Bus = h.Buses[i]
		}
		disks, node.Disks = append(disks, d), append(node.Disks, path)
	}
	node.Disk = disks[0].Path
	if h.Junk {
		if err := osimage.Junk(node.Disk, 64<<20); err != nil {
			return nil, err
		}
	}
	if h.Firmware.Code != "" {
		vars := filepath.Join(s.o.Dir, name+".vars")
		if err := copyFile(h.Firmware.Vars, vars); err != nil {
			return nil, err
		}
		h.Firmware.Vars = vars
	}
	netdev := ""
	if h.VLAN != 0 {
		trunk, err := s.Trunk(n, h.VLAN)
		if err != nil {
			return nil, err
		}
		netdev = trunk.Netdev
	} else if err := s.Tap(tap); err != nil {
		return nil, err
	}
	log, err := os.Create(node.Log)
	if err != nil {
		return nil, err
	}
	var w io.Writer = log
	if h.Wire != nil {
		w = io.MultiWriter(log, h.Wire)
	}
	node.VM = vm.New(vm.Options{
		Name: name, Memory: h.Memory, CPUs: h.CPUs, Disks: disks,
		NICs: []vm.NIC{{Netdev: netdev, Tap: tap, MAC: mac, Model: h.NIC,
			NoROM: h.Firmware.Code != "" && !h.ROM}},
		BootNIC:  !h.DiskFirst,
		Firmware: h.Firmware, Extra: h.Extra, Program: h.QEMU,
		UUID: fmt.Sprintf("d15cca57-0000-4000-8000-%012x", n), Start: s.Lab.Start, Log: w,
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, node)
	return node, nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("firmware: %w", err)
	}
	return os.WriteFile(to, data, 0o600)
}
