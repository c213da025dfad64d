package labfile

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// TestWrittenComesBack: what is written of a lab is read as it was, words that YAML has a meaning for too, and no field
// of rules, menus and machines is forgotten.
func TestWrittenComesBack(t *testing.T) {
	odd := "a: yes\n# b\r\n\t\"~ 'ü"
	no := false
	rule := doc.Rule{Name: "r", Vendor: "yes", Product: "~", Serial: "012", MACs: []string{"52:54:00"},
		Nets: []string{"10.0.0.0/8"}, Port: "*", Relay: "*/sw1/*", All: true, WhenIdle: "never"}
	menu := doc.Menu{Name: "m", Entries: []string{"own-disk", "image=x"}, Timeout: 20, Default: "own-disk"}
	stamps := map[string]bool{"Revision": true, "Owner": true, "Changed": true}
	for _, v := range []any{rule, menu} {
		for i := range reflect.TypeOf(v).NumField() {
			if name := reflect.TypeOf(v).Field(i).Name; reflect.ValueOf(v).Field(i).IsZero() && !stamps[name] {
				t.Errorf("%T: %s is not tried", v, name)
			}
		}
	}
	lab := &doc.Lab{Groups: []doc.Group{{Name: "g", Select: "room=210,!spare"}}, Rules: []doc.Rule{rule},
		Menus: []doc.Menu{menu}, Profiles: []doc.Profile{{Name: "p", Spec: json.RawMessage(`{"give_up":1.5,` +
			`"image":"123","more_disks":[{"image":"x","target":{}}],"mode":` + string(quote(t, odd)) +
			`,"priority":-1,"rate":900000000000,"verify":false}`)}}}
	ms := []doc.Machine{{ID: "m1", Name: "210", Labels: map[string]string{"a": "", "b": "no", "c": odd}, Notes: odd,
		Profile: "p", ByHand: &no, WhenIdle: "wait", Boots: []string{"52:54:00:00:00:01"},
		Boards: []doc.Board{{UUID: "u0"}, {UUID: "u", Serial: "1e3"}}}, {ID: "m2", Declared: true}, {ID: "m3"}}
	var b bytes.Buffer
	if err := WriteYAML(&b, lab, ms); err != nil {
		t.Fatal(err)
	}
	text, err := JSON(lab, ms)
	if err != nil || !json.Valid(text) {
		t.Fatalf("%v\n%s", err, text)
	}
	want := doc.LabChange{Groups: lab.Groups, Rules: lab.Rules, Menus: lab.Menus, Profiles: lab.Profiles,
		Machines: []doc.MachineEntry{{Name: "210", MACs: ms[0].Boots, UUID: "u", Serial: "1e3", Notes: &odd,
			Labels:  map[string]*string{"a": ptr(""), "b": ptr("no"), "c": &odd},
			Profile: ptr("p"), Approved: &no, WhenIdle: ptr("wait")}, {ID: "m2"}}}
	for _, written := range [][]byte{b.Bytes(), text} {
		r := New(disk)
		if err := r.YAML("f", written); err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if got, want := string(quote(t, r.Change)), string(quote(t, want)); !same(t, got, want) {
			t.Errorf("got  %s\nwant %s\nof\n%s", got, want, written)
		}
	}
}

func ptr(s string) *string { return &s }

func quote(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same reports whether two texts are the same JSON.
func same(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
