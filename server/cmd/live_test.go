package cmd

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
)

// TestLive captures a file that a process has open for writing: refused with the way out, and with --live taken and
// marked for good.
func TestLive(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk")
	b := make([]byte, 1<<20)
	imagetest.Fill(b, 1)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	image := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := Run(t.Context(), append([]string{"image", "--state", dir}, args...), strings.NewReader(""), &out,
			io.Discard)
		return out.String(), err
	}
	for _, args := range [][]string{{"capture", path, "x"}, {"import", path, "--name", "x"}} {
		_, err = image(args...)
		if err == nil || !strings.Contains(err.Error(), "open for writing") ||
			!strings.Contains(err.Error(), "--live") {
			t.Errorf("%s: error %v", args[0], err)
		}
		for _, c := range [][]string{append(args, "--live"), {"show", "x"}} {
			if out, err := image(c...); err != nil || !strings.Contains(out, "in use while it was copied") {
				t.Errorf("%v: %v\n%s", c, err, out)
			}
		}
	}
	w.Close()
	if out, err := image("capture", path, "y"); err != nil || strings.Contains(out, "in use") {
		t.Errorf("%v\n%s", err, out)
	}
}
