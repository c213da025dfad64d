package cmd

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestImportIntoFullStore: the error names the store, what is free there, and the next step.
func TestImportIntoFullStore(t *testing.T) {
	store := filepath.Join(t.TempDir(), "images")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", store, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		need.Skip(t, "a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(store, 0); err != nil {
			t.Error(err)
		}
	})
	disk := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{5}).Read(disk)
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), []string{"image", "import", file, "--name", "x", "--store", store}, strings.NewReader(""),
		new(bytes.Buffer), new(bytes.Buffer))
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{store + " has ", " free", "8.0 MiB", "diskcast image gc", "--store"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}
