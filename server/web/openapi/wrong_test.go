package openapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// FuzzWrong: whatever a document is, what is said of it names fields and repeats nothing of what they hold.
func FuzzWrong(f *testing.F) {
	for _, s := range []string{`{"v":1,"nods":["x"]}`, `[]`, `null`, `{"target":{"a.b[0]":{}}}`,
		`{"nodes":[[],{},1,"x"]}`,
		`{"personalize":{"x":[{"y":null}]}}`, strings.Repeat(`{"target":`, 50) + "1" + strings.Repeat("}", 50)} {
		f.Add(s)
	}
	const secret = "hunter2hunter2"
	f.Fuzz(func(t *testing.T, text string) {
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			return
		}
		for _, w := range Wrong(doc.Spec{}, map[string]any{"notes": secret, "count": secret, "given": v}) {
			if w.Words == "" || strings.Contains(w.Words, secret) || strings.Contains(w.Field, secret) {
				t.Errorf("%s: %+v", text, w)
			}
		}
		for _, w := range Wrong(doc.Spec{}, v) {
			if w.Words == "" {
				t.Errorf("%s: %+v", text, w)
			}
		}
	})
}
