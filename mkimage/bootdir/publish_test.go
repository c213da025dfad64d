package bootdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/mkimage/secureboot/secureboottest"
)

func version(n int) map[string][]byte {
	text := []byte(fmt.Sprint("version ", n))
	return map[string][]byte{KernelFile: text, ArchiveFile: text, ScriptFile: text, ManifestFile: text,
		fmt.Sprint("only-", n%2): text,
		GRUBConfigFile:           text, fmt.Sprintf("folder-%d/only", n%2): text}
}

func content(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			files[name] = nil
			return nil
		}
		// The folder that a file is in need not be told.
		delete(files, filepath.Dir(name))
		files[name], err = os.ReadFile(filepath.Join(dir, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPublish(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, out string)
	}{
		{"new, with its parents", func(*testing.T, string) {}},
		{"over an empty folder", func(t *testing.T, out string) {
			if err := os.MkdirAll(out, 0o755); err != nil {
				t.Fatal(err)
			}
		}},
		{"over an older one", func(t *testing.T, out string) {
			if err := Publish(out, version(1)); err != nil {
				t.Fatal(err)
			}
		}},
		{"through a link", func(t *testing.T, out string) {
			real := filepath.Join(filepath.Dir(filepath.Dir(out)), "real")
			if err := Publish(real, version(1)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Dir(out), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(real, out); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := t.TempDir()
			out := filepath.Join(base, "a", "boot")
			c.prepare(t, out)
			if err := Publish(out, version(2)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(version(2), content(t, out)); d != "" {
				t.Error(d)
			}
			st, err := os.Stat(out)
			if err != nil || st.Mode().Perm() != 0o755 {
				t.Errorf("mode %v, %v", st.Mode(), err)
			}
			left, err := filepath.Glob(filepath.Join(base, "*", ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

func TestPublishSparesOtherFolders(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "letter"), []byte("dear"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := Publish(home, version(1))
	if err == nil || !strings.Contains(err.Error(), "not a boot directory") {
		t.Errorf("error %v", err)
	}
	if d := cmp.Diff(map[string][]byte{"letter": []byte("dear")}, content(t, home)); d != "" {
		t.Error(d)
	}
}

// TestPublishAround has what a killed run left, and a directory that is the working one and cannot be exchanged.
func TestPublishAround(t *testing.T) {
	dir := t.TempDir()
	out, left := filepath.Join(dir, "boot"), filepath.Join(dir, ".boot.new-1")
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.MkdirAll(left, 0o755), os.Chtimes(left, old, old), CheckOut(out),
		Publish(out, version(1))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what a killed run left is still there")
	}
	t.Chdir(out)
	if err := errors.Join(CheckOut("."), Publish(".", version(2))); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(version(2), content(t, ".")); diff != "" {
		t.Errorf("the working directory (-want +got):\n%s", diff)
	}
}

// TestPublishOnMount has a directory that something is mounted on: in a container, a volume.
func TestPublishOnMount(t *testing.T) {
	need.Root(t)
	out := filepath.Join(t.TempDir(), "boot")
	if err := errors.Join(os.Mkdir(out, 0o755), unix.Mount("tmpfs", out, "tmpfs", 0, "size=1m")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(out, 0); err != nil {
			t.Error(err)
		}
	}()
	for n := 1; n < 3; n++ {
		if err := errors.Join(CheckOut(out), Publish(out, version(n))); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(version(n), content(t, out)); diff != "" {
			t.Errorf("version %d (-want +got):\n%s", n, diff)
		}
	}
}

// A reader that opens the folder sees one version, whole.
func TestPublishIsOneStep(t *testing.T) {
	out := filepath.Join(t.TempDir(), "boot")
	if err := Publish(out, version(0)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	failed := make(chan error, 1)
	go func() {
		defer stop()
		for n := range 30 {
			if err := Publish(out, version(n)); err != nil {
				failed <- err
				return
			}
		}
	}()
	for ctx.Err() == nil {
		root, err := os.OpenRoot(out)
		if err != nil {
			t.Fatal("the folder was gone: ", err)
		}
		script, err := root.ReadFile(ScriptFile)
		if err == nil {
			var kernel []byte
			kernel, err = root.ReadFile(KernelFile)
			if err == nil && string(kernel) != string(script) {
				t.Fatalf("script of %q, kernel of %q", script, kernel)
			}
		}
		// The old folder is emptied when the new one is in place; who opened it before must look again.
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		root.Close()
	}
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
}

// Where two folders cannot be exchanged, the files are.
func TestReplaceFiles(t *testing.T) {
	base := t.TempDir()
	temp, out := filepath.Join(base, "temp"), filepath.Join(base, "out")
	for dir, n := range map[string]int{out: 1, temp: 2} {
		if err := Publish(dir, version(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := replaceFiles(temp, out, version(2)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(version(2), content(t, out)); d != "" {
		t.Error(d)
	}
}

func TestReadIPXE(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadIPXE(dir, contract.AMD64); err == nil ||
		!strings.Contains(err.Error(), "install the package ipxe") {
		t.Errorf("empty folder: %v", err)
	}
	for _, name := range []string{"snponly.efi", "undionly.kpxe", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := ReadIPXE(dir, contract.AMD64)
	if names := slices.Sorted(maps.Keys(files)); err != nil ||
		!slices.Equal(names, []string{"snponly.efi", "undionly.kpxe"}) {
		t.Errorf("%q, %v", names, err)
	}

	// Debian 13 has one folder for several architectures, and the plain name is amd64's.
	amd64, arm64 := secureboottest.PE(t, 0x8664), secureboottest.PE(t, 0xaa64)
	for name, data := range map[string][]byte{"snponly.efi": amd64, "ipxe-amd64.efi": amd64, "ipxe-arm64.efi": arm64} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for arch, want := range map[contract.Arch]map[string][]byte{
		contract.AMD64: {"undionly.kpxe": []byte("undionly.kpxe"), "ipxe.efi": amd64, "snponly.efi": amd64},
		contract.ARM64: {"ipxe.efi": arm64},
	} {
		if got, err := ReadIPXE(dir, arch); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v, %s", arch, err, cmp.Diff(want, got))
		}
	}
	if err := os.Remove(filepath.Join(dir, "ipxe-arm64.efi")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadIPXE(dir, contract.ARM64); err == nil || !strings.Contains(err.Error(), "for machines of arm64") {
		t.Errorf("a folder without any for arm64: %v", err)
	}
}
