package archiveend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	root := t.TempDir()
	put := func(name string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Check(root, 256<<20); err != nil {
		t.Errorf("an archive that is not mkimage's: %v", err)
	}
	put(settings)
	if err := Check(root, 256<<20); err == nil {
		t.Error("an archive without its end passes")
	}
	put(Name)
	if err := Check(root, 256<<20); err != nil {
		t.Errorf("a whole archive: %v", err)
	}
}

func TestBecause(t *testing.T) {
	const before, after = "<6>[    0.1] Linux version 6.1.0\n", "\n<6>[    3.1] Freeing initrd memory: 33716K\n"
	for log, want := range map[string]string{
		"": "did not fit into this node's memory of 256 MiB",
		before + "<5>[    3.0] Initramfs unpacking failed: write error" + after: "memory of 256 MiB",
		before + "<5>[    3.0] Initramfs unpacking failed: Decoding failed" + after: `the end ("Decoding failed"), ` +
			"and drivers are missing: it came damaged",
		"<5>[    3.0] Initramfs unpacking failed: junk within compressed archive": `("junk within compressed archive")`,
	} {
		if err := because(log, 256<<20); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", log, err, want)
		}
	}
}
