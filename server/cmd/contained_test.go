package cmd

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestContained captures a device with the bytes of a qcow2 and of a VMDK on it: the image has all of them, and a note
// with the way to the disk inside.
func TestContained(t *testing.T) {
	for name, magic := range map[string]string{"qcow2": "QFI\xfb\x00\x00\x00\x03", "VMDK": "KDMV\x01\x00\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "disk")
			b := make([]byte, 4<<20)
			imagetest.Fill(b, 1)
			copy(b, magic)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			device, _ := volumetest.Loop(t, path, 512)
			image := func(args ...string) string {
				t.Helper()
				var out bytes.Buffer
				if err := Run(t.Context(), append([]string{"image", "--state", dir}, args...), strings.NewReader(""),
					&out, io.Discard); err != nil {
					t.Fatal(err)
				}
				return out.String()
			}
			for _, args := range [][]string{{"capture", device, "x"}, {"show", "x"}, {"import", device, "--name", "y"},
				{"show", "y", "--json"}} {
				if out := image(args...); !strings.Contains(out, "the header of a file of the format "+name) ||
					!strings.Contains(out, "if you mean the disk that is in the file") {
					t.Errorf("%v: %s", args, out)
				}
			}
			image("restore", "x", filepath.Join(dir, "restored"))
			if got, err := os.ReadFile(filepath.Join(dir, "restored")); err != nil || !bytes.Equal(got, b) {
				t.Errorf("restored bytes differ: %v", err)
			}
		})
	}
}
