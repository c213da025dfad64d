package personal

import (
	"encoding/json"
	"strings"
	"testing"
)

var blob = strings.Repeat("QUJD", 40) + "QQ=="

func TestWindows(t *testing.T) {
	v := Values{Name: "pc-1", Node: "52-54-00-00-00-01", Session: "s1"}
	for raw, want := range map[string]string{
		`{"unattend":"<unattend xmlns=\"urn:schemas-microsoft-com:unattend\"><a>{{html .Name}}</a></unattend>"}`: "",
		`{"join":{"pc-1":"` + blob + `","pc-2":"` + blob + `"}}`:                                                 "",
		`{"join":{"pc-2":"` + blob +
			`"}}`: "nothing for machine pc-1",
		`{"join":{"pc-1":"x y"}}`:                                    "djoin",
		`{"unattend":"<a/>","join":{"pc-1":"` + blob + `"}}`:         "no {{.Join}}",
		`{"unattend":"<a/>"}`:                                        "outermost element",
		`{"unattend":"<unattend"}`:                                   "is not XML: line 1",
		`{"unattend":"<!DOCTYPE x [<!ENTITY a \"b\">]><unattend/>"}`: "DOCTYPE",
		`{"unattend":"(sealed)"}`:                                    "stands where something secret was",
		`{}`:                                                         "neither unattend nor join",
		`{"unattend":"` + strings.Repeat("<a>", 70) + `"}`:           "deep",
	} {
		s, err := Parse([]byte(`{"windows":` + raw + `}`))
		var d *Document
		if err == nil {
			d, err = s.Resolve(v)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
		if d == nil {
			continue
		}
		b, err := json.Marshal(d)
		if err != nil || d.Things.Windows.Join != nil || strings.Contains(raw, "join") &&
			strings.Count(string(b), blob) != 1 {
			t.Errorf("%s, %v", b, err)
		}
		if _, err := ParseDocument(b); err != nil {
			t.Error(err)
		}
		if shown, err := json.Marshal(s.Shown()); err != nil || strings.Contains(string(shown), blob) ||
			strings.Contains(string(shown), "<") {
			t.Errorf("%s is shown, %v", shown, err)
		}
	}
	if _, err := Parse([]byte(`{"hostname":"a","windows":{"unattend":"x"}}`)); err == nil ||
		!strings.Contains(err.Error(), "goes alone") {
		t.Error(err)
	}
}

// FuzzUnattend reads answer files that anybody wrote.
func FuzzUnattend(f *testing.F) {
	f.Add(strings.ReplaceAll(minimal, "{{.Join}}", blob))
	f.Fuzz(func(_ *testing.T, text string) { _ = checkUnattend(text) })
}
