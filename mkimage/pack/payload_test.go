package pack

import (
	"archive/tar"
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/sassoftware/go-rpmutils"

	"github.com/diskcast/diskcast/mkimage/pack/packtest"
)

// FuzzPayload has RPMs whose payload is read whatever the digests say.
func FuzzPayload(f *testing.F) {
	if _, err := exec.LookPath("rpmbuild"); err == nil {
		f.Add(packtest.RPM(f, "x", "w.ufdio", nil, packtest.File{Name: "lib/a.ko", Text: "module"},
			packtest.File{Name: "lib/b.ko", Hard: "lib/a.ko"}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := checkHeaders(bytes.NewReader(data)); err != nil {
			return
		}
		defer func() { _ = recover() }() // of the library, as in readRPM
		rpm, err := rpmutils.ReadRpm(bytes.NewReader(data))
		if err != nil {
			return
		}
		_ = readPayload(rpm, func(h *tar.Header, r io.Reader) error {
			if strings.HasPrefix(h.Name, "/") || strings.HasPrefix(h.Name, "../") {
				t.Errorf("name %q", h.Name)
			}
			// A small package may hold a large file: not more than this is read of it here.
			_, err := io.CopyN(io.Discard, r, min(h.Size, 1<<20))
			return err
		})
	})
}
