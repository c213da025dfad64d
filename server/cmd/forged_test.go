package cmd

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
)

// hello is a hello in the machine's name.
func (o *office) hello(boot, addr string) {
	o.t.Helper()
	_, err := o.e.Hello(o.t.Context(),
		&session.Hello{V: 1, Boot: boot,
			Inventory: session.Inventory{Firmware: session.BIOS,
				NICs:  []session.NIC{{MAC: "52:54:00:00:00:01", Boot: true}},
				Disks: []session.Disk{{Path: "/dev/vda", Size: 1 << 30}}}}, netip.MustParseAddr(addr))
	if err != nil {
		o.t.Fatal(err)
	}
}

// A stranger who tells a restore in a machine's name is in every view that the operator looks at, and in the exit code.
func TestForgedRestore(t *testing.T) {
	o := newOffice(t)
	o.hello("b", "10.0.0.5")
	id := strings.TrimSpace(o.must("create", "--image", "debian", "--nodes", o.node))
	o.hello("forged", "10.0.0.66")
	o.choose(id)
	for i, step := range []string{session.StepPlan, session.StepWritten, session.StepEntry, session.StepBoot} {
		err := o.e.Events(t.Context(), o.node,
			&session.Events{V: 1, Boot: "forged",
				Events: []session.Event{{Seq: uint64(i + 1), Session: id, Step: step}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	o.hello("b", "10.0.0.5")
	const words = "two machines speak as this node: 10.0.0.5 (boot 3e23e8160039594a) " +
		"and 10.0.0.66 (boot ccdd35168ab474fa)"
	code, out, said := o.run("session", "watch", id)
	if code != exitSession || !strings.Contains(said, words) {
		t.Errorf("watch: exit code %d, %q", code, said)
	}
	_, list, _ := o.run("node", "list")
	_, node, _ := o.run("node", "show", o.node)
	for name, text := range map[string]string{"watch": out, "session show": o.must("show", id),
		"session list": o.must("list"), "node list": list, "node show": node} {
		if !strings.Contains(text, words) {
			t.Errorf("%s does not say it:\n%s", name, text)
		}
	}
	if show := o.must("show", id); !strings.Contains(show, "reboot 1") ||
		!strings.Contains(show, "boot ccdd35168ab474fa from 10.0.0.66") {
		t.Errorf("the timeline has no reboots:\n%s", show)
	}
}
