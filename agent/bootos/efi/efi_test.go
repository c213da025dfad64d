package efi

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos/efi/efitest"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

func read(t *testing.T, b []byte) *Program {
	t.Helper()
	p, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// needFile wants a file of a package.
func needFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		need.Skip(t, "%v: see .ci/packages", err)
	}
	return b
}

// TestKinds asks what programs are, real ones where there are any.
func TestKinds(t *testing.T) {
	section := func(name, text string) []byte { return efitest.Program(efitest.Section{Name: name, Data: text}) }
	linux := section(".text", "x")
	copy(linux[0x202:], "HdrS")
	for name, tt := range map[string]struct {
		program []byte
		want    Kind
	}{
		"systemd-boot of Debian": {needFile(t, "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"), SystemdBoot},
		"a stub alone":           {needFile(t, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"), Unknown},
		"a unified kernel image": {section(".linux", "x"), UKI},
		"shim":                   {section(".sbat", "sbat,1,SBAT Version\nshim,4,UEFI shim\n"), Shim},
		"Windows":                {section(".data", "X:\\bootmgfw.pdb"), Windows},
		"Limine in UTF-16":       {section(".data", string(efitest.Wide("limine.conf"))), Limine},
		"Linux":                  {linux, Linux},
		"another":                {section(".text", "hello"), Unknown},
	} {
		if got := read(t, tt.program).Kind; got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	for name, want := range map[string]Kind{"shimx64.efi": Shim, "GRUBX64.EFI": GRUB, "grub.efi": GRUB,
		"bootmgfw.efi": Windows, "BOOTX64.EFI": Unknown} {
		if got := KindByName(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := Read(strings.NewReader("#!/bin/sh"), 9); err == nil {
		t.Error("a script is an EFI program")
	}
}

// TestVersion: systemd-boot says which it is.
func TestVersion(t *testing.T) {
	for text, want := range map[string]int{" 252.39-1~deb12u2 ####": 252, " v259-rc1 ####": 259, " main ####": 0, "": 0,
		" 99999999999": 9999} {
		if got := read(t, efitest.Program(efitest.Section{Name: ".sdmagic", Data: "#### LoaderInfo: systemd-boot" +
			text})).Version; got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if got := read(t, needFile(t, "/usr/lib/systemd/boot/efi/systemd-bootx64.efi")).Version; got < 200 {
		t.Errorf("Debian's is %d", got)
	}
}

// TestObjcopy takes an image apart that objcopy has put together with systemd's stub, as systemd-stub(7) shows it.
func TestObjcopy(t *testing.T) {
	need.Tools(t, "objcopy")
	needFile(t, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	dir := t.TempDir()
	want := map[string]string{
		".osrel": "ID=debian\nPRETTY_NAME=\"Debian 12\"\n", ".cmdline": "root=UUID=rrrr ro\nquiet\x00",
		".linux": strings.Repeat("kernel ", 1000), ".initrd": strings.Repeat("initrd", 999) + "\x00",
	}
	args := []string{}
	for name, at := range map[string]string{".osrel": "0x20000", ".cmdline": "0x30000", ".linux": "0x2000000",
		".initrd": "0x3000000"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(want[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--add-section", name+"="+filepath.Join(dir, name), "--change-section-vma", name+"="+at)
	}
	args = append(args, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub", filepath.Join(dir, "uki.efi"))
	if out, err := exec.Command("objcopy", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "uki.efi"))
	if err != nil {
		t.Fatal(err)
	}
	p := read(t, b)
	im, err := p.Image()
	if p.Kind != UKI || err != nil {
		t.Fatalf("%q, %v", p.Kind, err)
	}
	cut := func(r Range) string { return string(b[r.Offset : r.Offset+r.Size]) }
	if im.Args != "root=UUID=rrrr ro quiet" || im.OSRelease != want[".osrel"] || p.OSRelease() != want[".osrel"] {
		t.Errorf("command line %q, os-release %q", im.Args, im.OSRelease)
	}
	if len(im.Initrds) != 1 || cut(im.Kernel) != want[".linux"] || cut(im.Initrds[0]) != want[".initrd"] {
		t.Errorf("kernel %d bytes, %d initrds", im.Kernel.Size, len(im.Initrds))
	}
}

func TestImage(t *testing.T) {
	s := func(words ...string) []byte {
		var out []efitest.Section
		for i := 0; i < len(words); i += 2 {
			out = append(out, efitest.Section{Name: words[i], Data: words[i+1]})
		}
		return efitest.Program(out...)
	}
	im, err := read(t, s(".initrd", "main", ".ucode", "micro", ".linux", "k", ".cmdline", "base", ".profile", "ID=a",
		".cmdline", "a", ".profile", "ID=b", ".cmdline", "b")).Image()
	if err != nil || im.Args != "a" || len(im.Initrds) != 2 || im.Initrds[0].Size != 5 || im.Initrds[1].Size != 4 {
		t.Errorf("%+v, %v, want the first profile and microcode first", im, err)
	}
	for words, program := range map[string][]byte{
		"no kernel":   s(".linux", ""),
		"device tree": s(".linux", "k", ".dtb", "x"),
		"TPM":         s(".linux", "k", ".pcrsig", "x"),
		"firmware":    s(".linux", "k", ".efifw", "x"),
		"make sense":  s(".linux", "k", ".cmdline", strings.Repeat("x", maxText+1)),
	} {
		if _, err := read(t, program).Image(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
	}
	cut := s(".linux", "kernel")
	if _, err := Read(bytes.NewReader(cut), int64(len(cut))-512); err == nil {
		t.Error("an image that is cut off was read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(efitest.Program(efitest.Section{Name: ".linux", Data: "k"}, efitest.Section{Name: ".cmdline", Data: "a"},
		efitest.Section{Name: ".profile", Data: "p"}))
	f.Add(efitest.Program(efitest.Section{Name: "mods",
		Data: "mimg\x00\x00\x00\x00\x18\x00\x00\x00\x00\x00\x00\x00\x24\x00\x00\x00\x00\x00\x00\x00" +
			"\x03\x00\x00\x00\x0c\x00\x00\x00/a\x00\x00"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if im, err := p.Image(); err == nil && im.Kernel.Offset+im.Kernel.Size > int64(len(b)) {
			t.Errorf("the kernel is outside the file: %+v", im)
		}
		_, _ = p.GRUBImage()
		_, _ = p.OSRelease(), p.Profiles()
	})
}

func FuzzModules(f *testing.F) {
	f.Add([]byte("mimg\x0c\x00\x00\x00\x18\x00\x00\x00\x03\x00\x00\x00\x0c\x00\x00\x00/a\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseModules(b) })
}

func FuzzCore(f *testing.F) {
	f.Add(append(append(make([]byte, 8), 20, 0, 0, 0, 20, 0, 0, 0), make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseCore(b) })
}
