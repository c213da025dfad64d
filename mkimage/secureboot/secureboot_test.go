package secureboot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
	"github.com/diskcast/diskcast/mkimage/secureboot/secureboottest"
)

func file(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOpen(t *testing.T) {
	debian := secureboottest.NewVendor(t, "Debian")
	shim, grub := secureboottest.Shim(t, debian), secureboottest.GRUB(t, debian, "net", "efinet", "tftp")
	pack := func(name string, data []byte) string {
		return file(t, debtest.Package(t, ".xz", debtest.File{Name: "usr/share/doc/x", Text: "x"},
			debtest.File{Name: name, Text: string(data)}))
	}
	for _, c := range []struct {
		name, shim, grub string
		http, proxy      bool
		want             string // error
	}{
		{"files", file(t, shim), file(t, grub), false, false, ""},
		{"packages", pack("usr/lib/shim/shimx64.efi.signed", shim),
			pack("usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", grub), false, false, ""},
		{"Ubuntu's package", pack("usr/lib/shim/shimx64.efi.signed.latest", shim), file(t, grub), false, false, ""},
		{"HTTP", file(t, shim), file(t, secureboottest.GRUB(t, debian, "efinet", "http", "tftp")), true, false, ""},
		{"a newer GRUB", file(t, shim), file(t, secureboottest.GRUBVersion(t, debian, "2.12", "efinet", "tftp")), false,
			true, ""},
		{"another package", pack("bin/sh", shim), file(t, grub), false, false, "the package has no shimx64.efi.signed"},
		{"text", file(t, []byte("text")), file(t, grub), false, false, "--shim /"},
		{"empty", file(t, nil), file(t, grub), false, false, "not a UEFI program"},
		{"not signed", file(t, secureboottest.Program(t, nil, "")), file(t, grub), false, false,
			"carries no signature"},
		{"GRUB for disks", file(t, shim), file(t, secureboottest.GRUB(t, debian, "ext2")), false, false,
			"grubnetx64.efi.signed"},
		{"shim for ARM", file(t, secureboottest.PE(t, 0xaa64)), file(t, grub), false, false,
			"for machines of arm64, and the kernel for those of amd64"},
		{"shim as GRUB", file(t, shim), file(t, shim), false, false, "not a GRUB"},
		{"no such file", "/nowhere", file(t, grub), false, false, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := Open(bootdir.AMD64, c.shim, c.grub)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrMissing) {
					t.Fatalf("error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(l.Shim) != string(shim) || l.HTTP != c.http || l.ProxyDHCP != c.proxy {
				t.Errorf("%d bytes of shim, HTTP %v, proxy %v", len(l.Shim), l.HTTP, l.ProxyDHCP)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	debian, other := secureboottest.NewVendor(t, "Debian"), secureboottest.NewVendor(t, "Other")
	grub := secureboottest.GRUB(t, debian, "efinet", "tftp")
	kernel := secureboottest.Program(t, debian, "Debian linux")
	for _, c := range []struct {
		name         string
		grub, kernel []byte
		want         []string
	}{
		{"all of one", grub, kernel, nil},
		{"another's GRUB", secureboottest.GRUB(t, other, "efinet", "tftp"), kernel,
			[]string{`GRUB was signed by "Other Signer", and this shim trusts only "Debian"`}},
		{"another's kernel", grub, secureboottest.Program(t, other, "Other linux"),
			[]string{`the kernel was signed by "Other linux"`}},
		{"a kernel without a signature", grub, secureboottest.Program(t, nil, ""),
			[]string{"the kernel carries no signature"}},
		{"a kernel without a UEFI header", grub, kerneltest.Image("6.1"), []string{"the kernel carries no signature"}},
	} {
		l := &Loaders{Shim: secureboottest.Shim(t, debian), GRUB: c.grub}
		got := l.Check(c.kernel)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], c.want[i]) {
				t.Errorf("%s: %q, want %q", c.name, got[i], c.want[i])
			}
		}
	}
	if notes := (&Loaders{Shim: kernel}).Check(nil); notes != nil {
		t.Errorf("shim without a key: %q", notes)
	}
}

func FuzzImage(f *testing.F) {
	v := secureboottest.NewVendor(f, "Debian")
	for _, b := range [][]byte{secureboottest.Shim(f, v), secureboottest.GRUB(f, v, "efinet", "tftp"),
		secureboottest.Program(f, v, "x"), nil} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = signed(data, bootdir.AMD64)
		_, _ = grubModules(data)
		(&Loaders{Shim: data, GRUB: data}).Check(data)
	})
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{"2.06": false, "2.12": true, "2.12~rc1": true, "2.14-git": true,
		"3.0": true, "2": false, "": false, "2.x": false, "1.98": false} {
		if got := atLeast(version, 2, 12); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
