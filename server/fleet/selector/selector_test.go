package selector

import (
	"fmt"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/fleet"
)

func lab() Scope {
	m := func(id, name, mac string, labels ...string) *fleet.Machine {
		x := &fleet.Machine{ID: id, Name: name, Boots: []string{mac}, Labels: map[string]string{}}
		for _, l := range labels {
			k, v, _ := strings.Cut(l, "=")
			x.Labels[k] = v
		}
		return x
	}
	return Scope{Machines: []*fleet.Machine{
		m("m1", "rack1-01", "52:54:00:00:00:01", "room=210", "row=1"),
		m("m2", "rack1-02", "52:54:00:00:00:02", "room=210", "row=2", "spare"),
		m("m3", "rack2-01", "52:54:00:00:00:03", "room=211", "path=a/b"),
		m("m4", "", "52:54:00:00:00:04"),
		m("m5", "dock", "52:54:00:00:00:04", "room=300"),
		m("m6", "row-end", "52:54:00:00:00:06", "both"),
		m("m7", "both", "52:54:00:00:00:07"),
	}, Groups: map[string]string{"front": "row=1", "hall": "@front room=211", "loop": "@ring", "ring": "@loop",
		"gone": "room=999", "broken": "@nowhere"}}
}

func ids(ms []*fleet.Machine) string {
	var out []string
	for _, m := range ms {
		out = append(out, m.ID)
	}
	return strings.Join(out, " ")
}

func TestPick(t *testing.T) {
	for in, want := range map[string]string{
		"rack1-*":                "m1 m2",
		"RACK1-0?":               "m1 m2",
		"rack1-01":               "m1",
		"m4":                     "m4",
		"M4":                     "m4",
		"m*":                     "m4",
		"*":                      "m1 m2 m3 m4 m5 m6 m7",
		"room=210,!spare":        "m1",
		"room=210,spare":         "m2",
		"room=21*":               "m1 m2 m3",
		"room!=210":              "m3 m4 m5 m6 m7",
		"!room=210":              "m3 m4 m5 m6 m7",
		"!room!=210":             "m1 m2",
		"path=a/b":               "m3",
		"path=a*":                "m3",
		"room=*,!rack*":          "m5",
		"!decommissioned,row":    "m1 m2",
		"both=*":                 "m6",
		"@front":                 "m1",
		"@hall":                  "m1 m3",
		"room=210,!@front":       "m2",
		"@gone m4":               "", // a group that fits nothing is told
		"rack2-01 rack1-01":      "m1 m3",
		"52:54:00:00:00:03":      "m3",
		"52-54-00-00-00-03,!cab": "m3",
		"rack[12]-01":            "m1 m3",
	} {
		s, err := Parse(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		got, err := s.Pick(lab())
		if want == "" {
			if err == nil {
				t.Errorf("%s picks %s, and should be refused", in, ids(got))
			}
			continue
		}
		if err != nil || ids(got) != want {
			t.Errorf("%s picks %q, %v; want %q", in, ids(got), err, want)
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%s is written as %q, which is %v, %v", in, s, again, err)
		}
	}
}

// TestFits holds somebody to a selector: it fits what Pick does, and what Pick refuses fits nothing, or what is left.
func TestFits(t *testing.T) {
	sc := lab()
	sc.Seen = func(m *fleet.Machine) map[string]string {
		return map[string]string{"port": "sw1/" + strings.TrimPrefix(m.ID, "m")}
	}
	for in, want := range map[string]string{
		"room=210":           "m1 m2",
		"room=210,!spare":    "m1",
		"*":                  "m1 m2 m3 m4 m5 m6 m7",
		"@front":             "m1",
		"@hall":              "m1 m3",
		"port=sw1/3":         "m3",
		"room=999":           "",
		"nobody":             "",
		"nobody room=211":    "m3",
		"@gone":              "",
		"@nowhere":           "",
		"!@nowhere":          "", // it may be anybody who is kept out by it
		"room=210,!@broken":  "",
		"!@loop":             "",
		"!@broken room=211":  "m3",
		"52:54:00:00:00:04":  "m4 m5",
		"52:54:00:00:00:99":  "",
		"both":               "m6 m7",
		"room=210,!decommed": "m1 m2",
	} {
		s, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		fits := s.Fits(sc.Groups, sc.Seen)
		var got []*fleet.Machine
		for _, m := range sc.Machines {
			if fits(m) {
				got = append(got, m)
			}
		}
		if ids(got) != want || fits(nil) {
			t.Errorf("%s fits %q, want %q", in, ids(got), want)
		}
		if picked, err := s.Pick(sc); err == nil && ids(picked) != want {
			t.Errorf("%s picks %q and fits %q", in, ids(picked), ids(got))
		}
	}
}

func TestRefused(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "empty",
		"  ":                           "empty",
		"room=210,":                    "a condition is empty",
		"!":                            "a condition is empty",
		"=x":                           `label ""`,
		"9a=x":                         `label "9a"`,
		"@":                            "a group's name",
		"@a/b":                         "a group's name",
		"rack[1":                       "a [ has no ]",
		"room=[1":                      "a [ has no ]",
		"52:54:00":                     "is not a MAC address",
		"a;b":                          "is neither a name",
		"rom=210":                      `no machine has the label "rom": did you mean room or row?`,
		"room=201":                     "no machine has room=201: did you mean room=210?",
		"room=xyzzy":                   "its values are 210, 211, 300",
		"!spar":                        "did you mean spare?",
		"room=210,spar!=1":             "did you mean spare?",
		"rack1-03":                     "did you mean rack1-01, rack1-02 or rack2-01?",
		"rack3-*":                      "no machine's name fits",
		"both":                         "is the name of a machine and a label: write m7",
		"@frnt":                        "there is no group @frnt: did you mean @front?",
		"@loop":                        "is made of itself: @loop, then @ring, then @loop",
		"@broken":                      "there is no group @nowhere",
		"52:54:00:00:00:04":            "is shared by the machines m4, dock",
		"52:54:00:00:00:30":            "did you mean 52:54:00:00:00:03",
		"room=211,spare":               "each part of it fits some",
		"rack1-01 rack9-*":             "no machine's name fits",
		"a\x1b":                        "cannot be printed",
		strings.Repeat("a,", 40) + "a": "more than 32 conditions",
		strings.Repeat("a ", 5000):     "more than 4096 words",
		strings.Repeat("a", 70000):     "longer than",
	} {
		s, err := Parse(in)
		if err == nil {
			_, err = s.Pick(lab())
		}
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "mean front", "mean @front"), want) {
			t.Errorf("%.40q: %v; want %q", in, err, want)
		}
	}
	s, _ := Parse("*")
	if _, err := s.Pick(Scope{}); err == nil || !strings.Contains(err.Error(), "there is no machine yet") {
		t.Errorf("of no machines: %v", err)
	}
	deep := Scope{Groups: map[string]string{}}
	for i := range 20 {
		deep.Groups[fmt.Sprint("g", i)] = fmt.Sprint("@g", i+1)
	}
	s, _ = Parse("@g0")
	if _, err := s.Pick(deep); err == nil || !strings.Contains(err.Error(), "deeper than 8") {
		t.Errorf("deep groups: %v", err)
	}
}

// FuzzParse: what is read has one form, and what is picked is of the scope and fits some term, in bounded time.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"rack1-*", "room=210,!spare", "@front", "52:54:00:00:00:01 m4", "!room!=2*", "[a-",
		"a=\\", "!@hall,row", "both"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := Parse(in)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is written as %q, which is read as %q, %v", in, s, again, err)
		}
		sc := lab()
		got, err := s.Pick(sc)
		twice, err2 := again.Pick(sc)
		if (err == nil) != (err2 == nil) || ids(got) != ids(twice) {
			t.Fatalf("%q picks %s, %v; as %q %s, %v", in, ids(got), err, s, ids(twice), err2)
		}
		if err == nil && len(got) == 0 {
			t.Fatalf("%q picks nothing and says nothing", in)
		}
	})
}

// TestOneForm: a selector means a label however its accents are typed.
func TestOneForm(t *testing.T) {
	m := &fleet.Machine{ID: "m1", Labels: map[string]string{"room": "caf\u00e9"}}
	for _, text := range []string{"room=caf\u00e9", "room=cafe\u0301"} {
		s, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Fits(nil, nil)(m) {
			t.Errorf("%+q does not fit %v", text, m.Labels)
		}
	}
}
