package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLabCommands walks the operator from machines to a session by selector and profile.
func TestLabCommands(t *testing.T) {
	o := newOffice(t)
	do := func(want string, args ...string) {
		t.Helper()
		code, out, said := o.run(args...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%v: %d, %s%s; want %q", args, code, out, said, want)
		}
	}
	not := func(exit int, want string, args ...string) {
		t.Helper()
		if code, out, said := o.run(args...); code != exit || !strings.Contains(said, want) {
			t.Errorf("%v: %d, %s%s; want %d, %q", args, code, out, said, exit, want)
		}
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lab := file("lab.yaml", `machines:
  - {name: lab-01, mac: 52:54:00:00:00:01, labels: {room: 210}, profile: lab}
  - {name: lab-02, mac: 52:54:00:00:00:02, labels: {room: 210, spare: ""}}
groups: {usable: "room=210,!spare"}
profiles:
  lab: {image: debian, disk: "type=ssd,largest", verify: true, boot: {method: reboot}}
rules: {dell: {vendor: Dell*}}
`)
	not(exitDiffers, "5 would change", "apply", "-f", lab, "--dry-run")
	do("~ machine lab-01\n    name: (none) -> lab-01\n    label room=210\n    profile: (none) -> lab\n", "apply", "-f",
		lab)
	do("nothing changed", "apply", "-f", lab)
	do("nothing changed", "apply", "-f", lab, "--dry-run")
	wrong := file("wrong.yaml",
		"groups:\n  a: room=210\nmachines:\n  - {name: lab-01}\n  - {name: m3, mac: 52:54:00:00:00:09}\n")
	not(exitFailed, "wrong.yaml:5: machine m3", "apply", "-f", wrong)
	not(exitUsage, `did you mean machines?`, "apply", "-f", file("x.yaml", "machnies: []"))
	not(exitUsage, "with -f", "apply")
	do("52-54-00-00-00-01", "machine", "list", "--select", "@usable")
	not(exitFailed, "did you mean room=210?", "machine", "list", "--select", "room=201")

	_, csv, _ := o.run("machine", "export", "--csv")
	if !strings.HasPrefix(csv,
		"id,name,macs,uuid,serial,notes,profile,approved,when_idle,label:room,label:spare\nm1,lab-01,") {
		t.Errorf("export: %s", csv)
	}
	again := file("lab.csv", csv)
	do("nothing changed", "machine", "import", again)
	do("+ machine lab-03", "machine", "import", file("new.csv",
		"\xef\xbb\xbfname;macs;label:room\r\nlab-03;52-54-00-00-00-03;211\r\n"))
	not(exitUsage, `new.csv:1: there is no column "nmae": did you mean name?`, "machine", "import",
		file("new.csv", "nmae\nx"))
	not(exitFailed, "new.csv:2: machine lab-01: ", "machine", "import",
		file("new.csv", "name,macs\nlab-01,52:54:00:00:00:02\n"))

	do("+ group back", "group", "set", "back", "room=211")
	do("room=211", "group", "list")
	do("back", "group", "show", "back")
	not(exitFailed, "did you mean back?", "group", "show", "bakc")
	not(exitFailed, "did you mean lab?", "profile", "rm", "lba")
	not(exitFailed, "is that of 1 machines (lab-01)", "profile", "rm", "lab")
	not(exitFailed, "is at revision 1", "profile", "set", "lab", "--image", "debian", "--revision", "7")
	do(`"target":{"largest":true,"type":"ssd"}`, "profile", "list")
	do("verify", "profile", "show", "lab")

	do("s1", "session", "create", "--on", "@usable", "--grow=false", "--append", "quiet")
	do("lab, revision 1", "session", "show", "s1")
	do("@usable", "session", "show", "s1")
	do(`"verify":true,"no_grow":true,"boot":{"method":"reboot","append":"quiet"}`, "session", "show", "s1", "--json")
	do("~ profile lab\n    boot: ", "profile", "set", "lab", "--image", "debian", "--verify=false")
	do(`{"image":"debian","verify":false}`, "profile", "show", "lab", "--json")
	do(`"profile_revision":1`, "session", "show", "s1", "--json")
	not(exitFailed, "is that of", "profile", "rm", "lab")
	do("lab-02", "machine", "profile", "room=210", "")
	not(exitUsage, "--nodes is not of a profile", "profile", "set", "lab", "--image", "debian", "--nodes", "all")
	not(exitFailed, "did you mean image?", "profile", "set", "lab", "--spec", file("p.json", `{"imgae":"x"}`))
	do("- profile lab", "profile", "rm", "lab")
	not(exitFailed, "machine lab-01 has no profile", "session", "create", "--on", "@usable")
	not(exitUsage, "both say which machines", "session", "create", "--image", "debian", "--on", "*", "--nodes", "all")

	do("yes", "machine", "approve", "lab-0*")
	do("by_hand\":false", "machine", "approve", "--revoke", "lab-01", "--json")
	do("+ rule mine", "rule", "set", "mine", "--mac", "52-54-00", "--net", "10.0.0.0/8")
	do("vendor=Dell*", "rule", "list")
	do("net=10.0.0.0/8", "rule", "show", "mine")
	do("- rule mine", "rule", "rm", "mine")
	do("own-disk", "machine", "set", "lab-0*", "--when-idle", "own-disk")
	do("own-disk (as was entered)", "machine", "show", "lab-01")
	do("default (nothing was entered)", "machine", "set", "lab-01", "--when-idle", "default", "--json")
	do("+ rule away", "rule", "set", "away", "--mac", "52:54:00:00:00:01", "--when-idle", "never")
	do("never (by the rule away)", "machine", "show", "lab-01")
	do("when idle: never", "rule", "list")
	not(exitFailed, "is none of default, own-disk", "machine", "set", "lab-01", "--when-idle", "sometimes")
	not(exitUsage, "--when-idle", "machine", "set", "lab-01")
	do("- rule away", "rule", "rm", "away")
	do("+ menu hall", "menu", "set", "hall", "own-disk", "image=debian", "rescue", "--timeout", "20s")
	do("own-disk image=debian rescue", "menu", "list")
	not(0, "No session can be made of image=nosuch of menu odd now", "menu", "set", "odd", "own-disk", "image=nosuch")
	do("- menu odd", "menu", "rm", "odd")
	do("20 s", "menu", "show", "hall")
	do("menu:hall (as was entered)", "machine", "set", "lab-01", "--when-idle", "menu:hall", "--json")
	not(exitFailed, "did you mean hall?", "machine", "set", "lab-01", "--when-idle", "menu:hal")
	not(exitFailed, "menu hall is that of machine lab-01", "menu", "rm", "hall")
	not(exitUsage, "more than none", "menu", "set", "x", "wait", "--timeout", "0s")
	not(exitFailed, "10.0.0.0/8 is the network that it is in", "rule", "set", "net", "--net", "10.66.0.0/8")
	not(exitUsage, "lab-01 is named twice", "session", "create", "--image", "debian", "--nodes", "lab-01,lab-01")
	not(exitFailed, "a name is empty", "machine", "label", "", "a=b")
	not(exitFailed, "ring.yaml:2: group", "apply", "-f", file("ring.yaml", "groups:\n  a1: \"@b1\"\n  b1: \"@a1\"\n"))
	not(exitUsage, "is no entry of a menu", "menu", "set", "x", "wait", "format")
	not(exitUsage, "whole seconds", "menu", "set", "x", "wait", "--timeout", "1500ms")
	do("default", "machine", "set", "lab-01", "--when-idle", "default", "--json")
	do("- menu hall", "menu", "rm", "hall")
	code, out, said := o.run("apply", "-f", file("less.yaml", "groups: {usable: room=210}"), "--prune")
	if code != 0 || !strings.Contains(out, "- group back") || strings.Contains(out, "machine") {
		t.Errorf("prune: %d, %s%s", code, out, said)
	}
}
