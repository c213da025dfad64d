package cmd

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestImportIntoFullStore: the error names the store, what is free there, and the next step.
func TestImportIntoFullStore(t *testing.T) {
	store, file := fullStore(t)
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

// TestImportThereIntoFullStore: at a server it is the same, at once, and said once.
func TestImportThereIntoFullStore(t *testing.T) {
	store, file := fullStore(t)
	s := shopAt(t, store)
	began := time.Now()
	code, _, said := s.run(append([]string{"image", "import", file, "--name", "x"}, s.there()...)...)
	if took := time.Since(began); code != exitFailed || took > 30*time.Second {
		t.Errorf("exit %d after %v", code, took)
	}
	for _, want := range []string{"no space left on device", "image store is full",
		"diskcast image gc --unnamed --partial"} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q is not there once: %s", want, said)
		}
	}
	if strings.Contains(said, "asking again") || strings.Contains(said, "/part") {
		t.Errorf("said: %s", said)
	}
}

// TestExportToFullDisk: whatever writes an image elsewhere says what is free there, what is wanted, and the next step.
func TestExportToFullDisk(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	const disk = "the image has 12.0 MiB that are not zero"
	for name, where := range map[string][]string{"here": s.here(), "there": s.there()} {
		for what, c := range map[string]struct {
			args []string
			says string
		}{
			"raw":       {[]string{"export", "--format", "raw"}, disk},
			"qcow2":     {[]string{"export", "--format", "qcow2"}, disk},
			"partclone": {[]string{"export", "--format", "partclone", "--partition", "0"}, disk},
			"oci":       {[]string{"export"}, "goes on where it was"},
			"restore":   {[]string{"restore"}, disk},
		} {
			dir := t.TempDir()
			need.SmallDisk(t, dir, "2m")
			says := c.says
			if name == "there" && says == disk && what != "restore" {
				says = "a copy of the image as the server has it"
			}
			args := append(append([]string{"image"}, c.args...), "debian", filepath.Join(dir, "target"))
			code, _, said := s.run(append(args, where...)...)
			for _, want := range []string{"no space left on device", dir, " free; ", says,
				"Make room there, or name a target on a larger disk"} {
				if code != exitFailed || !strings.Contains(said, want) {
					t.Errorf("%s %s: exit %d, no %q in: %s", what, name, code, want, said)
				}
			}
			if strings.Count(said, "Make room there") != 1 {
				t.Errorf("%s %s says it more than once: %s", what, name, said)
			}
		}
	}
}

// fullStore is a directory for a store with too little room for the file.
func fullStore(t *testing.T) (store, file string) {
	t.Helper()
	store = filepath.Join(t.TempDir(), "images")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	need.SmallDisk(t, store, "2m")
	disk := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{5}).Read(disk)
	file = filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return store, file
}
