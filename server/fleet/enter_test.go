package fleet

import (
	"strings"
	"testing"
)

func enter(t *testing.T, f *Fleet, e Entry) (string, []string) {
	t.Helper()
	id, _, words, err := f.Enter(e, day)
	if err != nil {
		t.Fatal(err)
	}
	return id, words
}

// TestEnter: an entry is of the machine that it fits, whatever it knows it by, and a second time it changes nothing.
func TestEnter(t *testing.T) {
	f := New(0, nil)
	a := sight(pcA, mac(1, 1))
	f.Sight(a, day)
	for _, e := range []Entry{
		{Name: "lab-01", MACs: []string{mac(1, 1)}, Labels: map[string]*string{"room": ptr("210")}},
		{Name: "lab-02", MACs: []string{mac(2, 1), mac(2, 2)}, Notes: ptr("new")},
		{Name: "lab-03", Board: Board{UUID: pcB.UUID}, Profile: ptr("lab")},
		{ID: "m1", Board: pcA, Labels: map[string]*string{"room": nil, "row": ptr("1")}},
		{Name: "LAB-02", MACs: []string{mac(2, 3)}},
	} {
		id, words := enter(t, f, e)
		if len(words) == 0 {
			t.Errorf("%+v changes nothing", e)
		}
		rev := f.Get(id).Revision
		if again, words := enter(t, f, e); again != id || len(words) > 0 || f.Get(id).Revision != rev {
			t.Errorf("%+v a second time: %s, %q, revision %d after %d", e, again, words, f.Get(id).Revision, rev)
		}
		check(t, f)
	}
	if n := len(f.All()); n != 3 {
		t.Errorf("%d machines", n)
	}
	if m := f.Get("m1"); m.Name != "lab-01" || m.Labels["row"] != "1" || len(m.Labels) != 1 || m.Declared {
		t.Errorf("%+v", m)
	}
	// They come: by their NIC, and by the UUID that was entered.
	f.Sight(sight(Board{}, mac(2, 2)), day)
	f.Sight(sight(pcB, mac(3, 1)), day)
	if m := f.Find("lab-02"); len(m.Nodes) != 1 || !m.Declared {
		t.Errorf("%+v", m)
	}
	if m := f.Find("lab-03"); len(m.Nodes) != 1 || len(m.Boots) != 1 || m.Boards[0] != pcB {
		t.Errorf("%+v", m)
	}
	for want, e := range map[string]Entry{
		"they are two machines":       {Name: "lab-01", MACs: []string{mac(2, 1)}},
		"there is no machine with":    {ID: "m99"},
		"no such machine":             {Name: "lab-09"},
		"has UUID":                    {ID: "m1", Board: pcB},
		"NICs to boot from":           {ID: "m1", MACs: many(20)},
		"is at revision":              {ID: "m1", Revision: 99},
		"removed meanwhile":           {MACs: []string{mac(9, 9)}, Revision: 1},
		"already":                     {ID: "m1", Name: "lab-02", MACs: nil},
		"could be a machine's id":     {ID: "m1", Name: "m7"},
		"a label has letters, digits": {ID: "m1", Labels: map[string]*string{"9": ptr("")}},
	} {
		_, _, _, err := f.Enter(e, day)
		if want == "already" { // a name of another is another machine
			want = "they are two machines"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", e, err, want)
		}
		f.Settle()
	}
}

func many(n int) (out []string) {
	for i := range n {
		out = append(out, mac(7, i))
	}
	return out
}

// TestApprovalIsOfWhatWasKnown: what a sighting says against it is not approved, and no sighting changes that.
func TestApprovalIsOfWhatWasKnown(t *testing.T) {
	f := New(0, nil)
	f.Sight(sight(pcA, mac(1, 1), mac(1, 2)), day)
	m := func(id string) *Machine { return f.Get(id) }
	if w := m("m1").Unapproved(mac(1, 1), pcA); w != "it was not approved" {
		t.Errorf("%q", w)
	}
	if err := f.Approve("m1", day); err != nil {
		t.Fatal(err)
	}
	cases := func(id string, want map[bool][]Sighting) {
		t.Helper()
		for ok, list := range want {
			for _, s := range list {
				if w := m(id).Unapproved(s.Boot, s.Board); (w == "") != ok {
					t.Errorf("%s by %s with %s: %q, want approved %v", id, s.Boot, s.Board, w, ok)
				}
			}
		}
	}
	want := map[bool][]Sighting{
		true: {sight(pcA, mac(1, 1)), sight(pcA, mac(5, 1))},
		false: {sight(pcB, mac(1, 1)), sight(Board{}, mac(1, 1)), sight(Board{UUID: pcA.UUID}, mac(1, 1)),
			sight(Board{}, mac(5, 1)), sight(Board{UUID: pcA.UUID, Serial: "x"}, mac(1, 1))},
	}
	cases("m1", want)
	for _, s := range want[false] {
		f.Sight(s, day)
	}
	cases("m1", want)

	// What was entered before it came: the board that it comes with first is the one.
	id, _ := enter(t, f, Entry{Name: "lab-07", MACs: []string{mac(7, 7)}, Approved: new(bool)})
	if w := m(id).Unapproved(mac(7, 7), pcB); w != "its approval was taken away" {
		t.Errorf("%q", w)
	}
	if err := f.Approve(id, day); err != nil {
		t.Fatal(err)
	}
	board := Board{UUID: "4c4c4544-0000-2010-8020-00000000000c", Serial: "SN-C"}
	f.Sight(sight(board, mac(7, 7)), day)
	cases(id, map[bool][]Sighting{true: {sight(board, mac(7, 7))},
		false: {sight(Board{}, mac(7, 7)), sight(pcA, mac(7, 7))}})
	if err := f.Revoke(id); err != nil {
		t.Fatal(err)
	}
	cases(id, map[bool][]Sighting{false: {sight(board, mac(7, 7))}})
	check(t, f)
}
