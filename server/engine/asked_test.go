package engine_test

import (
	"encoding/json"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// TestMadeIsFoundAfterARestart: what was made for a key is found by it as long as it is there, by an engine that was
// started anew too.
func TestMadeIsFoundAfterARestart(t *testing.T) {
	h := newHouse(t)
	asked := func(key string) engine.Asked { return engine.Asked{Key: key, Body: "sum of " + key} }
	s, err := h.e.Create(engine.WithAsked(t.Context(), asked("k1")), doc.Spec{V: 1, Image: "debian", All: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := h.e.CreateRepeat(engine.WithAsked(t.Context(), asked("k2")), doc.RepeatSpec{V: 1, Every: "0 3 * * *",
		Spec: json.RawMessage(`{"v":1,"image":"debian","all":true}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", All: true}); err != nil {
		t.Fatal(err)
	}
	find := func(when string) {
		t.Helper()
		for key, want := range map[string]string{"k1": "/v1/sessions/" + s.ID, "k2": "/v1/repeats/" + r.ID, "k": "",
			"": ""} {
			path, body, ok := h.e.Made(key)
			if path != want || ok != (want != "") || ok && body != "sum of "+key {
				t.Errorf("%s, for %q: %q, %q, %v; want %q", when, key, path, body, ok, want)
			}
		}
	}
	find("before")
	h.restart()
	find("after")
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	h.restart()
	find("over")
}
