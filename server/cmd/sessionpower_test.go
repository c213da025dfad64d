package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/power/redfish/redfishtest"
)

// TestSessionPower brings machines by their BMCs for a session that is watched: one that lies ends its part and, as it
// is the only one, its session, with the BMC's address and what it did.
func TestSessionPower(t *testing.T) {
	o := newPowerOffice(t)
	secret := bmcPassword(t)
	good, lying := redfishtest.New(t, redfishtest.Lies{}), redfishtest.New(t, redfishtest.Lies{Nothing: true})
	csv := filepath.Join(t.TempDir(), "lab.csv")
	text := "name,macs\nlab-02,52:54:00:00:00:02\nlab-03,52:54:00:00:00:03\n"
	if err := os.WriteFile(csv, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(code int, want string, args ...string) {
		t.Helper()
		got, out, said := o.run(args...)
		if got != code || !strings.Contains(out+said, want) || strings.Contains(out+said, redfishtest.Password) {
			t.Errorf("%v: %d, %s%s; want %d and %q", args, got, out, said, code, want)
		}
	}
	do(0, "lab-03", "machine", "import", csv)
	do(exitFailed, "is not set up (lab-02)", "session", "create", "--image", "debian", "--nodes", "lab-02", "--power",
		"on")
	do(exitUsage, "are named", "session", "create", "--image", "debian", "--nodes", "2", "--power", "on")
	do(exitUsage, "none of on", "session", "create", "--image", "debian", "--nodes", "lab-02", "--power", "up")
	for name, bmc := range map[string]*redfishtest.Server{"lab-02": good, "lab-03": lying} {
		do(0, "redfish", "machine", "power", "set", name, "--driver", "redfish", "--address", bmc.Address(), "--user",
			redfishtest.User, "--password-file", secret)
	}
	do(exitSession, "power: redfish "+lying.Address()+": accepted and nothing happened", "session", "create", "--image",
		"debian", "--nodes", "lab-03", "--power", "on", "--watch")
	do(0, "+ profile lab", "profile", "set", "lab", "--image", "debian", "--power", "on", "--power-off-failed")
	do(0, `"power":"on"`, "profile", "list")
	do(0, "s2", "session", "create", "--profile", "lab", "--nodes", "lab-02")
	for range 1000 { // until the BMC has answered; each ask takes its time
		if _, out, _ := o.run("session", "show", "s2"); strings.Contains(out, "power on, asked for at") &&
			strings.Contains(out, "; done at ") {
			break
		}
	}
	do(0, "it is on, by what was read back; it boots from the network once", "session", "show", "s2")
	do(0, "for the machine, of which it is on", "session", "show", "s2")
	if good.Power() != "On" || lying.Power() != "Off" {
		t.Errorf("the machines are %s and %s", good.Power(), lying.Power())
	}
	do(0, "s3", "session", "create", "--profile", "lab", "--nodes", "lab-03", "--power", "none")
	if _, out, _ := o.run("session", "show", "s3"); strings.Contains(out, "power on, asked for") {
		t.Errorf("power is left alone by the operator's word, and shown as %s", out)
	}
	do(0, "+ profile still", "profile", "set", "still", "--image", "debian", "--power", "none")
	do(0, `{"image":"debian","power":"none"}`, "profile", "show", "still", "--json")
}
