package cmd

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/session"
)

// planVaries is what two runs of a plan have not in common.
var planVaries = regexp.MustCompile(`\d+m?\d*s ago|20\d\d-[-0-9T:.]+Z`)

// comes has a machine say hello, with a disk and what is on it.
func (o *office) comes(mac string, size int64) {
	o.t.Helper()
	d := session.Disk{Path: "/dev/sda", Size: size, SectorSize: 512, Model: "Disk \x1b[2J", Serial: "S" + mac}
	inv := session.Inventory{Firmware: session.UEFI, NICs: []session.NIC{{MAC: mac, Boot: true}},
		Disks: []session.Disk{d}, Survey: &session.Survey{Age: 90, Disks: []session.Content{{Disk: d.ID(), Table: "gpt",
			TableID: "id", Starts: []string{"Windows Boot Manager (UEFI)"}, More: 1,
			Partitions: []session.PartitionContent{
				{Number: 1, Start: 1 << 20, Size: 512 << 20, FS: "vfat", Label: "ESP", Name: "EFI System"},
				{Number: 2, Start: 1 << 30, Size: size / 4, FS: "raw", Signatures: []string{"XFS", "LVM"}}}}}}}
	if _, err := o.e.Hello(o.t.Context(), &session.Hello{V: 1, Boot: "b", Inventory: inv}, netip.Addr{}); err != nil {
		o.t.Fatal(err)
	}
}

// TestSessionPlan shows a plan as text and as JSON, and refuses by its exit code.
func TestSessionPlan(t *testing.T) {
	o := newOffice(t)
	o.comes("52:54:00:00:00:02", 8<<30)
	o.comes("52:54:00:00:00:03", 1<<30)
	want := func(name, got string) {
		t.Helper()
		got = planVaries.ReplaceAllString(got, "X")
		file := filepath.Join("testdata", "golden", name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(b), got); d != "" {
			t.Errorf("%s (-want +got, -update writes it): %s", file, d)
		}
	}
	flags := []string{"--image", "big", "--nodes",
		"52:54:00:00:00:01,52:54:00:00:00:02,52:54:00:00:00:03,52:54:00:00:00:99", "--disk", "only"}
	code, text, said := o.run(append([]string{"session", "plan"}, flags...)...)
	if code != 0 || said != "" {
		t.Errorf("exit code %d, %s", code, said)
	}
	want("session-plan.txt", text)
	if strings.Contains(text, "\x1b") {
		t.Error("what a disk calls itself clears the screen")
	}
	for _, how := range [][]string{{"session", "plan"}, {"session", "create", "--plan"},
		{"session", "create", "--dry-run"}} {
		code, doc, said := o.run(append(append(how, flags...), "--json")...)
		if code != 0 || said != "" {
			t.Errorf("%v: exit code %d, %s", how, code, said)
		}
		want("session-plan.json", doc)
	}
	code, out, said := o.run("session", "erase", "--method", "zero", "--nodes", "52:54:00:00:00:02", "--dry-run")
	if code != 0 || said != "" || !strings.Contains(out, "52-54-00-00-00-02  goes") ||
		strings.Contains(out, "receives") {
		t.Errorf("an erase: %d, %s", code, out)
	}
	if _, out, _ := o.run("session", "list"); strings.Contains(out, "s1") {
		t.Errorf("a plan made a session: %s", out)
	}
	for _, c := range []struct {
		args string
		exit int
		want string
	}{
		{"session plan --image big --nodes 52:54:00:00:00:03", exitFailed, "every machine is refused or unknown"},
		{"session plan --image none --nodes 52:54:00:00:00:02", exitFailed, "no session can be made of this"},
		{"session plan --image big --nodes lab-9", exitFailed, "neither a machine's name"},
		{"session plan --image big --nodes 1 --mode quick", exitUsage, `unknown mode "quick"`},
		{"session plan --image big --nodes 1 --watch", exitUsage, "a plan makes none"},
		{"session create --image big --nodes 1 --watch --plan", exitUsage, "a plan makes none"},
	} {
		if code, out, said := o.run(strings.Fields(c.args)...); code != c.exit || !strings.Contains(said, c.want) {
			t.Errorf("%s: exit code %d, %s%s; want %d, %q", c.args, code, out, said, c.exit, c.want)
		}
	}
	code, out, said = o.run("session", "create", "--image", "big", "--nodes", "52:54:00:00:00:03,52:54:00:00:00:02")
	if code != 0 || !strings.Contains(out, "s1") || !strings.Contains(said,
		"warning: will be refused: 52-54-00-00-00-03: image big cannot go to /dev/sda") ||
		strings.Count(said, "will be refused") != 1 {
		t.Errorf("create: %d, %s%s", code, out, said)
	}
}
