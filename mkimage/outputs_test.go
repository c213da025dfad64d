package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/uki/ukitest"
)

// TestOverwrites: no output takes the place of what is read, or of what mkimage did not make.
func TestOverwrites(t *testing.T) {
	kernel, firmware, ipxe := inputs(t)
	dir, stub, parts := t.TempDir(), testStub(t), testISOLINUX(t)
	key := siteKey(t, 2048, time.Now().Add(time.Hour))
	file := func(name string) string { return filepath.Join(dir, name) }
	soft, hard, empty, letter := file("soft"), file("hard"), filepath.Join(firmware, "empty"), file("letter")
	boot := file("boot")
	err := errors.Join(os.Symlink(key[1], soft), os.Link(key[1], hard), os.WriteFile(empty, nil, 0o600),
		os.WriteFile(letter, []byte("dear"), 0o600), os.WriteFile(file("token"), []byte("t"), 0o600),
		os.WriteFile(file("machines"), []byte("{}"), 0o600), os.Mkdir(boot, 0o755),
		os.WriteFile(filepath.Join(boot, "manifest.json"), nil, 0o600),
		os.WriteFile(filepath.Join(boot, "site.key"), []byte("key"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	signed := append([]string{"--stub", stub}, key...)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"the key":         {append(signed, "--usb", key[1]), "--usb " + key[1] + " is the file of --sign"},
		"by a link":       {append(signed, "--iso", soft), "is the file of --sign"},
		"by a hard link":  {append(signed, "--uki", hard), "is the file of --sign"},
		"the certificate": {append(signed, "--uki", key[3]), "is the file of --cert"},
		"the kernel":      {[]string{"--usb", kernel}, "is the file of --kernel"},
		"the stub":        {append(signed, "--usb", stub), "is the file of --stub"},
		"the machines":    {[]string{"--usb", file("machines"), "--for", file("machines")}, "is the file of --for"},
		"a part of ISOLINUX": {[]string{"--usb", filepath.Join(parts, "ldlinux.c32"), "--isolinux", parts},
			"is a file of --isolinux"},
		"iPXE": {[]string{"--usb", filepath.Join(ipxe, "snponly.efi"), "--ipxe", ipxe, "--out", file("x")},
			"is a file of --ipxe"},
		"an empty file": {[]string{"--uki", empty, "--firmware", firmware}, "is a file of --firmware " + firmware},
		"a letter":      {[]string{"--uki", letter}, "name another file, or remove it"},
		"the token": {[]string{"--usb", file("token"), "--for", "https://10.0.0.1:8443", "--pin", testPin,
			"--token-file", file("token")}, "is the file of --token-file"},
		"a key with the boot directory": {[]string{"--out", boot, "--boot-uki", "--sign",
			filepath.Join(boot, "site.key"), "--cert", key[3]}, "lies in the boot directory"},
	} {
		cmd := newCommand(func(contract.Arch) ([]byte, error) { panic("the userland was asked for") })
		cmd.SetArgs(append([]string{"--kernel", kernel, "--shim", "none"}, c.args...))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != 2 {
			t.Errorf("%s: error %v, want %q and code 2", name, err, c.want)
		}
	}
	if text, err := os.ReadFile(letter); err != nil || string(text) != "dear" {
		t.Errorf("the letter is %q, %v", text, err)
	}
}

// TestMadeAgain: what mkimage made is replaced, and a file that is empty is filled.
func TestMadeAgain(t *testing.T) {
	kernel, _, _ := inputs(t)
	dir, stub := t.TempDir(), testStub(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(file("usb"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, loaders := range []string{"none", testISOLINUX(t), "none"} {
		text, err := mkimage(t, "--kernel", kernel, "--stub", stub, "--usb", file("usb"), "--iso", file("iso"), "--uki",
			file("uki"), "--isolinux", loaders)
		if err != nil {
			t.Fatal(err, text)
		}
		for _, name := range []string{"usb", "iso", "uki"} {
			if !madeHere(file(name)) {
				t.Errorf("%s, with ISOLINUX %s, is not known again", name, loaders)
			}
		}
	}
	for name, data := range map[string][]byte{"short": []byte("MZ"), "a stub": ukitest.Stub(),
		"zeros": make([]byte, 1<<20)} {
		if err := os.WriteFile(file(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if madeHere(file(name)) {
			t.Errorf("%s is taken for mkimage's own", name)
		}
	}
}
