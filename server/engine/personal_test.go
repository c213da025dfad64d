package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/store"
)

const (
	secretHash = "$6$saltsalt$SECRETSECRETSECRET"
	secretFile = "SECRET-content"
)

const ownSettings = `{"hostname":"pc-{{.Labels.seat}}","passwords":{"root":"` + secretHash + `"},
	"files":[{"path":"/etc/key","content":"` + secretFile + ` {{.MAC}}"}]}`

var wholeDisk = []string{session.StepPlan, session.StepTable, session.StepWritten, session.StepGrown}

// sealing is a house whose server has a key.
func sealing(t *testing.T) *house {
	h := newHouse(t)
	h.crash()
	key, err := sealed.New(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h.seal, h.sign = key, signer(t)
	h.start()
	return h
}

func (m *machine) ask(id, ask string) (*personal.Document, error) {
	m.h.t.Helper()
	return m.h.e.Personalize(m.h.t.Context(), m.id, &session.PersonalAsk{V: 1, Session: id, Boot: m.boot,
		Ask: strings.Repeat(ask, 32)}, netip.MustParseAddr("10.0.0.9"))
}

// seated is a machine with a label.
func (h *house) seated(n int) *machine {
	h.t.Helper()
	m := h.machine(n)
	m.powerOn()
	name := "1"
	if _, err := h.e.EditMachine(h.t.Context(), m.mac, doc.MachineChange{V: 1,
		Labels: map[string]*string{"seat": &name}}); err != nil {
		h.t.Fatal(err)
	}
	return m
}

// TestHandedOnce follows a personalization from the operator to its one node.
func TestHandedOnce(t *testing.T) {
	h := sealing(t)
	m := h.seated(1)
	s := h.create(doc.Spec{Nodes: []string{m.mac}, Personalize: json.RawMessage(ownSettings)})
	if d := m.descriptor(0); !d.Personalize {
		t.Errorf("the descriptor does not say that the node is to ask: %+v", d)
	}
	if _, err := m.ask(s.ID, "a"); err == nil || !strings.Contains(err.Error(), "step plan") {
		t.Errorf("asked before the disk is written: %v", err)
	}
	m.say(s.ID, wholeDisk...)
	d, err := m.ask(s.ID, "a")
	if err != nil {
		t.Fatal(err)
	}
	if d.Things.Hostname != "pc-1" || d.Things.Passwords["root"] != secretHash ||
		d.Things.Files[0].Content != secretFile+" 52:54:00:00:00:01" {
		t.Errorf("%+v", d.Things)
	}
	h.restart()
	m.hello()
	if again, err := m.ask(s.ID, "a"); err != nil || again.Things.Hostname != "pc-1" {
		t.Errorf("the same ask again, after a restart of the server: %v", err)
	}
	if _, err := m.ask(s.ID, "b"); err == nil || !strings.Contains(err.Error(), "handed out once") {
		t.Errorf("another ask of the same boot: %v", err)
	}
	if _, err := m.ask("s99", "a"); err == nil || !strings.Contains(err.Error(), "no personalization") {
		t.Errorf("another session: %v", err)
	}
	old := *m
	m.powerOn()
	if _, err := old.ask(s.ID, "a"); !errors.Is(err, engine.ErrToken) {
		t.Errorf("the boot before: %v", err)
	}
	if _, err := m.ask(s.ID, "c"); err == nil || !strings.Contains(err.Error(), "step plan") {
		t.Errorf("a new boot whose part has just begun again: %v", err)
	}
	m.say(s.ID, wholeDisk...)
	h.pass(2 * 60e9)
	if _, err := m.ask(s.ID, "c"); err != nil {
		t.Errorf("a part that was begun again: %v", err)
	}
	told := h.everything(t, s.ID, m)
	for _, secret := range []string{secretHash, secretFile} {
		if strings.Contains(told, secret) {
			t.Errorf("%s is told, or stored in clear", secret)
		}
	}
	if !strings.Contains(told, "was handed to it at 10.0.0.9") || !strings.Contains(told, "asked for again") ||
		!strings.Contains(told, `"hostname":"pc-{{.Labels.seat}}"`) {
		t.Errorf("what may be told is not: %s", told)
	}
	m.say(s.ID, session.StepPersonalized+": in partition 1 (ext4): hostname: pc-1", session.StepEntry, session.StepBoot)
	if got := h.state(s.ID); got != "done done" {
		t.Errorf("in the end: %s", got)
	}
	list, err := h.e.Receipts(t.Context(), s.ID)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d receipts: %v", len(list), err)
	}
	if r := readReceipt(t, list[0]); !strings.Contains(string(r.Details), "in partition 1 (ext4): hostname: pc-1") {
		t.Errorf("the receipt does not say what was written: %s", r.Details)
	}
	if told := h.everything(t, s.ID, m); strings.Contains(told, `"sealed":"`) {
		t.Error("the session is over, and its sealed personalization is still stored")
	}
	if _, err := m.ask(s.ID, "c"); err == nil {
		t.Error("a session that is over gave its personalization away")
	}
}

// everything is what is shown of a session and its node, and all that is stored.
func (h *house) everything(t *testing.T, id string, m *machine) string {
	t.Helper()
	s, err := h.e.Session(id)
	if err != nil {
		t.Fatal(err)
	}
	log, err := h.e.Log(t.Context(), m.id, 1000, true)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal([]any{s, log, m.descriptor(0)})
	if err != nil {
		t.Fatal(err)
	}
	err = h.store.View(t.Context(), func(tx store.Tx) error {
		return tx.Walk("", func(key string, value []byte) error {
			out = append(append(append(out, key...), ' '), value...)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestGivenAddressIsWhereItMayLive: a sign of life is looked for at the address that a session gave a machine, after a
// restart of the server too, and where its agent was.
func TestGivenAddressIsWhereItMayLive(t *testing.T) {
	h := sealing(t)
	m := h.seated(1)
	s := h.create(doc.Spec{Nodes: []string{m.mac}, Personalize: json.RawMessage(
		`{"network":[{"addresses":["10.0.0.20{{.Labels.seat}}/24","2001:db8::{{.Labels.seat}}/64"]}]}`)})
	m.say(s.ID, wholeDisk...)
	if _, err := m.ask(s.ID, "a"); err != nil {
		t.Fatal(err)
	}
	if got := h.e.Awaited(); len(got) != 0 {
		t.Errorf("before it left: %+v", got)
	}
	m.say(s.ID, session.StepPersonalized, session.StepEntry, session.StepBoot)
	h.restart()
	want := []netip.Addr{netip.MustParseAddr("10.0.0.201"), netip.MustParseAddr("2001:db8::1"),
		netip.MustParseAddr("10.0.0.49")} // where its agent was
	if got := h.e.Awaited(); len(got) != 1 || !slices.Equal(got[0].Addrs, want) {
		t.Errorf("it is awaited at %+v, want %v", got, want)
	}
}

// TestNotDoneWithoutIdentity has no machine done that was to be made itself and was not.
func TestNotDoneWithoutIdentity(t *testing.T) {
	h := sealing(t)
	m := h.seated(1)
	s := h.create(doc.Spec{Nodes: []string{m.mac}, Personalize: json.RawMessage(ownSettings)})
	m.say(s.ID, goodRestore...)
	if got := h.state(s.ID); !strings.HasPrefix(got, "failed failed") {
		t.Errorf("an agent that knows no personalization: %s", got)
	}
	// A node that boots again after its boot entry is done only if it was personalized before.
	s = h.create(doc.Spec{Nodes: []string{m.mac}, Personalize: json.RawMessage(ownSettings)})
	m.say(s.ID, append(append([]string{}, wholeDisk...), session.StepEntry)...)
	if !m.powerOn() {
		t.Error("a node without identity was sent to its own disk")
	}
	if got := h.state(s.ID); strings.Contains(got, "done") {
		t.Errorf("a node that boots again before it was personalized: %s", got)
	}
}

// TestHalfItself keeps a machine from starting a system that has another machine's identity, or half of its own,
// whatever is to be done when nothing is asked of it, and says so.
func TestHalfItself(t *testing.T) {
	h := sealing(t)
	m := h.seated(1)
	word := doc.IdleOwnDisk
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", WhenIdle: &word}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		steps []string
		ask   bool
		boots netboot.What
		left  string
	}{
		{"written", wholeDisk, false, netboot.Agent, "not the machine's own identity"},
		{"its identity was handed to it", wholeDisk, true, netboot.Agent, "not the machine's own identity"},
		{"its boot entry came first", append(slices.Clone(wholeDisk), session.StepEntry), false, netboot.Agent,
			"not the machine's own identity"},
		{"itself", append(slices.Clone(wholeDisk), session.StepPersonalized), false, netboot.OwnDisk,
			"has the whole image"},
	} {
		s := h.create(doc.Spec{Nodes: []string{m.mac}, Personalize: json.RawMessage(ownSettings)})
		m.powerOn()
		m.say(s.ID, c.steps...)
		if c.ask {
			if _, err := m.ask(s.ID, "a"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		if v, err := h.e.Session(s.ID); err != nil || !strings.Contains(v.Parts[0].Left, c.left) {
			t.Errorf("%s: %q is left (%v), want %q", c.name, v.Parts[0].Left, err, c.left)
		}
		if got := h.e.Boots(m.mac); got != c.boots {
			t.Errorf("%s: it boots %s, want %s", c.name, got, c.boots)
		}
	}
}

// TestGivenElsewhere says which address and hostname another machine has already, when a session is made and, where
// both were open, when the second is handed its own. The server's own address is nobody's.
func TestGivenElsewhere(t *testing.T) {
	h := sealing(t)
	a, b := h.seated(1), h.seated(2)
	const same = `{"hostname":"same","network":[{"addresses":["10.0.0.77/24"]}]}`
	both := []string{"The address 10.0.0.77 of m2 was given to m1 by session s1",
		"The hostname same of m2 was given to m1 by session s1"}
	create := func(m *machine) *doc.Session {
		t.Helper()
		s, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{m.mac},
			Personalize: json.RawMessage(same)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s1 := create(a)
	if len(s1.Warnings) > 0 {
		t.Errorf("the first: %q", s1.Warnings)
	}
	s2 := create(b)
	soon := []string{"The address 10.0.0.77 of m2 is what session s1 will give to m1",
		"The hostname same of m2 is what session s1 will give to m1"}
	for _, words := range soon {
		if !strings.Contains(strings.Join(s2.Warnings, " "), words) {
			t.Errorf("the second, while the first waits: %q", s2.Warnings)
		}
	}
	p, err := h.e.Plan(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{b.mac},
		Personalize: json.RawMessage(same)})
	if err != nil || !strings.Contains(strings.Join(p.Warnings, " "), soon[0]) {
		t.Errorf("planned while the first waits: %+v, %v", p, err)
	}
	for _, x := range []struct {
		m *machine
		s *doc.Session
	}{{a, s1}, {b, s2}} {
		x.m.powerOn()
		x.m.say(x.s.ID, wholeDisk...)
		if _, err := x.m.ask(x.s.ID, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if text := h.everything(t, s2.ID, b); !strings.Contains(text, both[0]) || !strings.Contains(text, both[1]) {
		t.Errorf("b was handed what a has, and nobody heard: %s", text)
	}
	if _, err := h.e.Cancel(t.Context(), s2.ID); err != nil {
		t.Fatal(err)
	}
	if again := create(b); !strings.Contains(strings.Join(again.Warnings, " "), both[0]) ||
		!strings.Contains(strings.Join(again.Warnings, " "), both[1]) {
		t.Errorf("made when it is known: %q", again.Warnings)
	}
}

// TestGivenElsewhereStays: what was said of addresses and hostnames when a session was made is said as long as it is
// kept, also of one that a repeating session made. A domain makes no other name.
func TestGivenElsewhereStays(t *testing.T) {
	h := sealing(t)
	a, b := h.seated(1), h.seated(2)
	spec := func(m *machine, hostname string) doc.Spec {
		return doc.Spec{V: 1, Image: "debian", Nodes: []string{m.mac},
			Personalize: json.RawMessage(`{"hostname":"` + hostname + `"}`)}
	}
	h.create(spec(a, "same-1"))
	s2 := h.create(spec(b, "Same-1.lab"))
	const soon = "The hostname same-1.lab of m2 is what session s1 will give to m1 as same-1"
	h.repeat("5 * * * *", "", `{"v":1,"image":"debian","nodes":["`+b.mac+`"],"personalize":{"hostname":"same-1"}}`)
	h.pass(5 * time.Minute) // before the first has given up
	run := h.lastRun("r1")
	if _, err := h.e.Cancel(t.Context(), s2.ID); err != nil {
		t.Fatal(err)
	}
	h.restart()
	for id, words := range map[string]string{s2.ID: soon,
		run.Session: "The hostname same-1 of m2 is what session s1 will give to m1: two"} {
		v, err := h.e.Session(id)
		if err != nil || !strings.Contains(strings.Join(v.Warnings, "\n"), words) {
			t.Errorf("session %s: %+v, %v; want %q", id, v, err, words)
		}
	}
	p, err := h.e.Plan(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{a.mac, b.mac},
		Personalize: json.RawMessage(`{"hostname":"12345{{if eq .MAC \"` + b.mac + `\"}}.lab{{end}}"}`)})
	words := strings.Join(p.Warnings, "\n")
	if err != nil || len(p.Refused) > 0 ||
		!strings.Contains(words, "12345 of m1 and 12345.lab of m2 are one without") ||
		!strings.Contains(words, "12345 of m1 is a number") {
		t.Errorf("one name but for the domain, and a number: %+v, %v", p, err)
	}
}

// TestDoubleNames: what two machines of a session would both have is all told, by the machines' names.
func TestDoubleNames(t *testing.T) {
	h := sealing(t)
	a, b := h.seated(1), h.seated(2)
	for m, name := range map[*machine]string{a: "pc-1", b: "pc-2"} {
		if _, err := h.e.EditMachine(t.Context(), m.mac, doc.MachineChange{V: 1, Name: &name}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{a.mac, b.mac},
		Personalize: json.RawMessage(`{"hostname":"same","network":[{"addresses":["10.0.0.5/24"]}]}`)})
	if !errors.Is(err, engine.ErrSpec) ||
		!strings.Contains(err.Error(), "machines pc-1 and pc-2 would both have the address 10.0.0.5") ||
		!strings.Contains(err.Error(), "machines pc-1 and pc-2 would both be called same") {
		t.Errorf("refused with %v", err)
	}
}

// TestAlikeInLab says at apply, and at its dry run, which machines would have one address by their profile, with a
// waiting session and in DHCP's range. Machines that come are planned for in the same way.
func TestAlikeInLab(t *testing.T) {
	h := sealing(t)
	h.crash()
	h.dynamic = func(a netip.Addr) bool { return a.As4()[3] >= 100 }
	h.start()
	h.seated(1)
	const own = `{"image":"debian","personalize":{"hostname":"pc-{{.Labels.seat}}","network":[{"addresses":` +
		`["10.0.0.{{.Labels.seat}}/24"]}]}}`
	seat := func(n string) map[string]*string { return map[string]*string{"seat": &n} }
	lab := doc.LabChange{V: 1, DryRun: true, Profiles: []doc.Profile{{Name: "lab", Spec: json.RawMessage(own)}},
		Machines: []doc.MachineEntry{
			{Name: "a", MACs: []string{"52:54:00:00:01:01"}, Profile: ptr("lab"), Labels: seat("7")},
			{Name: "b", MACs: []string{"52:54:00:00:01:02"}, Profile: ptr("lab"), Labels: seat("7")},
			{Name: "c", MACs: []string{"52:54:00:00:01:03"}, Profile: ptr("lab"), Labels: seat("100")},
			{Name: "d", MACs: []string{"52:54:00:00:01:04"}, Profile: ptr("lab"), Labels: seat("007")},
		}}
	for range 2 {
		done, err := h.e.ChangeLab(t.Context(), lab)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(done.Warnings, "\n")
		for _, want := range []string{"would both have the address 10.0.0.7",
			"No session can be made of profile lab for d now: ",
			"The address 10.0.0.100 of c is in the range"} {
			if !strings.Contains(got, want) {
				t.Errorf("dry run %v: %s; want %q", lab.DryRun, got, want)
			}
		}
		lab.DryRun = false
	}
	for i := range 2 {
		h.machine(i + 3).powerOn()
	}
	p, err := h.e.Plan(t.Context(), doc.Spec{V: 1, Image: "debian", All: true,
		Personalize: json.RawMessage(`{"network":[{"addresses":["10.0.0.9/24"]}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", p.Machines); !strings.Contains(got, "would both have the address 10.0.0.9") {
		t.Errorf("planned for machines that come: %s", got)
	}
}

// TestReasonNames: a session's reason and its parts name machines as their operator does.
func TestReasonNames(t *testing.T) {
	h := sealing(t)
	m := h.seated(1)
	name := "pc-1"
	if _, err := h.e.EditMachine(t.Context(), m.mac, doc.MachineChange{V: 1, Name: &name}); err != nil {
		t.Fatal(err)
	}
	s := h.create(doc.Spec{Nodes: []string{m.mac}, Personalize: json.RawMessage(ownSettings)})
	m.say(s.ID, goodRestore...)
	v, err := h.e.Session(s.ID)
	if err != nil || v.Parts[0].Name != name || !strings.Contains(v.Reason, name) || strings.Contains(v.Reason, m.id) {
		t.Errorf("%q of %q, %v", v.Reason, v.Parts[0].Name, err)
	}
}

// TestReasonsOutliveCancel: why a machine failed is known when the rest of its session was cancelled.
func TestReasonsOutliveCancel(t *testing.T) {
	h := sealing(t)
	m, other := h.seated(1), h.machine(2)
	s := h.create(doc.Spec{Nodes: []string{m.mac, other.mac}, MinNodes: 1, Personalize: json.RawMessage(
		`{"hostname":"a{{.Node}}"}`)})
	m.say(s.ID, goodRestore...)
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	v, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(v.Parts, func(p doc.Part) bool { return p.Node == m.id })
	if p := v.Parts[i]; p.State != doc.Failed || !strings.Contains(p.Reason, "never said that it personalized") ||
		!strings.Contains(p.Left, "identity") {
		t.Errorf("%+v", p)
	}
}

// TestPersonalizeRefused is what is refused when the session is made.
func TestPersonalizeRefused(t *testing.T) {
	h := sealing(t)
	m := h.machine(1)
	m.powerOn()
	for raw, want := range map[string]string{
		ownSettings:                    `no label "seat"`,
		`{"hostname":"{{.Name}}"}`:     "comes out empty",
		`{"hostname":"a b"}`:           "RFC 1123",
		`{"unknown":1}`:                `unknown field`,
		`{"hostname":"{{.Nothing}}"}`:  "names .Nothing",
		`{"passwords":{"root":"abc"}}`: "not a hash",

		`{"seed":{"user_data":"packages: [htop]\n"}}`:                      "first line is none that cloud-init knows",
		`{"seed":{"user_data":"#cloud-config\n{{.MAC}}\n"}}`:               "not a map",
		`{"seed":{"user_data":"","meta_data":"local-hostname: {{1234}}"}}`: "local-hostname is no string",
	} {
		_, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{m.mac},
			Personalize: json.RawMessage(raw)})
		if !errors.Is(err, engine.ErrSpec) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
	other := h.machine(2)
	other.powerOn()
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{m.mac, other.mac},
		Personalize: json.RawMessage(`{"network":[{"addresses":["10.0.0.5/24"]}]}`)}); !errors.Is(err,
		engine.ErrSpec) ||
		!strings.Contains(err.Error(), "would both have the address 10.0.0.5") {
		t.Errorf("two machines with one address: %v", err)
	}
	all := doc.Spec{V: 1, Image: "debian", All: true, Personalize: json.RawMessage(`{"seed":{"user_data":"a: 1\n"}}`)}
	if _, err := h.e.Create(t.Context(), all); !errors.Is(err, engine.ErrSpec) ||
		!strings.Contains(err.Error(), "that cloud-init knows") {
		t.Errorf("a seed that cloud-init would leave out, for all: %v", err)
	}
	numbered := doc.Spec{V: 1, Image: "debian", Nodes: []string{m.mac},
		Personalize: json.RawMessage(`{"hostname":"1234","seed":{"user_data":"#cloud-config\n"}}`)}
	if p, err := h.e.Plan(t.Context(), numbered); err != nil || len(p.Refused) > 0 {
		t.Errorf("a hostname of digits beside a seed: %+v, %v", p, err)
	}
	third := h.machine(3) // was never seen: its serial is not known
	for _, c := range []struct{ nodes, hostname, want string }{
		{"2", "same", "would both be called same"},
		{"2", `{{if eq .MAC \"` + m.mac + `\"}}PC{{else}}pc{{end}}`, "would both be called pc"},
		{"2", `pc-{{slice .MAC 15}}`, ""},
		{"1", "same", ""},
		{"unseen", "pc-{{.Serial}}", ""},
		{"all", "same", "every machine that the session takes would be called same"},
		{"count", "same", "every machine that the session takes would be called same"},
	} {
		spec := doc.Spec{V: 1, Image: "debian", Personalize: json.RawMessage(`{"hostname":"` + c.hostname + `"}`)}
		switch c.nodes {
		case "2":
			spec.Nodes = []string{m.mac, other.mac}
		case "1":
			spec.Nodes = []string{m.mac}
		case "unseen":
			spec.Nodes = []string{third.mac, h.machine(4).mac}
		case "all":
			spec.All = true
		case "count":
			spec.Count = 2
		}
		p, err := h.e.Plan(t.Context(), spec)
		if err != nil || slices.ContainsFunc(p.Refused, func(w string) bool {
			return c.want != "" && strings.Contains(w, c.want)
		}) != (c.want != "") || c.want == "" && len(p.Refused) > 0 {
			t.Errorf("plan of %s for %s: %+v, %v, want %q", c.hostname, c.nodes, p, err, c.want)
		}
		s, err := h.e.Create(t.Context(), spec)
		if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, engine.ErrSpec) ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s for %s: %v, want %q", c.hostname, c.nodes, err, c.want)
		}
		if err == nil {
			if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Kind: "erase", All: true, Job: json.RawMessage(
		`{"method":"overwrite"}`), Personalize: json.RawMessage(`{"hostname":"a"}`)}); err == nil {
		t.Error("an erase was personalized")
	}
	h.crash()
	h.seal = nil
	h.start()
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", All: true,
		Personalize: json.RawMessage(`{"hostname":"a"}`)}); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("without a key: %v", err)
	}
}
