package engine_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// hostile is what an operator's terminal must never get: a cleared screen, a row of its own, text that runs backwards.
const hostile = "x\x1b[2J\n52-54-00-00-00-99  agent\u202e\u0007"

// fill puts s into every string below v, so that a new field of the inventory is in the test by itself.
func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), s)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), s)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			fill(v.Index(i), s)
		}
	}
}

func printed(t *testing.T, doc any) {
	t.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var all any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case string:
			if strings.ContainsFunc(v,
				func(r rune) bool { return r != unicode.ReplacementChar && !unicode.IsPrint(r) }) {
				t.Errorf("%q can be printed", v)
			}
		case []any:
			for _, x := range v {
				look(x)
			}
		case map[string]any:
			for k, x := range v {
				look(k)
				look(x)
			}
		}
	}
	look(all)
}

func TestHostileHello(t *testing.T) {
	h := newHouse(t)
	var inv session.Inventory
	fill(reflect.ValueOf(&inv).Elem(), hostile)
	inv.NICs[0].MAC, inv.NICs[0].Boot = "52:54:00:00:00:77", true
	hello := &session.Hello{V: session.Version, Boot: "b", Agent: "1", Inventory: inv}
	r, err := h.e.Hello(t.Context(), hello, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	h.e.Saw("52:54:00:00:00:77", netip.Addr{}, "script", "fetched "+hostile)
	h.e.Problem("52:54:00:00:00:77", netip.Addr{}, "asked for "+hostile)
	err = h.e.Events(t.Context(), r.Node, &session.Events{V: session.Version, Boot: "b", Events: []session.Event{
		{Seq: 1, Step: hostile, Level: hostile, Message: hostile}}})
	if err != nil {
		t.Fatal(err)
	}
	h.restart() // also what is stored
	n, err := h.e.Node(r.Node)
	if err != nil || n.Inventory.Product == "" {
		t.Fatal(n, err)
	}
	printed(t, n)
	log, err := h.e.Log(t.Context(), r.Node, 100, true)
	if err != nil || len(log) < 3 {
		t.Fatalf("%d lines, %v", len(log), err)
	}
	printed(t, log)
	for _, bad := range []*session.Hello{
		{V: session.Version, Boot: hostile, Agent: "1", Inventory: inv},
		{V: session.Version, Boot: "b", Agent: hostile, Inventory: inv},
	} {
		if _, err := h.e.Hello(t.Context(), bad, netip.Addr{}); err == nil {
			t.Errorf("taken: %q, %q", bad.Boot, bad.Agent)
		}
	}
}

// TestLabelOfAnother: a receiver of the cast that calls itself like a node is shown by that name at that node's address
// only.
func TestLabelOfAnother(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	a.powerOn()
	n, err := h.e.Node(a.id)
	if err != nil {
		t.Fatal(err)
	}
	h.casts.Receivers = []doc.Receiver{{Node: a.id, Addr: n.Addr}, {Node: a.id, Addr: "10.0.0.66"},
		{Node: "unknown", Addr: n.Addr}}
	if err := h.casts.Wait(t.Context(), func(r map[uint32]session.Cast) bool { return len(r) == 1 }); err != nil {
		t.Fatal(err)
	}
	v, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{a.id, `10.0.0.66, which says that it is "` + a.id + `"`, n.Addr +
		`, which says that it is "unknown"`} {
		if got := v.Cast.Stats.Receivers[i].Node; got != want {
			t.Errorf("receiver %d is shown as %q, want %q", i, got, want)
		}
	}
}
