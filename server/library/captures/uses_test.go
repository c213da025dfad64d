package captures_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/library/captures"
)

// TestUses: as long as the store's space cannot be freed, it is said for what.
func TestUses(t *testing.T) {
	st, err := image.OpenStore(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	caps := captures.New(st, nil)
	defer caps.Close()
	want := func(busy bool, words ...string) {
		t.Helper()
		got := caps.Uses()
		if len(got) != len(words) {
			t.Fatalf("%q, want %q", got, words)
		}
		for i, w := range words {
			if !strings.Contains(got[i], w) {
				t.Errorf("%q, want %q", got[i], w)
			}
		}
		if _, err := st.GC(t.Context(), image.GCOptions{}); errors.Is(err, image.ErrBusy) != busy {
			t.Errorf("gc: %v", err)
		}
	}
	want(false)
	for id, session := range map[string]string{"c1": "s3", "import-1": engine.ImportSession} {
		u := &engine.Upload{Upload: upload(id), Session: session}
		if _, err := caps.Has(u, 1<<20, [32]byte{1}, 4096); err != nil {
			t.Fatal(err)
		}
	}
	want(true, "an import of golden", "session s3 of this server captures golden")
	caps.Rest("import-1")
	want(true, "session s3")
	caps.End("c1")
	want(false)
}

func upload(id string) session.Upload {
	return session.Upload{ID: id, Name: "golden", Level: image.Fast, Grid: image.GridFor(1 << 20)}
}
