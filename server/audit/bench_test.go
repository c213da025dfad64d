package audit

import (
	"path/filepath"
	"testing"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// BenchmarkChange is what the record adds to a change: two entries, each durable before the next step.
func BenchmarkChange(b *testing.B) {
	db, err := store.OpenBolt(filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	l, err := New(b.Context(), db, key)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n, err := l.Asked(b.Context(), doc.AuditEntry{Who: "ada", Request: "PATCH /v1/machines/{machine}"})
		if err == nil {
			err = l.Done(b.Context(), n, doc.AuditEntry{Status: 200})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
