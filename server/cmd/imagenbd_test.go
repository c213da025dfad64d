package cmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestImageNBD has qemu-img compare what is served of an image, of a store here and of a server, with what was exported
// of it; an image that is damaged is told of at the end, with the exit code for that.
func TestImageNBD(t *testing.T) {
	need.Tool(t, "qemu-img")
	s := newShop(t)
	s.stock("debian", 2)
	dir, err := os.MkdirTemp("", "nbd-") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	raw := filepath.Join(dir, "disk.raw")
	if code, out, said := s.run(append([]string{"image", "export", "debian", raw, "--format", "raw"},
		s.here()...)...); code != 0 {
		t.Fatal(code, out, said)
	}
	socket := filepath.Join(dir, "sock")
	compare := func(where []string) (string, int, string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out, to := io.Pipe()
		var said bytes.Buffer
		ended := make(chan error, 1)
		go func() {
			args := append([]string{"image", "nbd", "debian", socket}, where...)
			err := Run(ctx, args, strings.NewReader(""), to, &said)
			to.Close()
			ended <- err
		}()
		line := make([]byte, 200)
		if _, err := out.Read(line); err != nil {
			t.Fatal(<-ended, said.String())
		}
		if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the socket: %v, %v", st, err)
		}
		judged, _ := exec.CommandContext(t.Context(), "qemu-img", "compare", "-f", "raw", "-F", "raw",
			"nbd+unix:///?socket="+socket, raw).CombinedOutput()
		cancel()
		err := <-ended
		if err != nil {
			said.WriteString(err.Error())
		}
		return string(judged), ExitCode(err), said.String()
	}
	for where, flags := range map[string][]string{"here": s.here(), "there": s.there()} {
		judged, code, said := compare(flags)
		if code != 0 || !strings.Contains(judged, "Images are identical") {
			t.Errorf("%s: exit %d, %s; qemu-img says %s", where, code, said, judged)
		}
		if _, err := os.Stat(socket); !os.IsNotExist(err) {
			t.Errorf("%s: the socket is still there: %v", where, err)
		}
	}
	im, err := s.st.Open("debian")
	if err != nil {
		t.Fatal(err)
	}
	blob, _ := im.DataBlob(0)
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "blobs", "sha256", strings.TrimPrefix(blob, "sha256:"))
	b, err := os.ReadFile(file)
	if err == nil {
		b[len(b)/2] ^= 4
		err = os.Chmod(file, 0o600)
	}
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	judged, code, said := compare(s.here())
	if code != exitDamage || strings.Contains(judged, "identical") ||
		!strings.Contains(said, "had an input/output error: ") || !strings.Contains(said, "image import FILE") {
		t.Errorf("damaged: exit %d, %s; qemu-img says %s", code, said, judged)
	}
	if code, _, said := s.run(append([]string{"image", "nbd", "debian", raw}, s.here()...)...); code != exitFailed ||
		!strings.Contains(said, "exists: remove it") {
		t.Errorf("a socket that is a file: exit %d, %s", code, said)
	}
	if code, _, said := s.run(append([]string{"image", "nbd", "debian", strings.Repeat("x", 108)},
		s.here()...)...); code != exitUsage || !strings.Contains(said, "at most 107 bytes") {
		t.Errorf("too long a name: exit %d, %s", code, said)
	}
}
