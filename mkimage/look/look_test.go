package look_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/kmod/kmodtest"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
	"github.com/diskcast/diskcast/mkimage/look"
)

// archive has one module that names what it needs and its firmware.
func archive(t testing.TB) []byte {
	t.Helper()
	a := &ramfs.Archive{}
	if err := a.Add(ramfs.NewFile("init", 0o755, []byte("x")),
		ramfs.NewFile("etc/diskcast/site.json", 0o644, []byte(`{"v":1}`)),
		ramfs.NewFile("lib/modules/1/kernel/a.ko", 0o644, kmodtest.Module("name=a", "depends=b", "firmware=a/*.bin",
			"vermagic=2 SMP")), ramfs.NewFile("~end", 0o444, nil)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := a.Pack(&b, time.Time{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestModulesOfAnotherKernel has a module that is for another release, lacks what it needs, and has no firmware.
func TestModulesOfAnotherKernel(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string][]byte{bootdir.KernelFile: kerneltest.Image("1"), bootdir.ArchiveFile: archive(t),
		bootdir.ManifestFile: []byte(`{"v":1,"kernel":"1","modules":["a"],"site":{"v":1}}`)})
	d, err := look.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	list, err := d.Verify()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []look.Finding{
		{Check: "modules", State: look.Bad, Text: "module a is for Linux 2"},
		{Check: "modules", State: look.Bad, Text: "module a needs b, which is not there"},
		{Check: "firmware", State: look.Warning, Text: "nothing is there of what 1 modules may ask for: a"},
		{Check: "kernel", State: look.Good, Text: "Linux 1"},
	} {
		found := false
		for _, f := range list {
			found = found || f == want
		}
		if !found {
			t.Errorf("no %+v in %+v", want, list)
		}
	}
}

// TestCutKernel has a kernel that was cut off before the directory was made, so that the manifest agrees with it.
func TestCutKernel(t *testing.T) {
	dir := t.TempDir()
	image := kerneltest.Image("1")
	write(t, dir, map[string][]byte{bootdir.KernelFile: image[:len(image)-1], bootdir.ArchiveFile: archive(t),
		bootdir.ManifestFile: []byte(`{"v":1,"kernel":"1","modules":["a"],"site":{"v":1}}`)})
	d, err := look.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	list, err := d.Verify()
	if err != nil || !slices.ContainsFunc(list, func(f look.Finding) bool {
		return f.Check == "kernel" && f.State == look.Bad && strings.HasPrefix(f.Text, "the kernel is cut off: ")
	}) {
		t.Errorf("%+v, %v", list, err)
	}
}

// A link out of the directory is no file of it.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string][]byte{bootdir.ManifestFile: []byte(`{"v":1}`)})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "passwd")); err != nil {
		t.Fatal(err)
	}
	d, err := look.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if len(d.Files) > 0 || d.Unread["passwd"] == nil {
		t.Errorf("it was followed: %v, %v", d.Files, d.Unread)
	}
	if changes, err := look.Diff(d, d); err == nil {
		t.Errorf("compared, though a file cannot be read: %v", changes)
	}
}

// FuzzManifest has any manifest and any archive: they are told or refused.
func FuzzManifest(f *testing.F) {
	good, err := json.Marshal(look.Summary{})
	if err != nil {
		f.Fatal(err)
	}
	packed := archive(f)
	f.Add([]byte(`{"v":1,"kernel":"1","modules":["a"],"files":{"vmlinuz":{"size":1}}}`), packed)
	f.Add([]byte(`{"v":1,"kernel":"../..","cmdline":"a","grub":{}}`), packed[:len(packed)/2])
	f.Add(good, []byte("x"))
	image := kerneltest.Image("1")
	f.Fuzz(func(t *testing.T, manifest, archive []byte) {
		dir := t.TempDir()
		write(t, dir, map[string][]byte{bootdir.KernelFile: image, bootdir.ArchiveFile: archive,
			bootdir.ManifestFile: manifest})
		d, err := look.Open(dir)
		if err != nil {
			return
		}
		defer d.Close()
		if s, err := d.Inspect(); err == nil {
			if err := s.Print(&bytes.Buffer{}); err != nil {
				t.Error(err)
			}
		}
		if list, err := d.Verify(); err != nil || len(list) == 0 {
			t.Errorf("nothing was found: %v", err)
		}
		if changes, err := look.Diff(d, d); err == nil && len(changes) > 0 {
			t.Errorf("it differs from itself: %v, %v", changes, err)
		}
	})
}
