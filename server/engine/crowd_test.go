package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/store"
)

// stranger says hello with the number as its MAC address.
func (h *house) stranger(i int, from string) error {
	var addr netip.Addr
	if from != "" {
		addr = netip.MustParseAddr(from)
	}
	_, err := h.e.Hello(h.t.Context(), &session.Hello{V: 1, Boot: "b", Inventory: session.Inventory{
		NICs:  []session.NIC{{MAC: strangerMAC(i), Boot: true}},
		Disks: []session.Disk{{Path: "/dev/sda", Size: 1 << 30}}}}, addr)
	return err
}

func strangerMAC(i int) string { return fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256) }

// New names from one address come slowly, and keep nobody else out.
func TestNewNodesFromOneAddress(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Nodes: []string{strangerMAC(500)}})
	refused := 0
	for i := range 100 {
		switch err := h.stranger(i, "10.0.0.66"); {
		case errors.Is(err, engine.ErrCrowd):
			refused++
		case err != nil:
			t.Fatal(err)
		}
	}
	if refused != 84 || len(h.e.Nodes()) != 16 {
		t.Errorf("%d refused, %d nodes", refused, len(h.e.Nodes()))
	}
	for name, err := range map[string]error{
		"known": h.stranger(3, "10.0.0.66"), "a neighbour": h.stranger(400, "10.0.0.67"),
		"named": h.stranger(500, "10.0.0.66"),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.expect(s.ID, "casting offered")
	h.pass(5 * time.Second)
	if err := h.stranger(90, "10.0.0.66"); err != nil {
		t.Errorf("after a while: %v", err)
	}
	if err := h.stranger(91, "10.0.0.66"); !errors.Is(err, engine.ErrCrowd) {
		t.Errorf("two after a while: %v", err)
	}
}

// Nor does it help to have many addresses; a machine that fetched its kernel here is not held up by that.
func TestNewNodesFromOnePrefix(t *testing.T) {
	for _, c := range []struct{ form, other string }{{"10.0.0.%d", "10.0.1.1"}, {"fd00::%x", "fd00:0:0:1::1"}} {
		h := newHouse(t)
		addr := func(i int) string { return fmt.Sprintf(c.form, 1+i%200) }
		taken := 0
		for i := range 2000 {
			if h.stranger(i, addr(i)) == nil {
				taken++
			}
		}
		if taken != 1024 {
			t.Errorf("%s: %d taken", c.form, taken)
		}
		h.e.Saw(strangerMAC(5000), netip.Addr{}, doc.StepKernel, "vmlinuz")
		if err := h.stranger(5000, fmt.Sprintf(c.form, 250)); err != nil {
			t.Errorf("a machine that boots here: %v", err)
		}
		if err := h.stranger(5001, c.other); err != nil {
			t.Errorf("another prefix: %v", err)
		}
	}
}

// Strangers that only say hello push one another out, and nobody else.
func TestStrangersAreFew(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	worker, booted := h.machine(1), h.machine(2)
	worker.powerOn()
	worker.say(s.ID, goodRestore...)
	booted.powerOn()
	h.pass(time.Hour)
	for i := range 2048 {
		if err := h.stranger(i, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.stranger(3000, ""); !errors.Is(err, engine.ErrCrowd) {
		t.Errorf("one more, while all are there: %v", err)
	}
	h.pass(2 * time.Minute)
	if err := h.stranger(7, ""); err != nil { // it is heard again
		t.Fatal(err)
	}
	for i := range 300 {
		if err := h.stranger(3000+i, ""); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.e.Nodes()); n != 2050 {
		t.Errorf("%d nodes", n)
	}
	for _, mac := range []string{worker.mac, booted.mac, strangerMAC(7)} {
		h.node(mac)
	}
	h.restart() // what was pushed out is not stored
	if n := len(h.e.Nodes()); n != 2050 {
		t.Errorf("%d nodes after a restart", n)
	}
	h.pass(23 * time.Hour)
	if n := len(h.e.Nodes()); n != 2050 {
		t.Errorf("%d nodes within a day", n)
	}
	h.pass(2 * time.Hour)
	if n := h.e.Nodes(); len(n) != 2 {
		t.Errorf("%d nodes after a day", len(n))
	}
}

// What a stranger says of himself is small.
func TestStrangersRecord(t *testing.T) {
	h := newHouse(t)
	big := strings.Repeat("x", 500)
	var undriven []string
	var nics []session.NIC
	for i := range 100 {
		undriven = append(undriven, big)
		nics = append(nics, session.NIC{Name: "eth", MAC: strangerMAC(i), Boot: i == 99})
	}
	inv := session.Inventory{UUID: big, Serial: big, Vendor: big, Product: big, Kernel: big, Undriven: undriven,
		NICs: nics[:1]}
	hello := func(boot string) (*session.HelloReply, error) {
		return h.e.Hello(t.Context(), &session.Hello{V: 1, Boot: boot, Inventory: inv}, netip.Addr{})
	}
	r, err := hello("b1")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(h.node(r.Node)); err != nil || len(b) > 16<<10 {
		t.Errorf("%d bytes of a node, %v", len(b), err)
	}
	says(t, "lists 100 controllers without a driver, and the first 16 are kept", h.node(r.Node).Warnings...)
	inv.Undriven, inv.NICs = nil, nics
	if r, err = hello("b2"); err != nil || r.Node != "02-00-00-00-00-63" {
		t.Fatalf("the boot NIC is not kept: %+v, %v", r, err)
	}
	if n := len(h.node(r.Node).Inventory.NICs); n != 32 {
		t.Errorf("%d NICs", n)
	}
	for range 60 {
		inv.Disks = append(inv.Disks, session.Disk{Path: "/dev/sda", Size: 1, Model: big})
	}
	for _, boot := range []string{"b2", "b3"} { // one that is known, too
		if _, err := hello(boot); !errors.Is(err, engine.ErrSpec) {
			t.Errorf("30 kB of disks: %v", err)
		}
	}
	h.e.Saw(strangerMAC(99), netip.Addr{}, doc.StepKernel, "vmlinuz")
	if _, err := hello("b2"); err != nil {
		t.Errorf("a machine that boots here: %v", err)
	}

	m := h.machine(200)
	m.boot = "b"
	m.hello()
	for range 200 {
		m.say("", "log: "+strings.Repeat("y", 4000))
	}
	log, err := h.e.Log(t.Context(), m.id, 1000, true)
	if err != nil || len(log) != 64 || len(log[0].Event.Message) != 512 {
		t.Errorf("%d events of a stranger are kept, %v", len(log), err)
	}
	size := 0
	err = h.store.View(t.Context(), func(tx store.Tx) error {
		return tx.Walk("", func(key string, b []byte) error {
			if strings.Contains(key, m.id) {
				size += len(b)
			}
			return nil
		})
	})
	if err != nil || size == 0 || size > 64<<10 {
		t.Errorf("%d bytes of a stranger are stored, %v", size, err)
	}
}

// What a node says of its hardware is bounded, its strings are what the kernel can have said, and it is left away
// before a stranger is refused for it.
func TestHardwareOfANode(t *testing.T) {
	h := newHouse(t)
	hello := func(i int, hw *session.Hardware, junk int) *session.Hardware {
		t.Helper()
		inv := session.Inventory{NICs: []session.NIC{{MAC: strangerMAC(i), Boot: true}}, Hardware: hw}
		for range junk {
			inv.Disks = append(inv.Disks, session.Disk{Path: "/dev/sda", Model: strings.Repeat("m", 60), Size: 1 << 30})
		}
		reply, err := h.e.Hello(t.Context(), &session.Hello{V: 1, Boot: "b", Inventory: inv}, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		n, err := h.e.Node(reply.Node)
		if err != nil {
			t.Fatal(err)
		}
		return n.Inventory.Hardware
	}
	good := session.Device{Alias: "virtio:d00000001v00001AF4", Driver: "virtio_net"}
	got := hello(1, &session.Hardware{Devices: []session.Device{good, {Alias: "pci:\x1b[2J"}, {Alias: "a\u202eb"}},
		Firmware: []string{"a\nb", "x.bin"}}, 1)
	if got == nil || len(got.Devices) != 1 || got.Devices[0] != good || got.More != 2 || len(got.Firmware) != 1 {
		t.Errorf("the server keeps %+v", got)
	}
	many := &session.Hardware{}
	for i := range 3000 {
		many.Devices = append(many.Devices, session.Device{Alias: fmt.Sprintf("acpi:PNP%04d:", i)})
	}
	if got := hello(2, many, 1); got == nil || len(got.Devices)+got.More != 3000 || len(got.Devices) > 500 {
		t.Errorf("of 3000 devices the server keeps %d and counts %d", len(got.Devices), got.More)
	}
	if got := hello(3, many, 60); got != nil { // 16 KiB of a stranger
		t.Errorf("a stranger's inventory is over its bound with %d devices", len(got.Devices))
	}
}

// TestAskers: machines that only asked for an address are forgotten after a day, but for those that somebody meant;
// what kept them from booting is not said of a server that was started anew, which may be set up otherwise.
func TestAskers(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		h.e.Saw(fmt.Sprintf("52:54:00:00:01:%02x", i), netip.Addr{}, doc.StepDHCP, "PXE on UEFI")
		h.e.Problem(fmt.Sprintf("52:54:00:00:01:%02x", i), netip.Addr{}, "no address is free")
	}
	h.create(doc.Spec{Nodes: []string{"52:54:00:00:01:00"}})
	if n, err := h.e.Node("52:54:00:00:01:01"); err != nil || n.Problem == "" {
		t.Errorf("%+v, %v", n, err)
	}
	h.restart()
	if n, err := h.e.Node("52:54:00:00:01:01"); err != nil || n.Problem != "" {
		t.Errorf("after a start: %+v, %v", n, err)
	}
	h.pass(25 * time.Hour)
	nodes := h.e.Nodes()
	if len(nodes) != 1 || nodes[0].ID != "52-54-00-00-01-00" {
		t.Errorf("a day later there are %+v", nodes)
	}
}
