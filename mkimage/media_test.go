package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
	"github.com/diskcast/diskcast/mkimage/uki/ukitest"
)

// testStub is a stub as far as headers go.
func testStub(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "linuxx64.efi.stub")
	if err := os.WriteFile(name, ukitest.Stub(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// siteKey makes a key and its certificate, as arguments.
func siteKey(t *testing.T, bits int, until time.Time) []string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var args []string
	for _, x := range []struct {
		flag, kind string
		data       []byte
	}{{"--sign", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)}, {"--cert", "CERTIFICATE", der}} {
		name := filepath.Join(dir, "site"+x.flag)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: x.kind, Bytes: x.data}), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, x.flag, name)
	}
	return args
}

// testISOLINUX is a folder with the parts of ISOLINUX, as far as they are looked at.
func testISOLINUX(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	loader := make([]byte, 8192)
	binary.LittleEndian.PutUint32(loader[64:], 0x7078c0fb)
	for name, data := range map[string][]byte{"isolinux.bin": loader, "isohdpfx.bin": make([]byte, 432),
		"ldlinux.c32": []byte("\x7fELF\x01")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestMediaForBIOS has the kernel, the archive and how to start them in the image once more.
func TestMediaForBIOS(t *testing.T) {
	kernel, _, _ := inputs(t)
	parts, name := testISOLINUX(t), filepath.Join(t.TempDir(), "node.iso")
	text, err := mkimage(t, "--kernel", kernel, "--stub", testStub(t), "--iso", name, "--isolinux",
		filepath.Join(parts, "isolinux.bin")+","+parts, "--console", "ttyS1,9600n8")
	if err != nil || strings.Contains(text, "UEFI machines only") {
		t.Fatal(err, text)
	}
	image, err := os.ReadFile(name)
	if err != nil || !bytes.Contains(image, []byte("SERIAL 1 9600\nDEFAULT diskcast\nPROMPT 0\nLABEL diskcast\n"+
		"\tLINUX /vmlinuz\n\tINITRD /initrd.img\n\tAPPEND console=tty0 console=ttyS1,9600n8 panic=60 ")) {
		t.Errorf("no configuration in the image: %v", err)
	}
}

// TestMedia makes each of them, twice, with a boot directory and without.
func TestMedia(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	stub, dir := testStub(t), t.TempDir()
	args := func(n string) []string {
		return []string{"--kernel", kernel, "--stub", stub, "--uki", filepath.Join(dir, n+".efi"),
			"--usb", filepath.Join(dir, n+".img"), "--iso", filepath.Join(dir, n+".iso")}
	}
	text, err := mkimage(t, args("a")...)
	if err != nil {
		t.Fatal(err, text)
	}
	for _, want := range []string{"Linux 6.1.0-1, 3 modules", "MiB    " + filepath.Join(dir, "a.efi"), "a.img",
		"a.iso"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text, err = mkimage(t, append(args("b"), "--ipxe", ipxe, "--out", filepath.Join(dir, "boot"), "--json")...)
	var r result
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	if err != nil || len(r.Media) != 3 || r.Media[0].Kind != "uki" || r.Out == "" {
		t.Errorf("%v: %s", err, text)
	}
	for _, kind := range []string{".efi", ".img", ".iso"} {
		a, err := os.ReadFile(filepath.Join(dir, "a"+kind))
		b, err2 := os.ReadFile(filepath.Join(dir, "b"+kind))
		if err != nil || err2 != nil || !bytes.Equal(a, b) || len(a) == 0 {
			t.Errorf("%s: %d and %d bytes, two runs differ: %v %v", kind, len(a), len(b), err, err2)
		}
	}
	if text, err := command(t, "verify", filepath.Join(dir, "boot")); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := os.Stat(filepath.Join(dir, "boot", "node.efi")); err == nil {
		t.Error("a unified kernel image is in the boot directory, and nobody wanted one")
	}
	out := filepath.Join(dir, "net")
	text, err = mkimage(t, "--kernel", kernel, "--ipxe", ipxe, "--stub", stub, "--out", out, "--boot-uki")
	if err != nil {
		t.Fatal(err, text)
	}
	net, err := os.ReadFile(filepath.Join(out, "node.efi"))
	alone, err2 := os.ReadFile(filepath.Join(dir, "a.efi"))
	if err != nil || err2 != nil || !bytes.Equal(net, alone) {
		t.Errorf("the boot directory's unified kernel image is another: %v, %v", err, err2)
	}
	if text, err := command(t, "verify", out); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// armInputs are a kernel for 64-bit ARM, and that there are no modules for it, as arguments.
func armInputs(t *testing.T) []string {
	t.Helper()
	kernel, modules := filepath.Join(t.TempDir(), "Image"), t.TempDir()
	if err := os.WriteFile(kernel, kerneltest.ARM64("6.1.0-50-arm64"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(modules, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"--kernel", kernel, "--modules-from", modules, "--modules", "none"}
}

// TestMediaARM64 makes each of them for machines of 64-bit ARM, and the program of the boot directory.
func TestMediaARM64(t *testing.T) {
	dir, stub := t.TempDir(), filepath.Join(t.TempDir(), "linuxaa64.efi.stub")
	if err := os.WriteFile(stub, ukitest.ARM64(), 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	_, _, ipxe := inputs(t)
	if err := os.WriteFile(filepath.Join(ipxe, "ipxe-arm64.efi"), []byte("arm"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := newCommand(testUserland)
	cmd.SetArgs(append(armInputs(t), "--ipxe", ipxe, "--shim", "none", "--stub", stub, "--uki", file("uki"), "--usb",
		file("usb"), "--iso", file("iso"), "--out", file("boot"), "--boot-uki"))
	var out bytes.Buffer
	cmd.SetOut(&out)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "isolinux") {
		t.Errorf("of machines that have no BIOS: %s", out.String())
	}
	program, err := os.ReadFile(file("uki"))
	if err != nil || binary.LittleEndian.Uint16(program[0x44:]) != 0xaa64 {
		t.Errorf("the program is not one for 64-bit ARM: %v", err)
	}
	for _, name := range []string{"usb", "iso", "boot/node.efi"} {
		data, err := os.ReadFile(file(name))
		if err != nil || !bytes.Contains(data, program) ||
			name != "boot/node.efi" && (!bytes.Contains(data, []byte("BOOTAA64EFI")) ||
				bytes.Contains(data, []byte("BOOTX64 EFI"))) {
			t.Errorf("%s: the program is not in it under its name (%v)", name, err)
		}
	}
}

// TestMediaRefuses refuses before the work: the userland is not asked for.
func TestMediaRefuses(t *testing.T) {
	kernel, _, _ := inputs(t)
	dir, stub := t.TempDir(), testStub(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"nothing to make":        {nil, "--out, --uki, --usb or --iso", 2},
		"a stub for nothing":     {[]string{"--out", file("boot"), "--stub", stub}, "give --uki", 2},
		"a key for nothing":      {[]string{"--out", file("boot"), "--sign", "k", "--cert", "c"}, "give --uki", 2},
		"a UKI for no directory": {[]string{"--uki", file("u"), "--boot-uki"}, "give --out too", 2},
		"no certificate":         {[]string{"--uki", file("u"), "--sign", "k"}, "go together", 2},
		"no key":                 {[]string{"--uki", file("u"), "--cert", "k"}, "go together", 2},
		"one file for two":       {[]string{"--uki", file("u"), "--iso", file("u")}, "are one file", 2},
		"in the directory": {[]string{"--out", file("boot"), "--iso", file("boot/x.iso")}, "in the boot directory",
			2},
		"a folder":             {[]string{"--usb", dir}, "is not a file", 1},
		"in no folder":         {[]string{"--usb", "/nowhere/x"}, "there is no folder /nowhere: make it", 1},
		"in no place":          {[]string{"--usb", "/proc/x"}, "cannot be made: writing to /proc: ", 1},
		"a device":             {[]string{"--usb", "/dev/null"}, "written by dd", 1},
		"ISOLINUX for nothing": {[]string{"--uki", file("u"), "--isolinux", dir}, "--isolinux is for sticks", 2},
		"no ISOLINUX": {[]string{"--iso", file("u"), "--stub", stub, "--isolinux", dir},
			"--isolinux: isolinux.bin is in none of them", 1},
		"no such package": {[]string{"--iso", file("u"), "--stub", stub, "--isolinux", "/nowhere"}, "--isolinux: ",
			1},
		"no such stub":        {[]string{"--usb", file("x"), "--stub", "/nowhere"}, "--stub: ", 1},
		"a stub that is none": {[]string{"--usb", file("x"), "--stub", kernel}, "has no linuxx64.efi.stub", 1},
		"no such key": {[]string{"--usb", file("x"), "--stub", stub, "--sign", "/nowhere", "--cert", stub}, "--sign: ",
			1},
		"a key that is none": {[]string{"--usb", file("x"), "--stub", stub, "--sign", stub, "--cert", stub},
			"not in PEM",
			1},
	} {
		cmd := newCommand(func(contract.Arch) ([]byte, error) { panic("the userland was asked for") })
		cmd.SetArgs(append([]string{"--kernel", kernel, "--shim", "none"}, c.args...))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != c.code {
			t.Errorf("%s: error %v, want %q and code %d", name, err, c.want, c.code)
		}
	}
	arm := armInputs(t)
	stubs := t.TempDir()
	for name, data := range map[string][]byte{"x64": ukitest.Stub(), "aa64": ukitest.ARM64()} {
		if err := os.WriteFile(filepath.Join(stubs, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string][]string{
		"has none for machines of arm64": append(arm, "--usb", file("x"), "--stub", filepath.Join(stubs, "x64")),
		"has none for machines of amd64": {"--kernel", kernel, "--usb", file("x"), "--stub",
			filepath.Join(stubs, "aa64")},
		"is for BIOS, which machines of arm64": append(arm, "--usb", file("x"), "--stub",
			filepath.Join(stubs, "aa64"), "--isolinux", testISOLINUX(t)),
	} {
		cmd := newCommand(func(contract.Arch) ([]byte, error) { panic("the userland was asked for") })
		cmd.SetArgs(append([]string{"--shim", "none"}, args...))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", args, err, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
