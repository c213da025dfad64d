package engine_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// TestProfileSecretsAtRest: the store has no secret of a profile, also of one that an earlier version stored; a server
// that starts again has them, and one with another key makes no session of them.
func TestProfileSecretsAtRest(t *testing.T) {
	const hash = "$6$saltsalt$0123456789abcdef"
	spec := json.RawMessage(`{"image":"debian","personalize":{"passwords":{"root":"` + hash + `"}}}`)
	h := newHouse(t)
	key, err := sealed.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.e.ChangeLab(t.Context(), doc.LabChange{V: 1, Profiles: []doc.Profile{{Name: "lab",
		Spec: spec}}}); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("a profile with a secret, without a key: %v", err)
	}
	if err := h.store.Update(t.Context(), func(tx store.WriteTx) error {
		return store.PutJSON(tx, record.ProfilePrefix+"old", record.OfProfile(doc.Profile{Name: "old", Spec: spec,
			Revision: 1}, nil))
	}); err != nil {
		t.Fatal(err)
	}
	h.seal = key
	h.restart()
	h.change(doc.LabChange{Profiles: []doc.Profile{{Name: "lab", Spec: spec}}})
	h.seal = key
	h.restart()
	if err := h.store.View(t.Context(), func(tx store.Tx) error {
		return tx.Walk(record.ProfilePrefix, func(key string, v []byte) error {
			if bytes.Contains(v, []byte(hash)) {
				t.Errorf("%s is stored with its secret: %s", key, v)
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "lab"} {
		got, err := h.e.Spec([]byte(`{"v":1,"count":1,"profile":"`+name+`"}`), &doc.Spec{Profile: name})
		if err != nil || !bytes.Contains(got.Personalize, []byte(hash)) {
			t.Errorf("%s after a restart: %s, %v", name, got.Personalize, err)
		}
	}
	other, err := sealed.New(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h.seal = other
	h.restart()
	if _, err := h.asked(`{"v":1,"count":1,"profile":"lab"}`); err == nil ||
		!strings.Contains(err.Error(), "stands where") {
		t.Errorf("a session with a secret that does not open: %v", err)
	}
}
