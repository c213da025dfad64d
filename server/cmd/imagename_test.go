package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
)

// TestNameMoves imports two disks under one name: the second time it says which image lost it; that image is still
// there. The same disk again moves nothing.
func TestNameMoves(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (out, said string) {
		t.Helper()
		var o, e bytes.Buffer
		if err := Run(t.Context(), append([]string{"image", "--state", dir}, args...), strings.NewReader(""), &o,
			&e); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return o.String(), e.String()
	}
	var first string
	for i, want := range []bool{false, false, true} {
		path := filepath.Join(dir, "disk")
		b := make([]byte, 1<<20)
		imagetest.Fill(b, uint64(max(1, i)))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, said := run("import", path, "--name", "debian")
		if i == 0 {
			first = short(strings.Fields(out)[1])
		}
		if moved := strings.Contains(said, "was moved from the image "+first); moved != want {
			t.Errorf("import %d said %q", i, said)
		}
	}
	if out, _ := run("show", first); !strings.Contains(out, first) {
		t.Errorf("the image before is shown as %q", out)
	}
	if _, said := run("tag", first, "debian"); !strings.Contains(said, "the name debian was moved from") {
		t.Errorf("tag said %q", said)
	}
}
