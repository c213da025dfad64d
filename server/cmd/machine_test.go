package cmd

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
)

// TestMachineCommand names a machine, labels it, and finds it by its name.
func TestMachineCommand(t *testing.T) {
	o := newOffice(t)
	do := func(want string, args ...string) {
		t.Helper()
		code, out, said := o.run(args...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%v: %d, %s%s; want %q", args, code, out, said, want)
		}
	}
	do("m1", "machine", "list")
	do("lab-01", "machine", "name", o.node, "lab-01")
	do("room=101 row=2", "machine", "label", "lab-01", "room=101", "row=2")
	do("room=101\n", "machine", "label", "lab-01", "row-")
	do("fan is loud", "machine", "notes", "lab-01", "fan is loud")
	do("boots from", "machine", "show", "52:54:00:00:00:01")
	do("lab-01", "node", "list")
	do(o.node, "node", "show", "lab-01")
	do(`"labels":{"room":"101"}`, "machine", "show", "lab-01", "--json")
	do("s1", "session", "create", "--image", "debian", "--nodes", "lab-01")
	for words, args := range map[string][]string{
		"LABEL- takes one off": {"machine", "label", "lab-01", "room"},
		"MAC address":          {"session", "create", "--image", "debian", "--nodes", "52:54:00"},
	} {
		if code, _, said := o.run(args...); code != exitUsage || !strings.Contains(said, words) {
			t.Errorf("%v: %d, %s", args, code, said)
		}
	}
	if code, _, said := o.run("machine", "split", "lab-01", o.node); code == 0 ||
		!strings.Contains(said, "nothing to split") {
		t.Errorf("split: %d, %s", code, said)
	}
	if code, _, said := o.run("machine", "remove", "lab-01"); code == 0 || !strings.Contains(said, "session s1") {
		t.Errorf("removed at work: %d, %s", code, said)
	}
	do("cancelled", "session", "cancel", "s1")
	do("lab-01 removed", "machine", "remove", "lab-01")
}

// TestMachineInventory prints what mkimage --for reads, of the machines that told it, and names the others.
func TestMachineInventory(t *testing.T) {
	o := newOffice(t)
	if code, _, said := o.run("machine", "inventory"); code == 0 || !strings.Contains(said, "what drivers it needs") {
		t.Errorf("of an agent that told no hardware: %d, %s", code, said)
	}
	inv := session.Inventory{Firmware: session.BIOS, NICs: []session.NIC{{MAC: "52:54:00:00:00:02", Boot: true}},
		Hardware: &session.Hardware{Devices: []session.Device{{Alias: "pci:v00008086d0000100E"}}}}
	if _, err := o.e.Hello(t.Context(), &session.Hello{V: 1, Boot: "b", Inventory: inv}, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "lab.csv")
	if err := os.WriteFile(file, []byte("name,macs\nlater,52:54:00:00:00:03\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, said := o.run("machine", "import", file); code != 0 {
		t.Fatal(code, out, said)
	}
	code, out, said := o.run("machine", "inventory")
	if code != 0 || !strings.HasPrefix(out, "[") || strings.Count(out, `"inventory"`) != 1 ||
		!strings.Contains(out, "pci:v00008086d0000100E") {
		t.Errorf("%d, %s%s", code, out, said)
	}
	for _, want := range []string{"nothing of their hardware yet: later\n", "not tell what drivers they need: m1;"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in %s", want, said)
		}
	}
	if code, _, said := o.run("machine", "inventory", "--select", "nobody"); code == 0 {
		t.Errorf("of nobody: %d, %s", code, said)
	}
}
