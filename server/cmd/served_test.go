package cmd

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/store"
)

// TestServedStore takes no image away behind the back of a server that works with the store.
func TestServedStore(t *testing.T) {
	state := t.TempDir()
	run := func(args ...string) (int, string) {
		var said bytes.Buffer
		err := Run(t.Context(), append(args, "--state", state), strings.NewReader(""), io.Discard, &said)
		if err != nil {
			said.WriteString(err.Error())
		}
		return ExitCode(err), said.String()
	}
	db, err := store.OpenBolt(filepath.Join(state, store.File))
	if err != nil {
		t.Fatal(err)
	}
	refused := "a server works with store " + filepath.Join(state, "images")
	for _, args := range [][]string{{"image", "rm", "debian"}, {"image", "gc", "--unnamed"}} {
		if code, said := run(args...); code != exitFailed || !strings.Contains(said, refused) ||
			!strings.Contains(said, "--server") {
			t.Errorf("%v: %d, %s", args, code, said)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	alone := t.TempDir()
	for _, dir := range []string{alone, filepath.Join(state, "images")} {
		if _, err := image.OpenStore(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(state, link); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(link, "images") // the same directory by another name
	if code, said := run("image", "gc", "--unnamed", "--store", other); code != exitFailed ||
		!strings.Contains(said, "a server works with store "+other) {
		t.Errorf("by %s: %d, %s", other, code, said)
	}
	for _, args := range [][]string{{"image", "gc"}, {"image", "gc", "--unnamed", "--dry-run"},
		{"image", "gc", "--unnamed", "--store", alone}} {
		if code, said := run(args...); code != 0 {
			t.Errorf("%v: %d, %s", args, code, said)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if code, said := run("image", "gc", "--unnamed"); code != 0 {
		t.Errorf("%d, %s", code, said)
	}
}
