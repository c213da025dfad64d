package secureboot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/secureboot"
	"github.com/diskcast/diskcast/mkimage/secureboot/secureboottest"
)

func TestOpenIPXE(t *testing.T) {
	v := secureboottest.NewVendor(t, "iPXE Secure Boot CA")
	shim := secureboottest.Shim(t, v)
	knows := secureboottest.Program(t, v, "iPXE", secureboottest.Section{Name: ".rodata",
		Data: []byte("kernel\x00shim\x00boot\x00")})
	old := secureboottest.Program(t, v, "iPXE", secureboottest.Section{Name: ".rodata",
		Data: []byte("kernel\x00boot\x00")})
	unsigned := secureboottest.PE(t, 0x8664)
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  string // the files; else, beginning with "!", a part of the error
	}{
		{"both pairs", map[string][]byte{"snponly-shim.efi": shim, "snponly.efi": knows, "ipxe-shim.efi": shim,
			"ipxe.efi": knows}, "ipxe-shim.efi ipxe.efi snponly-shim.efi snponly.efi"},
		{"one pair, and an iPXE without shim", map[string][]byte{"ipxe-shim.efi": shim, "ipxe.efi": knows,
			"snponly.efi": knows}, "ipxe-shim.efi ipxe.efi"},
		{"shim without iPXE", map[string][]byte{"snponly-shim.efi": shim}, "!not the snponly.efi that it starts"},
		{"an old iPXE", map[string][]byte{"snponly-shim.efi": shim, "snponly.efi": old}, "!no command shim"},
		{"not signed", map[string][]byte{"snponly-shim.efi": shim, "snponly.efi": unsigned}, "!signature"},
		{"nothing", nil, "!neither snponly-shim.efi"},
	} {
		dir := t.TempDir()
		for name, data := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := secureboot.OpenIPXE(bootdir.AMD64, dir)
		if part, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", c.name, err, part)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(s.Files) != len(strings.Fields(c.want)) {
			t.Errorf("%s: %d files, want %s", c.name, len(s.Files), c.want)
		}
		for _, name := range strings.Fields(c.want) {
			if s.Files[name] == nil {
				t.Errorf("%s: no %s", c.name, name)
			}
		}
	}
}
