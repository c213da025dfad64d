package labfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

func disk(s string) (any, error) {
	if s == "wrong" {
		return nil, errors.New("no such rule")
	}
	return map[string]string{"type": s}, nil
}

const labYAML = `# a lab
machines:
  - name: lab-01
    mac: 52-54-00-00-00-01
    labels: {room: 210, spare: ~, note: "yes"}
    approved: yes
    when_idle: own-disk
  - {id: m7, profile: ~, notes: "loud\nfan"}
groups:
  front: row=1
  both: [room=210, "@front"]
profiles:
  lab:
    image: debian
    disk: ssd
    verify: true
    give_up: 1.5
    boot: {method: reboot}
rules:
  dell: {vendor: Dell*, macs: "52:54:00", nets: [10.0.0.0/24], when_idle: never}
menus:
  hall: {entries: [own-disk, "image=debian"], timeout: 20, default: own-disk}
---
machines: []
`

// TestEmptySection refuses a heading that nothing follows: with --prune it would take all of its kind away.
func TestEmptySection(t *testing.T) {
	err := New(disk).YAML("lab.yaml", []byte("groups:\n  a: row=1\nmachines:\n"))
	if err == nil || !strings.Contains(err.Error(), "lab.yaml:3: machines has nothing below it") {
		t.Errorf("%v", err)
	}
}

func TestYAML(t *testing.T) {
	r := New(disk)
	if err := r.YAML("lab.yaml", []byte(labYAML)); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(r.Change)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":0,"machines":[{"name":"lab-01","macs":["52:54:00:00:00:01"],` +
		`"labels":{"note":"yes","room":"210","spare":null},"approved":true,"when_idle":"own-disk"},` +
		`{"id":"m7","notes":"loud\nfan","profile":""}],` +
		`"groups":[{"name":"front","select":"row=1"},{"name":"both","select":"room=210 @front"}],` +
		`"profiles":[{"name":"lab","spec":{"boot":{"method":"reboot"},"give_up":1.5,"image":"debian",` +
		`"target":{"type":"ssd"},"verify":true}}],` +
		`"rules":[{"name":"dell","vendor":"Dell*","macs":["52:54:00"],"nets":["10.0.0.0/24"],"when_idle":"never"}],` +
		`"menus":[{"name":"hall","entries":["own-disk","image=debian"],"timeout":20,"default":"own-disk"}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for entry, at := range map[string]string{"machines[0]": "lab.yaml:3", "machines[1]": "lab.yaml:8",
		"groups[1]": "lab.yaml:11", "profiles[0]": "lab.yaml:13", "rules[0]": "lab.yaml:20", "rules[1]": "",
		"menus[0]": "lab.yaml:22"} {
		if got := r.Where(entry); got != at {
			t.Errorf("%s is at %q, want %q", entry, got, at)
		}
	}
	if got := r.Kinds(); !reflect.DeepEqual(got, []string{"machine", "group", "profile", "rule", "menu"}) {
		t.Errorf("kinds: %q", got)
	}
}

func TestYAMLRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"machine:\n  - name: x":                       `f:1: the file has no key "machine": did you mean machines?`,
		"machines:\n  - nmae: x":                      `f:2: a machine has no key "nmae": did you mean name?`,
		"machines:\n  name: x":                        "f:2: machines is not a list",
		"machines:\n  - labels: {a: 1}":               "f:2: nothing says which machine",
		"machines:\n  - mac: 52:54":                   "f:2: node",
		"machines:\n  - name: x\n    approved: j":     `f:3: approved: "j" is neither yes nor no`,
		"machines:\n  - name: [x]":                    "f:2: name is not a word",
		"machines:\n  - name: x\n  - name: X":         "f:3: the name x is there already, at f:2",
		"groups:\n  a: b\n  a: c":                     `f:3: groups has the key "a" in line 2 already`,
		"groups:\n  a: {b: c}":                        "f:2: group a is not a word",
		"groups: &x {a: b}\nrules: *x":                "f:2: an alias (*x) is not read",
		"profiles:\n  p:\n    imgae: x":               `f:3: profile p has no key "imgae": did you mean image?`,
		"profiles:\n  p:\n    nodes: [x]":             `f:3: profile p has no key "nodes"`,
		"profiles:\n  p:\n    disk: wrong":            "f:3: disk: no such rule",
		"profiles:\n  p:\n    disk: a\n    target: b": "f:4: disk and target both",
		"profiles:\n  p:\n    rate: 0x10":             "f:3: the number 0x10",
		"rules:\n  r: {vendr: x}":                     "did you mean vendor?",
		"a: [":                                        "f: yaml",
		"x":                                           "f:1: the file is not keys with values",

		"machines:\n  - mac: [\"52:54:00:00:00:01\", 52-54-00-00-00-01]": "is there already",
	} {
		err := New(disk).YAML("f", []byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", in, err, want)
		}
	}
	r := New(disk)
	if err := r.YAML("a", []byte("groups: {a: b}")); err != nil {
		t.Fatal(err)
	}
	if err := r.YAML("b", []byte("groups: {a: b}")); err == nil ||
		!strings.Contains(err.Error(), "b:1: group a is there already, at a:1") {
		t.Errorf("two files with one group: %v", err)
	}
}

func TestCSV(t *testing.T) {
	for what, in := range map[string]string{
		"plain":  "name,macs,label:room,notes\nlab-01,52:54:00:00:00:01,210,\"loud\nfan\"\n",
		"Excel":  "\xef\xbb\xbfName;MACs;label:room;notes\r\nlab-01;52-54-00-00-00-01;210;\"loud\r\nfan\"\r\n;;;\r\n",
		"sep":    "sep=;\r\nname;macs;label:room;notes;\r\nlab-01;52:54:00:00:00:01;210;\"loud\nfan\"\r\n",
		"quoted": "name\tmacs\tlabel:room\tnotes\nlab-01\t5254.0000.0001\t'210\t\"loud\nfan\"",
	} {
		r := New(disk)
		if err := r.CSV("f.csv", []byte(in)); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		got, _ := json.Marshal(r.Change.Machines)
		want := `[{"name":"lab-01","macs":["52:54:00:00:00:01"],"labels":{"room":"210"},"notes":"loud\nfan"}]`
		if what == "quoted" {
			want = strings.Replace(want, `"210"`, `"'210"`, 1) // no formula: the quote is the operator's
		}
		if string(got) != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
}

func TestCSVRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "f is empty",
		"nmae\nx":              `f:1: there is no column "nmae": did you mean name?`,
		"room\nx":              `there is no column "room"`,
		"name,name\n":          "the column name is there twice",
		"name\nx,y":            `f:2: cell 2 ("y") is in no column`,
		"name,macs\n\nx,52:54": "f:3: node",
		"name\nx\nX":           "f:3: the name x is there already, at f:2",
		"macs,name\n52:54:00:00:00:01,a\n52:54:00:00:00:01,b": "f:3: the MAC address 52:54:00:00:00:01 is there " +
			"already, at f:2",
		"name,approved\nx,maybe":         "f:2: approved",
		"name,label:room\n,1":            "f:2: nothing says which machine",
		"name\n\"x":                      "f:2: extraneous or missing",
		"sep=;\nname;notes\nx;\"a\nb\";": "",
		"name\nx\xff":                    "f:2: a character is not UTF-8",
		"\xff\xfen\x00":                  "is UTF-16",
	} {
		err := New(disk).CSV("f", []byte(in))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v; want %q", in, err, want)
		}
	}
}

// TestCSVComesBack: what was written is read as it was, formulas and labels without a value too.
func TestCSVComesBack(t *testing.T) {
	yes, no := true, false
	ms := []doc.Machine{
		{ID: "m1", Name: "lab-01", Boots: []string{"52:54:00:00:00:01", "52:54:00:00:00:02"}, Notes: "=1+1\n-2",
			Labels: map[string]string{"room": "210", "spare": "", "sum": "+1"}, Profile: "lab", ByHand: &yes,
			WhenIdle: "menu",
			Boards:   []doc.Board{{UUID: "u1"}, {UUID: "u2", Serial: "@s"}}},
		{ID: "m2", Labels: map[string]string{"room": "'", "sum": "'=x"}, ByHand: &no},
		{ID: "m3"},
	}
	var b bytes.Buffer
	if err := WriteCSV(&b, ms); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`"'=1+1`, "'@s", "'+1"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no %q in\n%s", line, b.String())
		}
	}
	r := New(disk)
	if err := r.CSV("f", b.Bytes()); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(r.Change.Machines)
	want := `[{"id":"m1","name":"lab-01","macs":["52:54:00:00:00:01","52:54:00:00:00:02"],"uuid":"u2","serial":"@s",` +
		`"labels":{"room":"210","spare":"","sum":"+1"},"notes":"=1+1\n-2","profile":"lab","approved":true,` +
		`"when_idle":"menu"},` +
		`{"id":"m2","labels":{"room":"'","sum":"'=x"},"approved":false},{"id":"m3"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzYAML(f *testing.F) {
	f.Add([]byte(labYAML))
	f.Add([]byte("machines:\n  - &a {name: x}\n  - *a\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := New(disk)
		if err := r.YAML("f", in); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("the error does not say where: %v", err)
		}
		for i := range r.Change.Profiles {
			if !json.Valid(r.Change.Profiles[i].Spec) {
				t.Errorf("profile %d is no JSON", i)
			}
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("\xef\xbb\xbfname;macs\r\nx;52:54:00:00:00:01\r\n"))
	f.Add([]byte("sep=,\nid,label:a\nm1,'=1\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := New(disk)
		if err := r.CSV("f", in); err != nil && !strings.HasPrefix(err.Error(), "f") {
			t.Errorf("the error does not say where: %v", err)
		}
	})
}
