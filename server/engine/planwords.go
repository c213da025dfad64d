package engine

import (
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// planBytes says how much the machine receives. What differs from the image is known only when the node has hashed what
// is on its disk, which it does after the session has begun.
func planBytes(p *plan, m *doc.PlanMachine) {
	if p.Image == nil {
		return
	}
	m.Bytes = p.Image.ObjectSize
	switch mode := p.s.Spec.Mode; {
	case mode == session.Full:
		m.Receives = "all of it, whatever is on the disk (mode full)"
	case mode == session.Delta:
		m.Receives = "only what differs from what is on the disk, which the node hashes first (mode delta)"
	case p.job != nil:
		m.Receives = "only what differs, if the partition has the image's file system already; else all of it"
	case m.Content == nil || m.Content.Problem != "" && m.Content.Table == "":
		m.Receives = "only what differs, if the disk has the image's partition table already, which is not known; " +
			"else all of it"
	case m.Content.TableID != "" && m.Content.TableID == p.table:
		m.Receives = "only what differs, if the disk's partition table is the image's, whose id it has; else all of it"
	default:
		m.Receives = "all of it: the disk does not have the image's partition table"
	}
}

// bootPlan says how the machine comes up again.
func bootPlan(p *plan, n *node) doc.PlanBoot {
	inv := &n.Inventory
	b := doc.PlanBoot{Firmware: inv.Firmware, SecureBoot: inv.SecureBoot}
	leaves := map[string]string{
		session.BootKexec:    "starts what is on the disk at once (kexec), or restarts where that cannot be",
		session.BootReboot:   "restarts through its firmware",
		session.BootPoweroff: "is switched off",
		session.BootStay:     "stays in the agent",
		session.BootShell: "gives a shell on what was restored, and once that is closed starts it (kexec), or " +
			"restarts where that cannot be",
	}[p.Then]
	if leaves == "" {
		leaves = "stays in the agent"
	}
	b.Words = "it " + leaves
	switch {
	case !p.s.Kind.Traits().Cast: // a capture or an erase makes nothing to start
		return b
	case p.Action == session.RestorePartition:
		b.Words += "; later the boot loader that the disk has starts it"
	case inv.Firmware == session.UEFI:
		b.Words += "; later UEFI starts the disk, by a boot entry that the node makes"
	case inv.Firmware == session.BIOS:
		b.Words += "; later BIOS starts the disk, when its boot order says so or this server sends it there"
	}
	if inv.SecureBoot {
		b.Words += ". Secure Boot is on: firmware starts only loaders that are signed by whom it trusts, and kexec " +
			"takes only kernels that the node's kernel trusts"
	}
	return b
}
