package engine

import (
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/netboot"
)

// menuLeaves is how long after its word from the menu a machine may take to its firmware's next requests, for which it
// boots its own disk: it restarts in between. A server's self-test takes minutes.
const menuLeaves = 10 * time.Minute

// Starts says what the machine's firmware starts from its own disk that asks from the NIC.
func (e *Engine) Starts(mac string) netboot.Start {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[e.byMAC[mac]]
	if n == nil {
		return netboot.Start{}
	}
	return e.startOf(n)
}

func (e *Engine) startOf(n *node) netboot.Start {
	switch {
	case n.lost != "":
		return netboot.Start{Firmware: n.lost}
	case encrypted(n.Inventory.Survey):
		return netboot.Start{Firmware: "a partition is encrypted, and a key that its TPM holds may be for the " +
			"firmware's own way of starting it alone"}
	}
	if s := n.Inventory.Starts; s != nil {
		return netboot.Start{Partition: s.Partition, File: s.File, Firmware: s.Firmware,
			AfterPXE: s.After == session.StartsAfterPXE, AfterHTTP: s.After == session.StartsAfterHTTP}
	}
	return netboot.Start{}
}

// encrypted reports whether what was seen on the disks may need a key from a TPM (BitLocker, systemd-cryptenroll). That
// gives it only to a system that was started as it was when the key was put in: GRUB before it is another way.
func encrypted(s *session.Survey) bool {
	if s == nil {
		return false
	}
	for i := range s.Disks {
		for _, p := range s.Disks[i].Partitions {
			if p.FS == "BitLocker" || p.FS == "crypto_LUKS" {
				return true
			}
		}
	}
	return false
}

// Lost is GRUB's word that it could not start the machine's own disk, and why. The machine restarts; from now on its
// firmware starts the disk, until its agent has looked at it anew. Anyone on the LAN can say so: it costs the machine
// time, and nothing else.
func (e *Engine) Lost(mac, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[e.byMAC[mac]]
	if n == nil {
		return // it did not come through here: DHCP makes a node of each machine that boots
	}
	now := e.now()
	n.lostAt = now
	if n.lost == why {
		return
	}
	n.lost = why
	e.record(n, "", session.Event{Step: session.StepLog, Level: session.Warn, Time: now,
		Message: "its own disk is left to its firmware, which may try every other network protocol first: " + why})
}

// leaves reports whether the machine, which has a menu, is on its way to its own disk.
func (e *Engine) leaves(n *node) bool {
	return n.lost != "" && e.now().Sub(n.lostAt) < menuLeaves
}
