package serve

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot/boot"
	"github.com/diskcast/diskcast/server/store"
)

// The operator hears of a boot directory that leads elsewhere when it appears, with the machines that would fail, once;
// and of each machine that takes its archive.
func TestBootWatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "boot")
	var log bytes.Buffer
	nodes := func() []doc.Node {
		return []doc.Node{{ID: "one", Inventory: session.Inventory{Firmware: session.BIOS}},
			{ID: "two", Inventory: session.Inventory{Firmware: session.UEFI}}}
	}
	w := newBootWatch(boot.NewDir(dir), boot.Self{Addr: netip.MustParseAddrPort("10.0.0.1:8443"), Pin: "sha256:aa"},
		nodes,
		slog.New(slog.NewTextHandler(&log, nil)))
	said := func() string { s := log.String(); log.Reset(); return s }
	w.look()
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
		w.look()
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
	w.look()
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
	w.look()
	if got := said(); !strings.Contains(got, "cannot be read") {
		t.Errorf("gone: %s", got)
	}
	w.look()
	if got := said(); got != "" {
		t.Errorf("gone, said again: %s", got)
	}
}

// An empty directory, and a file that is cut short, changed or removed while the server runs, are said, each once.
func TestBootWatchFiles(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	w := newBootWatch(boot.NewDir(dir), boot.Self{Addr: netip.MustParseAddrPort("10.0.0.1:8443"), Pin: "sha256:aa"},
		func() []doc.Node { return nil }, slog.New(slog.NewTextHandler(&log, nil)))
	look := func() string {
		t.Helper()
		log.Reset()
		w.look()
		return log.String()
	}
	stamp := time.Now()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		stamp = stamp.Add(time.Second) // the kernel's clock ticks too seldom for a test
		if err := os.Chtimes(filepath.Join(dir, name), stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	if got := look(); !strings.Contains(got, "no machine can boot") || !strings.Contains(got, "manifest.json") {
		t.Errorf("empty: %s", got)
	}
	if got := look(); got != "" {
		t.Errorf("empty, said again: %s", got)
	}
	const empty = `{"size":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`
	const abc = `{"size":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}`
	write("undionly.kpxe", "")
	write("snponly.efi", "")
	write("vmlinuz", "abc")
	write("manifest.json", `{"v":1,"site":{"v":1,"server":"https://10.0.0.1:8443","pin":"sha256:aa"},`+
		`"files":{"undionly.kpxe":`+empty+`,"snponly.efi":`+empty+`,"vmlinuz":`+abc+`}}`)
	if got := look(); strings.Contains(got, "WARN") {
		t.Errorf("whole: %s", got)
	}
	for what, f := range map[string]func(){
		"cut short": func() { write("vmlinuz", "a") },
		"other":     func() { write("vmlinuz", "abd") },
		"gone": func() {
			if err := os.Remove(filepath.Join(dir, "vmlinuz")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		f()
		if got := look(); !strings.Contains(got, "WARN") || !strings.Contains(got, "vmlinuz") || w.problem() == "" {
			t.Errorf("%s: %q", what, got)
		}
		if got := look(); got != "" {
			t.Errorf("%s, said again: %s", what, got)
		}
		write("vmlinuz", "abc")
		if got := look(); !strings.Contains(got, "leads to this server") || w.problem() != "" {
			t.Errorf("%s, mended: %s", what, got)
		}
	}
}

// A server whose key is another than before says what that means.
func TestPinChanges(t *testing.T) {
	db := store.NewMemory()
	var log bytes.Buffer
	for _, c := range []struct{ pin, want string }{{"sha256:aa", ""}, {"sha256:aa", ""}, {"sha256:bb", "7 machines"},
		{"sha256:bb", ""}} {
		log.Reset()
		if err := comparePin(t.Context(), db, c.pin, "/st", func() int { return 7 },
			slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) || c.want != "" &&
			!strings.Contains(got, "sha256:aa") {
			t.Errorf("%s: %q, want %q", c.pin, got, c.want)
		}
	}
}
