package cmd

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/hooks"
)

// profileField is what is tried of one field of a profile.
type profileField struct {
	set   string // its value in the profile, as JSON
	with  string // what the profile has beside it, where it does not go with all other fields; JSON of a whole one
	node  string // where the descriptor has it; empty where it is the server's alone
	flags string // of session create that put something else in its place
	over  string // that, as JSON; empty where it is taken away
	all   string // what the flags are of, where that is more than the field
	// secret: nobody is shown it
	secret bool
}

const (
	testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZ1bGx5IG1hZGUgdXAgZm9yIGEgdGVzdCBvbmx5"
	// an answer file of nothing
	testUnattend = `{"unattend": "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\"/>"}`
	testHash     = "$6$saltsalt$0123456789abcdef"
)

// profileFields are all fields that a profile has, and of those that have fields of their own each of these.
var profileFields = map[string]profileField{
	"image": {set: `"ubuntu"`, node: "image.name", flags: "--image debian", over: `"debian"`},
	"kind": {set: `"restore-partition"`, with: `{"image": "slice", "kind": "restore-partition",
		"job": {"v": 1, "number": 2}}`, node: "action"},
	"job": {set: `{"v": 1, "number": 2}`, with: `{"image": "slice", "kind": "restore-partition",
		"job": {"v": 1, "number": 2}}`, node: "job"},
	"target.path":     {set: `"/dev/vda"`, with: `{"target": {"path": "/dev/vda"}}`, node: "target.path"},
	"target.by_path":  {set: `"pci-*"`, node: "target.by_path", flags: "--disk serial=S9", all: "target"},
	"target.hctl":     {set: `"*:0:1:0"`, node: "target.hctl", flags: "--disk serial=S9", all: "target"},
	"target.serial":   {set: `"S1"`, node: "target.serial", flags: "--disk only", all: "target"},
	"target.wwn":      {set: `"naa.5"`, node: "target.wwn", flags: "--disk wwn=x", over: `"x"`, all: "target"},
	"target.model":    {set: `"Sam*"`, node: "target.model", flags: "--disk model=x", over: `"x"`, all: "target"},
	"target.type":     {set: `"ssd"`, node: "target.type", flags: "--disk type=hdd", over: `"hdd"`, all: "target"},
	"target.min_size": {set: `1000`, node: "target.min_size", flags: "--disk min=9", over: `9`, all: "target"},
	"target.max_size": {set: `9000000000`, node: "target.max_size", flags: "--disk max=9", over: `9`, all: "target"},
	"target.smallest": {set: `true`, with: `{"target": {"smallest": true}}`, node: "target.smallest"},
	"target.largest":  {set: `true`, node: "target.largest", flags: "--disk smallest", all: "target"},
	"target.first":    {set: `true`, node: "target.first", flags: "--disk largest", all: "target"},
	"more_disks":      {set: `[{"image": "data", "target": {"serial": "S2"}}]`, node: "more_disks"},
	"mode":            {set: `"delta"`, node: "mode", flags: "--mode full", over: `"full"`},
	"verify":          {set: `true`, node: "verify", flags: "--verify=false"},
	"no_grow":         {set: `true`, node: "no_grow", flags: "--grow"},
	"boot.method":     {set: `"reboot"`, node: "boot.method", flags: "--then poweroff", over: `"poweroff"`},
	"boot.shell": {set: `{"seconds": 600}`, with: `{"boot": {"method": "shell", "shell": {"seconds": 600}}}`,
		node: "boot.shell"},
	"boot.append":      {set: `"quiet"`, node: "boot.append", flags: "--append splash", over: `"splash"`},
	"rate":             {set: `200000000`, flags: "--rate 300M", over: `300000000`},
	"give_up":          {set: `61.5`, flags: "--give-up 2m", over: `120`},
	"expect_alive":     {set: `900`, flags: "--expect-alive 0s"},
	"priority":         {set: `-7`, flags: "--priority 0"},
	"power":            {set: `"on"`, flags: "--power none"},
	"power_off_failed": {set: `true`, flags: "--power-off-failed=false"},
	"before":           {set: `"dns"`, flags: "--before mail", over: `"mail"`},
	"after":            {set: `"mail"`, flags: "--after="},

	"personalize.hostname":      {set: `"{{.Name}}-x"`, flags: "--hostname y-{{.Name}}", over: `"y-{{.Name}}"`},
	"personalize.machine_id":    {set: `"new"`, flags: "--machine-id keep", over: `"keep"`},
	"personalize.ssh_host_keys": {set: `"new"`, flags: "--ssh-host-keys keep", over: `"keep"`},
	"personalize.authorized_keys": {set: `{"root": "` + testKey + ` a", "bob": "` + testKey + ` b"}`,
		flags: "--authorized-keys KEYS", over: `{"root": "` + testKey + ` c\n"}`},
	"personalize.passwords": {set: `{"root": "` + testHash + `"}`, secret: true},
	"personalize.time_zone": {set: `"Europe/Berlin"`},
	"personalize.seed": {set: `{"user_data": "#cloud-config\n{}\n"}`, with: `{"personalize": {"seed":
		{"user_data": "#cloud-config\n{}\n"}}}`, secret: true},
	"personalize.files":             {set: `[{"path": "/etc/x", "content": "secret {{.Name}}\n"}]`, secret: true},
	"personalize.network":           {set: `[{"mac": "52:54:00:00:00:01", "dhcp": "yes"}]`},
	"personalize.network_with":      {set: `"netplan"`},
	"personalize.archive":           {set: `{"into": "/opt", "content": "ARCHIVE"}`, secret: true},
	"personalize.script":            {set: `{"run": "#!/bin/sh\n: secret\n"}`, secret: true},
	"personalize.kernel_words":      {set: `["a=b"]`},
	"personalize.loader_passphrase": {set: `"secret words"`, secret: true},
	"personalize.windows": {set: testUnattend, with: `{"personalize": {"windows": ` + testUnattend + `}}`,
		secret: true},
}

// fieldsOf are the names of all fields of the types that profiles are made of, by reflection.
func fieldsOf(t *testing.T) (out []string) {
	t.Helper()
	var walk func(prefix string, of reflect.Type, deep bool)
	walk = func(prefix string, of reflect.Type, deep bool) {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if prefix == "" && !slices.Contains(doc.ProfileFields(), name) {
				continue
			}
			typ := of.Field(i).Type
			if typ.Kind() == reflect.Pointer {
				typ = typ.Elem()
			}
			switch {
			case name == personalizeKey && prefix == "":
				walk(name+".", reflect.TypeFor[personal.Settings](), false)
			case typ.Kind() == reflect.Struct && deep:
				walk(name+".", typ, true)
			default:
				out = append(out, prefix+name)
			}
		}
	}
	walk("", reflect.TypeFor[doc.Spec](), true)
	slices.Sort(out)
	return out
}

const personalizeKey = "personalize"

// put sets a value by its path; take is the way back, nil where nothing is.
func put(in map[string]any, path string, v any) {
	head, rest, more := strings.Cut(path, ".")
	if !more {
		in[head] = v
		return
	}
	inner, _ := in[head].(map[string]any)
	if inner == nil {
		inner = map[string]any{}
		in[head] = inner
	}
	put(inner, rest, v)
}

func take(in any, path string) any {
	for _, name := range strings.Split(path, ".") {
		m, _ := in.(map[string]any)
		in = m[name]
	}
	return in
}

func fromJSON(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reached is a power desk that reaches every machine and does nothing.
type reached struct{}

func (reached) Switch(string, doc.Machine, string, func() string, func(doc.PowerRow)) {}
func (reached) Drop(string)                                                           {}
func (reached) Reaches(context.Context, string) (bool, error)                         { return true, nil }

// profileOffice is an office whose server has all that profiles may ask for.
func profileOffice(t *testing.T) *office {
	t.Helper()
	all, err := hooks.ParseAll([]string{"dns=/bin/true", "mail=/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	r := hooks.New(all, time.Minute, slog.New(slog.DiscardHandler))
	key, err := sealed.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, func(_ *office, cfg *engine.Config) { cfg.Hooks, cfg.Seal, cfg.Power = r, key, reached{} })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return o
}

// profileText is the value of a field with what can only be made at run time.
func profileText(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o600})
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(text, "ARCHIVE", base64.StdEncoding.EncodeToString(b.Bytes()))
}

// wholeProfile has every field that goes with the others, or those that a field wants beside it.
func wholeProfile(t *testing.T, with string) map[string]any {
	t.Helper()
	if with != "" {
		p := fromJSON(t, profileText(t, with)).(map[string]any)
		if p["image"] == nil {
			p["image"] = "ubuntu"
		}
		return p
	}
	p := map[string]any{}
	for name, f := range profileFields {
		if f.with == "" {
			put(p, name, fromJSON(t, profileText(t, f.set)))
		}
	}
	return p
}

// profileOf is the name of the profile in which a field is tried.
func profileOf(field string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(field) }

func (o *office) labFile(profiles map[string]any) string {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), "lab.yaml")
	text := "machines:\n  - {name: lab-01, mac: \"52:54:00:00:00:01\"}\n" +
		"profiles: " + asJSON(o.t, profiles) + "\n" // JSON is YAML
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return file
}

// ofProfile makes a session of the machine and the profile, and returns its spec.
func (o *office) ofProfile(name string, flags ...string) (id string, spec map[string]any) {
	o.t.Helper()
	out := o.must(append([]string{"create", "--profile", name, "--nodes", "lab-01", "--json"}, flags...)...)
	s := fromJSON(o.t, out).(map[string]any)
	return s["id"].(string), s["spec"].(map[string]any)
}

// told is the descriptor that the node gets for the session.
func (o *office) told(id string) (d *session.Descriptor) {
	o.t.Helper()
	ctx, stop := context.WithTimeout(o.t.Context(), time.Minute)
	defer stop()
	for after := uint64(0); ; after = d.Serial {
		var err error
		if d, err = o.e.Descriptor(ctx, o.node, after, time.Minute); err != nil {
			o.t.Fatalf("session %s: %v", id, err)
		}
		if d.Session == id {
			return d
		}
	}
}

// TestProfileHasAllFields: what is tried below is all that the types have.
func TestProfileHasAllFields(t *testing.T) {
	want := slices.Sorted(maps.Keys(profileFields))
	if got := fieldsOf(t); !slices.Equal(got, want) {
		t.Errorf("fields of a profile:\n%q\nof the table:\n%q", got, want)
	}
	inner := fromJSON(t, profileFields["more_disks"].set).([]any)[0].(map[string]any)
	if n := reflect.TypeFor[doc.DiskImage]().NumField(); n != len(inner) {
		t.Errorf("a further disk has %d fields, and %d are tried", n, len(inner))
	}
}

// TestProfileArrives: each field that a lab file gives a profile is in the session of a machine, in what its node is
// told, and in what it is given for its restored system.
func TestProfileArrives(t *testing.T) {
	o := profileOffice(t)
	profiles, of := map[string]any{"whole": wholeProfile(t, "")}, map[string]string{}
	for name, f := range profileFields {
		of[name] = "whole"
		if f.with != "" {
			of[name] = profileOf(name)
			profiles[of[name]] = wholeProfile(t, f.with)
		}
	}
	if code, out, said := o.run("apply", "-f", o.labFile(profiles)); code != 0 {
		t.Fatalf("apply: %d, %s%s", code, out, said)
	}
	type session struct{ spec, node, things any }
	made := map[string]session{}
	for _, profile := range slices.Sorted(maps.Keys(profiles)) {
		id, spec := o.ofProfile(profile)
		d := o.told(id)
		s := session{spec: spec, node: fromJSON(t, asJSON(t, d))}
		if d.Personalize {
			s.things = fromJSON(t, asJSON(t, o.given(id, d)))
		}
		made[profile] = s
		o.must("cancel", id)
	}
	for _, name := range slices.Sorted(maps.Keys(profileFields)) {
		f, s := profileFields[name], made[of[name]]
		want := asJSON(t, fromJSON(t, profileText(t, f.set)))
		if got := asJSON(t, take(s.spec, name)); got != want && !f.secret {
			t.Errorf("%s: the session has %s, want %s", name, got, want)
		} else if f.secret && !strings.Contains(got, personal.Sealed) {
			t.Errorf("%s: the session shows %s", name, got)
		}
		if own, ok := strings.CutPrefix(name, personalizeKey+"."); ok {
			want = strings.ReplaceAll(want, "{{.Name}}", "lab-01")
			if got := asJSON(t, take(s.things, own)); got != want && own != "seed" {
				t.Errorf("%s: the node is given %s, want %s", name, got, want)
			} else if own == "seed" && !strings.Contains(got, "cloud-config") {
				t.Errorf("%s: the node is given %s", name, got)
			}
			continue
		}
		if f.node == "" {
			continue
		}
		got := take(s.node, f.node)
		if name == "more_disks" {
			more := got.([]any)[0].(map[string]any)
			got = []any{map[string]any{"image": take(more, "image.name"), "target": more["target"]}}
		}
		if asJSON(t, got) != want {
			t.Errorf("%s: the node is told %s, want %s", name, asJSON(t, got), want)
		}
	}
}

// given has the node do its part as far as its personalization, and is what it is given then.
func (o *office) given(id string, d *session.Descriptor) *personal.Settings {
	o.t.Helper()
	inv := session.Inventory{Firmware: session.BIOS, NICs: []session.NIC{{MAC: "52:54:00:00:00:01", Boot: true}}}
	for i := range d.Disks() {
		inv.Disks = append(inv.Disks, session.Disk{Path: fmt.Sprintf("/dev/vd%c", 'a'+i), Serial: fmt.Sprint("S", i+1),
			BusPath: fmt.Sprint("pci-", i), HCTL: fmt.Sprintf("%d:0:1:0", i),
			WWN: "naa.5", Model: "Samsung", Size: 8 << 30})
	}
	if _, err := o.e.Hello(o.t.Context(), &session.Hello{V: 1, Boot: "b", Inventory: inv}, netip.Addr{}); err != nil {
		o.t.Fatal(err)
	}
	for i := range d.Disks() {
		choice := &session.DiskChoice{V: 1, Session: id, Of: i, Disk: inv.Disks[i].ID()}
		if _, err := o.e.ChooseDisk(o.t.Context(), o.node, choice); err != nil {
			o.t.Fatal(err)
		}
		for _, step := range []string{session.StepPlan, session.StepWritten, session.StepVerified,
			session.StepGrown} {
			o.seq++
			ev := session.Event{Session: id, Step: step, Level: session.Info, Seq: o.seq, Since: float64(o.seq),
				Disk: i}
			if err := o.e.Events(o.t.Context(), o.node, &session.Events{V: 1, Boot: "b",
				Events: []session.Event{ev}}); err != nil {
				o.t.Fatal(err)
			}
		}
	}
	own, err := o.e.Personalize(o.t.Context(), o.node, &session.PersonalAsk{V: 1, Session: id, Boot: "b",
		Ask: strings.Repeat("a", 32)}, netip.Addr{})
	if err != nil {
		o.t.Fatalf("session %s: %v", id, err)
	}
	return &own.Things
}

// TestProfileIsOverridden: a flag of session create holds over its field of the profile, and over nothing else.
func TestProfileIsOverridden(t *testing.T) {
	o := profileOffice(t)
	if code, out, said := o.run("apply", "-f", o.labFile(map[string]any{"whole": wholeProfile(t, "")})); code != 0 {
		t.Fatalf("apply: %d, %s%s", code, out, said)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(testKey+" c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	id, plain := o.ofProfile("whole")
	o.must("cancel", id)
	for _, name := range slices.Sorted(maps.Keys(profileFields)) {
		f := profileFields[name]
		if f.flags == "" {
			continue
		}
		id, spec := o.ofProfile("whole", strings.Fields(strings.ReplaceAll(f.flags, "KEYS", keys))...)
		o.must("cancel", id)
		want := "null"
		if f.over != "" {
			want = asJSON(t, fromJSON(t, f.over))
		}
		if got := asJSON(t, take(spec, name)); got != want {
			t.Errorf("%s: %s makes it %s, want %s", name, f.flags, got, want)
		}
		all := name
		if f.all != "" {
			all = f.all
		}
		put(spec, all, take(plain, all))
		if got, want := asJSON(t, spec), asJSON(t, plain); got != want {
			t.Errorf("%s changes more than %s:\n%s\n%s", f.flags, all, got, want)
		}
	}

	file := filepath.Join(t.TempDir(), "own.toml")
	if err := os.WriteFile(file, []byte("time_zone = \"UTC\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	id, spec := o.ofProfile("whole", "--personalize", file)
	o.must("cancel", id)
	if got := asJSON(t, spec[personalizeKey]); got != `{"time_zone":"UTC"}` {
		t.Errorf("--personalize FILE is all of it, and made %s", got)
	}
}

// TestProfileDifferences: a dry run tells the difference of each field by its name, and no secret; what is exported is
// what is there.
func TestProfileDifferences(t *testing.T) {
	o := profileOffice(t)
	profiles := map[string]any{}
	for name, f := range profileFields {
		profiles[profileOf(name)] = wholeProfile(t, f.with)
	}
	if code, out, said := o.run("apply", "-f", o.labFile(profiles)); code != 0 {
		t.Fatalf("apply: %d, %s%s", code, out, said)
	}
	for name := range profileFields {
		profile := profileOf(name)
		p := profiles[profile].(map[string]any)
		two := slices.Contains([]string{"kind", "job", "personalize.network"}, name) // what goes with it goes too
		word := name
		if top, _, _ := strings.Cut(name, "."); top != personalizeKey {
			word = top
		}
		switch name {
		case "kind", "job":
			p["kind"], p["job"] = nil, nil // neither goes without the other
		case "personalize.network":
			put(p, name, nil)
			put(p, "personalize.network_with", nil)
		case "personalize.seed", "personalize.windows":
			p[personalizeKey] = nil
		default:
			put(p, name, nil)
		}
		code, out, said := o.run("apply", "-f", o.labFile(map[string]any{profile: p}), "--dry-run")
		lines := 0
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "    ") {
				lines++
				if !strings.HasPrefix(line, "    "+word+": ") && !two {
					t.Errorf("%s: the dry run says %s", name, line)
				}
			}
		}
		if want := map[bool]int{true: 2, false: 1}[two]; code != exitDiffers ||
			lines != want || strings.Contains(out+said, "secret") || strings.Contains(out+said, testHash) {
			t.Errorf("%s was taken away, and the dry run says (%d) %s%s", name, code, out, said)
		}
	}

	code, text, said := o.run("export")
	if code != 0 || strings.Contains(text, testHash) || !strings.Contains(text, personal.Sealed) {
		t.Fatalf("export: %d, %s%s", code, text, said)
	}
	file := filepath.Join(t.TempDir(), "export.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, said := o.run("apply", "-f", file, "--prune"); code != 0 || out != "nothing changed\n" {
		t.Errorf("what was exported changes: %d, %s%s", code, out, said)
	}
	if code, _, said := profileOffice(t).run("apply", "-f", file); code != exitFailed ||
		!strings.Contains(said, "stands where") || !strings.Contains(said, "export.yaml:") {
		t.Errorf("a server without the secrets: %d, %s", code, said)
	}
	for _, args := range [][]string{{"profile", "list"}, {"profile", "list", "--json"},
		{"profile", "show", "personalize-passwords"}} {
		if _, out, _ := o.run(args...); strings.Contains(out, testHash) || !strings.Contains(out, personal.Sealed) {
			t.Errorf("%q shows %s", args, out)
		}
	}
}
