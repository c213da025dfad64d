package engine_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot"
)

// TestLostDisk: a machine whose own disk GRUB could not start is left to its firmware until its agent has looked at it
// anew, out of a menu too; the operator is told once.
func TestLostDisk(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	h.change(doc.LabChange{Rules: []doc.Rule{{Name: "r", MACs: []string{"52:54:00"}, WhenIdle: doc.IdleMenu}}})
	holds := func(when string, boots netboot.What, why string) {
		t.Helper()
		if what, start := h.e.Boots(m.mac), h.e.Starts(m.mac); what != boots || start.Firmware != why {
			t.Errorf("%s: it boots %s, and %q keeps GRUB from its disk; want %s, %q", when, what, start.Firmware, boots,
				why)
		}
	}
	h.e.Lost(m.mac, "nobody knows the machine")
	holds("never seen", netboot.Menu, "")
	h.e.Saw(m.mac, netip.MustParseAddr("10.0.0.9"), doc.StepDHCP, "PXE on UEFI")
	holds("it asked DHCP", netboot.Menu, "")
	h.e.Lost(m.mac, "two systems")
	h.e.Lost(m.mac, "two systems")
	holds("GRUB could not", netboot.OwnDisk, "two systems")
	h.pass(time.Hour) // no self-test takes so long
	holds("long ago", netboot.Menu, "two systems")
	m.boot = "by hand"
	m.hello()
	holds("its agent was there", netboot.Menu, "")

	told := 0
	log, err := h.e.Log(t.Context(), m.id, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range log {
		if ev.Event.Level == session.Warn && strings.Contains(ev.Event.Message, "left to its firmware") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the operator was told %d times, want once", told)
	}
}

// TestSealedDisk: what encrypts a partition may ask for a password that is started in another way.
func TestSealedDisk(t *testing.T) {
	for fs, want := range map[string]bool{"ext4": false, "BitLocker": true, "crypto_LUKS": true} {
		h := newHouse(t)
		m := h.machine(1)
		d := session.Disk{Path: "/dev/vda", Size: 1 << 30}
		m.disks = []session.Disk{d}
		m.powerOn()
		m.surveyed(0, session.Content{Disk: d.ID(),
			Partitions: []session.PartitionContent{{Number: 1, Start: 1 << 20, Size: 1 << 20, FS: fs}}})
		if got := h.e.Starts(m.mac).Firmware; (got != "") != want {
			t.Errorf("%s: %q keeps GRUB from the disk", fs, got)
		}
	}
}

// TestOwnDiskWords: a machine's view says why its own disk is not started, or not at once, where it could be thought to
// be.
func TestOwnDiskWords(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	d := session.Disk{Path: "/dev/vda", Size: 1 << 30}
	m.disks = []session.Disk{d}
	m.powerOn()
	says := func(when, want string) {
		t.Helper()
		got, err := h.e.Machine("m1")
		if err != nil || (got.OwnDisk == "") != (want == "") || !strings.Contains(got.OwnDisk, want) {
			t.Errorf("%s: %q, %v; want %q", when, got.OwnDisk, err, want)
		}
	}
	idle := func(word string) {
		t.Helper()
		if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", WhenIdle: &word}); err != nil {
			t.Fatal(err)
		}
	}
	says("nothing was entered and no session was", "no session has given it an image")
	idle(doc.IdleWait)
	says("it is to wait", "")
	idle(doc.IdleOwnDisk)
	says("it is to start it", "")
	h.create(doc.Spec{Nodes: []string{m.mac}, MinNodes: 1, At: h.clock().Add(time.Hour)})
	says("it works for a session that waits", "")
	if _, err := h.e.Cancel(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	s := h.create(doc.Spec{Nodes: []string{m.mac}})
	m.say(s.ID, session.StepPlan, session.StepTable)
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	says("half-written", "`diskcast node forget 52-54-00-00-00-01 --force`")
	done := h.create(doc.Spec{Nodes: []string{m.mac}})
	m.powerOn()
	m.say(done.ID, goodRestore...)
	says("written whole", "")
	m.boot = "by hand"
	m.hello()
	m.surveyed(0, session.Content{Disk: d.ID(),
		Partitions: []session.PartitionContent{{Number: 1, Start: 1 << 20, Size: 1 << 20, FS: "crypto_LUKS"}}})
	says("encrypted", "started by its firmware")
}
