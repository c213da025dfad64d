package serve

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/boot"
	"github.com/diskcast/diskcast/server/model"
)

// The operator hears of a boot directory that leads elsewhere when it appears, with the machines that would fail, once; and of
// each machine that takes its archive.
func TestBootWatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "boot")
	var log bytes.Buffer
	nodes := func() []model.Node {
		return []model.Node{{ID: "one", Inventory: session.Inventory{Firmware: session.BIOS}},
			{ID: "two", Inventory: session.Inventory{Firmware: session.UEFI}}}
	}
	w := newBootWatch(boot.NewDir(dir), boot.Self{Addr: netip.MustParseAddrPort("10.0.0.1:8443"), Pin: "sha256:aa"}, nodes,
		slog.New(slog.NewTextHandler(&log, nil)))
	said := func() string { s := log.String(); log.Reset(); return s }
	last := w.look(nil)
	if got := said(); got != "" {
		t.Errorf("no directory yet, and: %s", got)
	}
	// As mkimage publishes: another directory under the same name.
	put := func(pin, files string) {
		t.Helper()
		next := dir + ".new"
		text := `{"v":1,"site":{"v":1,"server":"https://10.0.0.1:8443","pin":"` + pin + `"},"files":{` + files + `}}`
		if err := os.MkdirAll(next, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(next, "manifest.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{"undionly.kpxe", "snponly.efi"} {
			if err := os.WriteFile(filepath.Join(next, n), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, dir); err != nil {
			t.Fatal(err)
		}
		last = w.look(last)
	}
	const empty = `{"size":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`
	const both = `"undionly.kpxe":` + empty + `,"snponly.efi":` + empty
	put("sha256:bb", both)
	if got := said(); !strings.Contains(got, "its pin is sha256:bb") || !strings.Contains(got, "one two") {
		t.Errorf("another pin: %s", got)
	}
	if w.problem() == "" {
		t.Error("a machine that takes the archive is not told to the operator")
	}
	last = w.look(last)
	if got := said(); got != "" {
		t.Errorf("said again: %s", got)
	}
	put("sha256:aa", `"undionly.kpxe":`+empty)
	if got := said(); !strings.Contains(got, "machines=two") || w.problem() != "" {
		t.Errorf("nothing for UEFI: %s, %s", got, w.problem())
	}
	put("sha256:aa", both)
	if got := said(); !strings.Contains(got, "leads to this server") || strings.Contains(got, "WARN") {
		t.Errorf("mended: %s", got)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	last = w.look(last)
	if got := said(); !strings.Contains(got, "cannot be read") || last != nil {
		t.Errorf("gone: %s", got)
	}
	last = w.look(last)
	if got := said(); got != "" {
		t.Errorf("gone, said again: %s", got)
	}
}
