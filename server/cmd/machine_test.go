package cmd

import (
	"strings"
	"testing"
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

// TestMachineInventory prints what mkimage --for reads, of the machines that were seen.
func TestMachineInventory(t *testing.T) {
	o := newOffice(t)
	code, out, said := o.run("machine", "inventory")
	if code != 0 || !strings.Contains(out, `"inventory"`) || !strings.HasPrefix(out, "[") {
		t.Errorf("%d, %s%s", code, out, said)
	}
	if code, _, said := o.run("machine", "inventory", "--select", "nobody"); code == 0 {
		t.Errorf("of nobody: %d, %s", code, said)
	}
}
