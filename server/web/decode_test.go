package web

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// TestExactDocuments: what one reader takes otherwise than another is refused.
func TestExactDocuments(t *testing.T) {
	for text, want := range map[string]string{
		`{"v":1,"image":"debian","on":"*"}`:                             "",
		`{"v":1,"image":"debian","image":"other"}`:                      "image: given twice",
		`{"V":1,"image":"debian"}`:                                      "V: unknown field",
		`{"v":1,"IMAGE":"debian"}`:                                      "IMAGE: unknown field",
		`{"v":1,"image":"x","Image":"y"}`:                               "Image: unknown field",
		`{"v":1,"image":"debian","target":{"serial":"a","serial":"b"}}`: "serial: given twice",
		`{"v":1,"image":"debian","target":{"Serial":"a"}}`:              "target.Serial: unknown field",
		"{\"v\":1,\"image\":\"debian\",\"mac_addre\u017f\u017f\":1}":    "unknown field",
		`{"v":1,"image":"debian","nodes":["a","a"]}`:                    "",
		`{"v":1,"image":"debian"}{"v":1}`:                               "data after its end",
	} {
		var spec doc.Spec
		err := decodeJSON(strings.NewReader(text), &spec)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	var change doc.MachineChange
	if err := decodeJSON(strings.NewReader(`{"v":1,"labels":{"Room":"210","room":"211"}}`), &change); err != nil {
		t.Errorf("names of labels are the operator's: %v", err)
	}
}

// FuzzDecode: what is taken is the same to a reader to whom letters' case matters and the first of two counts.
func FuzzDecode(f *testing.F) {
	f.Add(`{"v":1,"image":"debian","target":{"serial":"a"},"nodes":["a"]}`)
	f.Add(`{"v":1,"v":2}`)
	f.Add(`{"V":1,"target":{"ſize":[]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var spec doc.Spec
		if decodeJSON(strings.NewReader(text), &spec) != nil {
			return
		}
		var raw map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &raw); err != nil {
			t.Fatalf("%q is taken: %v", text, err)
		}
		for key := range raw {
			if strings.ToLower(key) != key {
				t.Errorf("%q is taken with %q", text, key)
			}
		}
	})
}
