package fleet

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func ptr(s string) *string { return &s }

func edit(t *testing.T, f *Fleet, id string, c Change) {
	t.Helper()
	if err := f.Edit(id, c); err != nil {
		t.Fatal(err)
	}
}

// check holds the indexes against the machines.
func check(t *testing.T, f *Fleet) {
	t.Helper()
	g := New(f.seq, slices.Collect(maps.Values(f.machines)))
	for name, x := range map[string][2]any{"boot": {f.byBoot, g.byBoot}, "uuid": {f.byUUID, g.byUUID},
		"serial": {f.bySerial, g.bySerial},
		"name":   {f.byName, g.byName}, "node": {f.byNode, g.byNode}, "loose": {f.loose, g.loose},
		"seq": {f.seq, g.seq}} {
		if !reflect.DeepEqual(x[0], x[1]) {
			t.Errorf("index %s is %v, and should be %v", name, x[0], x[1])
		}
	}
}

// TestForgetKeepsWhatWasEntered: sightings go and come, and what the operator entered is there.
func TestForgetKeepsWhatWasEntered(t *testing.T) {
	f := New(0, nil)
	a, b := sight(pcA, mac(1, 1)), sight(pcB, mac(2, 1))
	f.Sight(a, day)
	f.Sight(b, day)
	edit(t, f, "m1", Change{Name: ptr("lab-01"), Notes: ptr("by the door\nloud fan"),
		Labels: map[string]*string{"room": ptr("101")}})
	f.Forget(a.Node, a.Boot)
	f.Forget(b.Node, b.Boot)
	check(t, f)
	m := f.Find("LAB-01")
	if m == nil || m.Notes != "by the door\nloud fan" || m.Labels["room"] != "101" || len(m.Nodes) != 0 {
		t.Fatalf("what was entered: %+v", m)
	}
	if f.Get("m2") != nil {
		t.Error("a machine of which nothing was entered is still there")
	}
	for name, s := range map[string]Sighting{"as it was": a, "by another card": sight(pcA, mac(1, 9)),
		"by its NIC": sight(none, mac(1, 1))} {
		g := New(f.seq, []*Machine{m})
		if v := g.Sight(s, day); v.Machine != "m1" {
			t.Errorf("%s it comes as %+v", name, v)
		}
	}
	// An id is not given twice.
	if v := f.Sight(b, day); v.Machine != "m3" {
		t.Errorf("the other comes as %+v", v)
	}
	f.Keep(func(node string) bool { return false })
	if f.Get("m3") != nil || f.Get("m1") == nil {
		t.Error("sightings that are gone")
	}
	if f.Of("nobody") != nil {
		t.Error("a node that nobody knows has a machine")
	}
	check(t, f)
}

// TestForgetNIC: those that were seen only at a NIC that is forgotten go with it, those that were named or were seen
// elsewhere do not.
func TestForgetNIC(t *testing.T) {
	f := New(0, nil)
	for i, b := range []Board{pcA, pcB, pcC, {"4c4c4544-0000-2010-8020-00000000000d", "SN-D"}} {
		f.Sight(sight(b, dock), day)
		if f.Of(strings.ReplaceAll(dock, ":", "-")).ID != fmt.Sprintf("m%d", i+1) {
			t.Fatal(f.All())
		}
	}
	edit(t, f, "m1", Change{Name: ptr("lab-01")})
	f.Sight(sight(pcB, mac(2, 1)), day)
	// m2 was seen at the dock too, and nobody entered anything of it
	f.Forget(strings.ReplaceAll(mac(2, 1), ":", "-"), mac(2, 1))
	f.Forget(strings.ReplaceAll(dock, ":", "-"), dock)
	var left []string
	for _, m := range f.All() {
		left = append(left, m.ID)
	}
	if !slices.Equal(left, []string{"m1"}) {
		t.Errorf("left are %v", left)
	}
	check(t, f)
}

func TestMerge(t *testing.T) {
	f := New(0, nil)
	old, now := sight(pcA, mac(1, 1), dock), sight(pcB, mac(2, 1))
	f.Sight(old, day)
	f.Sight(now, day.Add(time.Hour))
	edit(t, f, "m1", Change{Name: ptr("lab-01"), Notes: ptr("old"),
		Labels: map[string]*string{"room": ptr("101"), "row": ptr("2")}})
	edit(t, f, "m2", Change{Name: ptr("lab-02"), Labels: map[string]*string{"room": ptr("102")}})
	if err := f.Merge("m2", "m1"); err != nil {
		t.Fatal(err)
	}
	check(t, f)
	m := f.Get("m1")
	if f.Get("m2") != nil || m.Name != "lab-01" || m.Labels["room"] != "101" || m.Labels["row"] != "2" ||
		m.Notes != "old\nIt was called lab-02 too.\nIts label room was 102 too." {
		t.Errorf("merged: %+v", m)
	}
	for _, s := range []Sighting{old, now} {
		if v := f.Sight(s, day); v.Machine != "m1" || v.Rule != Known {
			t.Errorf("after the merge: %+v", v)
		}
	}
	if w := f.Warnings(m); len(w) != 1 || !strings.Contains(w[0], "2 boards") {
		t.Errorf("warnings: %q", w)
	}
	for _, c := range [][2]string{{"m1", "m1"}, {"m1", "m9"}, {"m9", "m1"}} {
		if err := f.Merge(c[0], c[1]); err == nil {
			t.Errorf("merge %v", c)
		}
	}
	f.Sight(sight(pcC, mac(3, 1)), day)
	edit(t, f, "m1", Change{Notes: ptr(strings.Repeat("x", 3000))})
	edit(t, f, "m3", Change{Notes: ptr(strings.Repeat("x", 3000))})
	if err := f.Merge("m3", "m1"); err == nil || f.Get("m3") == nil {
		t.Errorf("notes that are too long together: %v", err)
	}
}

func TestSplit(t *testing.T) {
	f := New(0, nil)
	one, two := sight(pcA, mac(1, 1)), sight(pcA, mac(1, 2))
	f.Sight(one, day)
	if v := f.Sight(two, day); v.Rule != Card {
		t.Fatal(v)
	}
	edit(t, f, "m1", Change{Name: ptr("lab-01")})
	id, err := f.Split("m1", two, day)
	if err != nil || id != "m2" {
		t.Fatal(id, err)
	}
	check(t, f)
	if f.Of(two.Node).ID != "m2" || f.Of(one.Node).ID != "m1" || f.Find("lab-01").ID != "m1" {
		t.Error("whose the nodes are")
	}
	// It lasts, although both say the same.
	for range 2 {
		for s, want := range map[*Sighting]string{&one: "m1", &two: "m2"} {
			if v := f.Sight(*s, day); v.Machine != want {
				t.Errorf("after the split: %+v, want %s", v, want)
			}
		}
	}
	for name, try := range map[string]func() error{
		"its last sighting": func() error { _, err := f.Split("m1", one, day); return err },
		"another's":         func() error { _, err := f.Split("m1", two, day); return err },
		"no machine":        func() error { _, err := f.Split("m9", two, day); return err },
	} {
		if err := try(); err == nil {
			t.Errorf("split of %s", name)
		}
	}
	// The board was changed, and it was not: what came second is another machine.
	f = New(0, nil)
	f.Sight(sight(pcA, mac(1, 1), mac(1, 2)), day)
	other := sight(pcB, mac(1, 1), mac(1, 2))
	if v := f.Sight(other, day); v.Rule != Rebuilt {
		t.Fatal(v)
	}
	if _, err := f.Split("m1", other, day); err != nil {
		t.Fatal(err)
	}
	if v := f.Sight(sight(pcA, mac(1, 1), mac(1, 2)), day); v.Machine != "m1" {
		t.Errorf("the first: %+v", v)
	}
	if v := f.Sight(other, day); v.Machine != "m2" {
		t.Errorf("the second: %+v", v)
	}
	check(t, f)
}

func TestEditRefuses(t *testing.T) {
	f := New(0, nil)
	f.Sight(sight(pcA, mac(1, 1)), day)
	f.Sight(sight(pcB, mac(2, 1)), day)
	edit(t, f, "m1", Change{Name: ptr("Lab-01")})
	many := map[string]*string{}
	for i := range 65 {
		many[fmt.Sprintf("l%d", i)] = ptr("x")
	}
	for name, c := range map[string]Change{
		"taken":             {Name: ptr("lab-01")},
		"an id":             {Name: ptr("m7")},
		"an id in capitals": {Name: ptr("M7")},
		"a MAC":             {Name: ptr("de-ad-be-ef-00-01")},
		"all":               {Name: ptr("ALL")},
		"a number":          {Name: ptr("30")},
		"a space":           {Name: ptr("lab 01")},
		"an escape":         {Name: ptr("lab\x1b[2J")},
		"too long":          {Name: ptr(strings.Repeat("x", 64))},
		"label":             {Labels: map[string]*string{"a b": ptr("x")}},
		"label value":       {Labels: map[string]*string{"a": ptr("x\ny")}},
		"blank before":      {Labels: map[string]*string{"a": ptr(" x")}},
		"blank behind":      {Labels: map[string]*string{"a": ptr("x\u00a0")}},
		"blank alone":       {Labels: map[string]*string{"a": ptr(" ")}},
		"many labels":       {Labels: many},
		"notes":             {Notes: ptr("a\x1b[2J")},
		"long notes":        {Notes: ptr(strings.Repeat("x", 4097))},
		"half of it":        {Name: ptr("fine"), Notes: ptr("\x00")},
	} {
		if err := f.Edit("m2", c); err == nil {
			t.Errorf("%s was taken", name)
		}
		if f.Get("m2").Entered() {
			t.Fatalf("%s was refused, and left %+v", name, f.Get("m2"))
		}
	}
	if err := f.Edit("m9", Change{}); err == nil {
		t.Error("edit of a machine that is not there")
	}
	edit(t, f, "m1", Change{Name: ptr("lab-01")}) // its own name
	edit(t, f, "m1", Change{Name: ptr("")})
	edit(t, f, "m2", Change{Name: ptr("lab-01"), Labels: map[string]*string{"a": ptr("")}})
	edit(t, f, "m2", Change{Labels: map[string]*string{"a": nil, "b": nil}})
	if m := f.Get("m2"); len(m.Labels) != 0 || m.Name != "lab-01" {
		t.Errorf("%+v", m)
	}
	check(t, f)
	if err := f.Remove("m2"); err != nil || f.Find("lab-01") != nil {
		t.Errorf("removed: %v", err)
	}
	if f.Remove("m2") == nil {
		t.Error("removed twice")
	}
	check(t, f)
}

// TestMadeUp: who makes up boards, on one NIC or on many, fills nothing for ever, and pushes out no machine that the
// operator entered something of.
func TestMadeUp(t *testing.T) {
	for name, c := range map[string]struct {
		nics, most int
	}{"one NIC": {1, maxShare}, "many": {64, maxLoose}} {
		t.Run(name, func(t *testing.T) {
			f := New(0, nil)
			f.Sight(sight(pcA, dock, mac(1, 1)), day)
			edit(t, f, "m1", Change{Name: ptr("lab-01")})
			for i := range 3 * maxLoose / 2 {
				nic := dock
				if n := i % c.nics; n > 0 {
					nic = mac(200, n)
				}
				f.Sight(sight(Board{fmt.Sprintf("4c4c4544-0000-2010-8020-1%011d", i), fmt.Sprintf("S%d", i)}, nic),
					day.Add(time.Duration(i)*time.Second))
			}
			if n := len(f.All()); n > c.most+c.nics+1 {
				t.Errorf("%d machines", n)
			}
			if f.Find("lab-01") == nil {
				t.Error("the operator's machine was pushed out")
			}
			check(t, f)
		})
	}
}

// TestRevert: what could not be stored was not done.
func TestRevert(t *testing.T) {
	f := New(0, nil)
	f.Sight(sight(pcA, mac(1, 1)), day)
	f.Sight(sight(pcB, mac(2, 1)), day)
	edit(t, f, "m1", Change{Name: ptr("one")})
	edit(t, f, "m2", Change{Name: ptr("two")})
	f.Settle()
	before := maps.Clone(f.machines)
	if err := f.Merge("m2", "m1"); err != nil {
		t.Fatal(err)
	}
	edit(t, f, "m1", Change{Name: ptr("two")})
	f.Sight(sight(pcC, mac(3, 1)), day)
	f.Revert()
	check(t, f)
	if !reflect.DeepEqual(f.machines, before) || len(f.Changes()) > 0 {
		t.Errorf("%v, was %v; changes %v", f.machines, before, f.Changes())
	}
}

func TestNumber(t *testing.T) {
	for id, want := range map[string]uint64{"m1": 1, "m20": 20, "m0": 0, "m": 0, "m01": 0, "M1": 0, "1": 0, "mx": 0,
		"m-1": 0, "m+1": 0} {
		if got := Number(id); got != want {
			t.Errorf("%s: %d, want %d", id, got, want)
		}
	}
}

// TestStored: what comes back from the store is the same fleet.
func TestStored(t *testing.T) {
	f := New(0, nil)
	f.Sight(sight(pcA, dock, mac(1, 1)), day)
	f.Sight(sight(pcB, dock, mac(2, 1)), day)
	f.Stub("52-54-00-00-02-01", mac(2, 1)) // nobody has booted from it
	f.Forget(strings.ReplaceAll(dock, ":", "-"), "")
	check(t, f)
	if got := f.Changes(); !slices.Equal(got, []string{"m1", "m2"}) {
		t.Errorf("changes: %v", got)
	}
	f.Settle()
	if got := f.Changes(); len(got) > 0 {
		t.Errorf("changes: %v", got)
	}
	f.Sight(sight(pcC, mac(3, 1)), day)
	f.Forget("52-54-00-00-03-01", mac(3, 1))
	f.Stub("stub", mac(3, 1))
	if m := f.Of("stub"); m != nil {
		t.Errorf("a stub of a machine that is gone: %+v", m)
	}
	id := f.Sight(sight(pcC, mac(3, 1)), day).Machine
	edit(t, f, id, Change{Name: ptr("c")})
	f.Forget("52-54-00-00-03-01", mac(3, 1))
	f.Stub("52-54-00-00-03-01", mac(3, 1))
	if m := f.Of("52-54-00-00-03-01"); m == nil || m.ID != id || m.Title() != "c" {
		t.Errorf("a stub: %+v", m)
	}
	check(t, f)
}

// TestLabelsHaveOneForm: what looks the same is the same, however its accents were typed and whenever it was stored.
func TestLabelsHaveOneForm(t *testing.T) {
	const composed, apart = "caf\u00e9", "cafe\u0301"
	f := New(0, []*Machine{{ID: "m1", Labels: map[string]string{"room": apart}}, {ID: "m2"}})
	edit(t, f, "m2", Change{Labels: map[string]*string{"room": ptr(apart)}})
	for _, id := range []string{"m1", "m2"} {
		if got := f.Get(id).Labels["room"]; got != composed {
			t.Errorf("%s: %+q, want %+q", id, got, composed)
		}
	}
	was := f.Get("m2").Revision
	if edit(t, f, "m2", Change{Labels: map[string]*string{"room": ptr(composed)}}); f.Get("m2").Revision != was {
		t.Error("the same label, typed otherwise, is a change")
	}
}
