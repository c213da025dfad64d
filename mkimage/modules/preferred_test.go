package modules

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/kmod/kmodtest"
)

// TestPlaces has modules that several folders of a release have, and what only looks like one.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, fields ...string) {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, kmodtest.Module(fields...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("kernel/drivers/net/ethernet/intel/igb.ko", "name=igb")
	put("updates/dkms/igb.ko", "name=igb", "depends=dca")
	put("kernel/drivers/dca/dca.ko", "name=dca")
	put("extra/qla.ko", "name=qla")
	put("weak-updates/qla.ko", "name=qla")
	put("weak-updates/dca.ko", "name=dca")
	put("updates/only.ko", "name=only")
	for name, to := range map[string]string{"weak-updates/other.ko": "/lib/modules/5/extra/other.ko",
		"kernel/gone.ko": "nowhere", "build": "/usr/src"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "kernel/pipe.ko"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tr, err := Scan([]fs.FS{root.FS()})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, m := range tr.Index.Modules() {
		paths = append(paths, m.Path)
	}
	if got, want := strings.Join(paths, " "),
		"extra/qla.ko kernel/drivers/dca/dca.ko updates/dkms/igb.ko updates/only.ko"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	notes := strings.Join(tr.Notes, "\n")
	for _, want := range []string{"kernel/gone.ko, kernel/pipe.ko, weak-updates/other.ko are left out",
		"taken, and not the module of the same name", "updates/dkms/igb.ko"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in %s", want, notes)
		}
	}
	// It is in the group of the module that it stands for.
	if got, err := tr.Choose([]string{"net"}); err != nil || moduleNames(got) != "dca igb" {
		t.Errorf("net: %s, %v", moduleNames(got), err)
	}
	put("kernel/drivers/net/ethernet/twice.ko", "name=qla")
	put("kernel/drivers/net/twice.ko", "name=qla")
	if _, err := Scan([]fs.FS{root.FS()}); err != nil { // both behind extra/
		t.Error(err)
	}
	put("kernel/drivers/net/dca.ko", "name=dca")
	if _, err := Scan([]fs.FS{root.FS()}); err == nil || !strings.Contains(err.Error(), "leave one of them out") {
		t.Errorf("two in the kernel's own tree: %v", err)
	}
}
