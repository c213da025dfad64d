package cmd

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
)

// TestCut imports a file that ends before its own partition table does: refused with the way out, and with --cut stored
// as one piece and marked for good.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk")
	b := make([]byte, 2<<20)
	imagetest.Fill(b[512:], 1)
	entry := b[446:]
	entry[4] = 0x83
	binary.LittleEndian.PutUint32(entry[8:], 2048)
	binary.LittleEndian.PutUint32(entry[12:], 4096)
	copy(b[510:], "\x55\xaa")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	image := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := Run(t.Context(), append([]string{"image", "--state", dir}, args...), strings.NewReader(""), &out,
			io.Discard)
		return out.String(), err
	}
	for _, args := range [][]string{{"capture", path, "x"}, {"import", path, "--name", "x"}} {
		_, err := image(args...)
		if err == nil || !strings.Contains(err.Error(), "1048576 bytes are missing at its end") ||
			!strings.Contains(err.Error(), "--cut") {
			t.Errorf("%s: error %v", args[0], err)
		}
		if out, err := image(append(args, "--cut")...); err != nil || !strings.Contains(out, "a part of a disk") ||
			!strings.Contains(out, "captured whole") {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
	if out, err := image("show", "x"); err != nil || !strings.Contains(out, "captured whole") {
		t.Errorf("%v\n%s", err, out)
	}
}
