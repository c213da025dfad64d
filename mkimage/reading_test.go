package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/look"
	spdx "github.com/spdx/tools-golang/json"
	"golang.org/x/sys/unix"
)

// made is a boot directory with everything in it.
func made(t *testing.T, args ...string) string {
	t.Helper()
	kernel, firmware, ipxe := inputs(t)
	out := filepath.Join(t.TempDir(), "boot")
	args = append([]string{"--kernel", kernel, "--ipxe", ipxe, "--firmware", firmware, "--out", out,
		"--server", "https://10.0.0.1:8443", "--pin", testPin}, args...)
	if text, err := mkimage(t, args...); err != nil {
		t.Fatal(err, text)
	}
	return out
}

// flagOf is the value of a flag.
func flagOf(t *testing.T, args []string, name string) string {
	t.Helper()
	i := slices.Index(args, name)
	if i < 0 {
		t.Fatalf("no %s in %v", name, args)
	}
	return args[i+1]
}

// command runs a subcommand.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCommand(testUserland)
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.Execute()
	return out.String(), err
}

func TestInspect(t *testing.T) {
	dir := made(t, loaders(t)...)
	text, err := command(t, "inspect", dir)
	if err != nil {
		t.Fatal(err, text)
	}
	for _, want := range []string{dir + ": Linux 6.1.0-1\n", "https://10.0.0.1:8443", testPin,
		"kernel signed by  nobody", "shim, which trusts Debian, signed by Firmware Signer",
		"GRUB 2.06, signed by Debian Signer",
		"modules           3, ", "firmware          1 files", "a node needs 64 MiB", "MiB    initramfs.img\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text, err = command(t, "inspect", dir, "--json")
	var s look.Summary
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil || s.Kernel != "6.1.0-1" || len(s.Modules) != 3 || len(s.Firmware) != 1 || len(s.Loaders) != 4 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestDiff(t *testing.T) {
	a := made(t)
	if text, err := command(t, "diff", a, made(t)); err != nil || text != "" {
		t.Errorf("the same directory made twice differs: %v\n%s", err, text)
	}
	b := made(t, "--modules", "e1000,beep", "--console", "ttyS0,115200")
	text, err := command(t, "diff", a, b)
	if err == nil || exitCode(err) != 1 {
		t.Errorf("exit code %d of %v, want 1", exitCode(err), err)
	}
	for _, want := range []string{`(?m)^- module +kernel/fs/ext4/ext4.ko `, `(?m)^\+ module +kernel/sound/beep.ko `,
		`(?m)^\+ console +ttyS0,115200$`, `(?m)^~ command line +console=tty0 .* -> console=tty0 console=ttyS0,115200 `,
		`(?m)^~ file +initramfs.img `} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("nothing like %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "e1000") {
		t.Errorf("what is in both is told:\n%s", text)
	}
	if _, err := command(t, "diff", a, t.TempDir()); err == nil || exitCode(err) != 2 {
		t.Errorf("an empty folder: exit code %d of %v, want 2", exitCode(err), err)
	}
}

// unified are arguments for a unified kernel image, signed by a key of the test's.
func unified(t *testing.T) []string {
	t.Helper()
	return append([]string{"--boot-uki", "--stub", testStub(t)}, siteKey(t, 2048, time.Now().Add(time.Hour))...)
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestVerify damages directories, each in one way.
func TestVerify(t *testing.T) {
	rewrite := func(t *testing.T, name string, change func([]byte) []byte) {
		t.Helper()
		data, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, change(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args   []string
		damage func(t *testing.T, dir string)
		want   string // line of the output that is bad; "" when all is well
	}{
		"as made": {nil, func(*testing.T, string) {}, ""},
		"a file is changed": {nil, func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "snponly.efi"), bytes.ToUpper)
		}, `bad +files +snponly.efi is not the file of the manifest`},
		"a file is short": {nil, func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "initramfs.img"), func(b []byte) []byte { return b[:len(b)/2] })
		}, `bad +archive +it cannot be read`},
		"the kernel is gone": {nil, func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "vmlinuz")); err != nil {
				t.Fatal(err)
			}
		}, `bad +kernel +vmlinuz, which the manifest names, is not there`},
		"a file is gone": {nil, func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "undionly.kpxe")); err != nil {
				t.Fatal(err)
			}
		}, `bad +files +undionly.kpxe is missing`},
		"a file too many": {nil, func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "other"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, `bad +files +other is not in the manifest`},
		"another kernel": {nil, func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "manifest.json"), func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"kernel": "6.1.0-1"`), []byte(`"kernel": "6.1.0-2"`), 1)
			})
		}, `bad +modules +lib/modules/6.1.0-1/kernel/.*e1000.ko.zst lies where Linux 6.1.0-2 does not look`},
		"another server": {nil, func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "manifest.json"), func(b []byte) []byte {
				return bytes.Replace(b, []byte("10.0.0.1"), []byte("10.0.0.2"), 1)
			})
		}, `bad +archive +etc/diskcast/site.json is not what the manifest says`},
		"a FIFO in a file's place": {nil, func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, "snponly.efi")),
				unix.Mkfifo(filepath.Join(dir, "snponly.efi"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}, `bad +files +snponly.efi cannot be read: not a file`},
		"a link out of the directory": {nil, func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, "snponly.efi")),
				os.Symlink("/etc/passwd", filepath.Join(dir, "snponly.efi"))); err != nil {
				t.Fatal(err)
			}
		}, `bad +files +snponly.efi cannot be read: `},
		"other words for the kernel": {loaders(t), func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "manifest.json"), func(b []byte) []byte {
				return bytes.Replace(b, []byte(" quiet "), []byte(" loud "), 1)
			})
		}, `bad +scripts +boot.ipxe does not start the kernel with the words of the manifest`},
		"other words for the kernel by GRUB": {loaders(t), func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "manifest.json"), func(b []byte) []byte {
				return bytes.Replace(b, []byte(" quiet "), []byte(" loud "), 1)
			})
		}, `bad +scripts +grub/grub.cfg does not start the kernel with the words of the manifest`},
		"words that iPXE acts on": {nil, func(t *testing.T, dir string) {
			for _, name := range []string{"manifest.json", "boot.ipxe"} {
				rewrite(t, filepath.Join(dir, name), func(b []byte) []byte {
					return bytes.Replace(b, []byte(" quiet "), []byte(" # quiet "), 1)
				})
			}
		}, `bad +scripts +boot.ipxe does not hand the words of the manifest to the kernel: the word "#" begins`},
		"a unified kernel image of other words": {unified(t), func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "manifest.json"), func(b []byte) []byte {
				return bytes.Replace(b, []byte(" quiet "), []byte(" loud "), 1)
			})
		}, `bad +node.efi +it starts the kernel with other words than the manifest's`},
		"a unified kernel image of another archive": {unified(t), func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "node.efi"), func(b []byte) []byte {
				return bytes.Replace(b, readFile(t, filepath.Join(dir, "initramfs.img")), nil, 1)
			})
		}, `bad +node.efi `},
		"a kernel that is not signed": {loaders(t), func(*testing.T, string) {},
			`bad +Secure Boot +the kernel carries no signature`},
		"GRUB of another vendor": {[]string{"--shim", flagOf(t, loaders(t), "--shim"), "--grub",
			flagOf(t, loaders(t), "--grub")}, func(*testing.T, string) {}, `bad +Secure Boot +GRUB was signed by`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := made(t, c.args...)
			c.damage(t, dir)
			text, err := command(t, "verify", dir)
			if c.want == "" {
				if err != nil || strings.Contains(text, "bad") {
					t.Errorf("%v\n%s", err, text)
				}
				return
			}
			if err == nil || exitCode(err) != 1 || !regexp.MustCompile("(?m)^"+c.want).MatchString(text) {
				t.Errorf("error %v, want %q in\n%s", err, c.want, text)
			}
		})
	}
	text, err := command(t, "verify", made(t, unified(t)...))
	if err != nil || !strings.Contains(text, "ok       node.efi     kernel, archive and words are those beside it; "+
		"signed by lab\n") || strings.Contains(text, "cannot start") {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = command(t, "verify", made(t, unified(t)[:3]...))
	if err != nil || !regexp.MustCompile(`(?m)^warning  node.efi +it carries no signature`).MatchString(text) {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = command(t, "verify", made(t, "--modules", "ext4"))
	if err != nil || !regexp.MustCompile(`(?m)^warning  drivers +no driver of a network card`).MatchString(text) {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = command(t, "verify", made(t, "--firmware", t.TempDir()))
	if err != nil || !strings.Contains(text, "ok       firmware") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestSBOM lets SPDX's own library read the document.
func TestSBOM(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	deb := filepath.Join(t.TempDir(), "firmware.deb")
	if err := os.WriteFile(deb, debtest.WithControl(t, ".xz",
		"Package: firmware-card\nVersion: 20230210-5\nArchitecture: all\n",
		debtest.File{Name: "lib/firmware/card.bin", Text: "fw"}), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "boot")
	if text, err := mkimage(t, "--kernel", kernel, "--ipxe", ipxe, "--firmware", deb, "--out", dir); err != nil {
		t.Fatal(err, text)
	}
	text, err := command(t, "sbom", dir)
	if err != nil {
		t.Fatal(err, text)
	}
	doc, err := spdx.Read(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if doc.SPDXVersion != "SPDX-2.3" || len(doc.Packages) == 0 || doc.Packages[1].PackageName != "firmware-card" ||
		doc.Packages[1].PackageVersion != "20230210-5" {
		t.Errorf("packages %+v of %s", doc.Packages, doc.SPDXVersion)
	}
	known := map[string]bool{}
	for _, p := range doc.Packages {
		known[string(p.PackageSPDXIdentifier)] = true
	}
	files := map[string]bool{}
	for _, f := range doc.Files {
		known[string(f.FileSPDXIdentifier)], files[f.FileName] = true, true
		if len(f.Checksums) != 2 {
			t.Errorf("%s has sums %v", f.FileName, f.Checksums)
		}
	}
	for _, name := range []string{"./vmlinuz", "./initramfs.img/lib/firmware/card.bin", "./initramfs.img/bbin/bb",
		"./initramfs.img/lib/modules/6.1.0-1/kernel/fs/ext4/ext4.ko.zst"} {
		if !files[name] {
			t.Errorf("no file %s", name)
		}
	}
	for _, r := range doc.Relationships {
		if a, b := string(r.RefA.ElementRefID), string(r.RefB.ElementRefID); a != "DOCUMENT" && !known[a] || !known[b] {
			t.Errorf("%s %s %s: one is not in the document", a, r.Relationship, b)
		}
	}
	if again, err := command(t, "sbom", dir); err != nil || again != text {
		t.Errorf("a second run says something else: %v", err)
	}
}

// TestNotAsMade: of a file that is not the manifest's, sbom makes no document, and inspect and diff say it.
func TestNotAsMade(t *testing.T) {
	whole := made(t)
	for name, c := range map[string]struct {
		file   string
		damage func(name string) error
		want   string
	}{
		"changed": {bootdir.KernelFile, func(name string) error {
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			data[len(data)-1] ^= 1
			return os.WriteFile(name, data, 0o644)
		}, "vmlinuz is not the file of the manifest"},
		"cut": {bootdir.ScriptFile, func(name string) error { return os.Truncate(name, 5) },
			"boot.ipxe has 5 bytes"},
		"missing": {bootdir.KernelFile, os.Remove, "vmlinuz is missing"},
		"more": {"more", func(name string) error { return os.WriteFile(name, nil, 0o644) },
			"more is not in the manifest"},
	} {
		dir := made(t)
		if err := c.damage(filepath.Join(dir, c.file)); err != nil {
			t.Fatal(err)
		}
		text, err := command(t, "sbom", dir)
		if err == nil || text != "" || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "mkimage verify "+dir) {
			t.Errorf("%s: sbom: error %v, want %q; it printed %q", name, err, c.want, text)
		}
		if text, err := command(t, "inspect", dir); err != nil || !strings.Contains(text, "not as made") ||
			!strings.Contains(text, c.want) {
			t.Errorf("%s: inspect: %v\n%s", name, err, text)
		}
		if text, err := command(t, "diff", whole, dir); !errors.Is(err, errDiffer) ||
			!strings.Contains(text, "note: "+dir+" is not as it was made: "+c.want) ||
			strings.Contains(text, "note: "+whole) {
			t.Errorf("%s: diff: %v\n%s", name, err, text)
		}
	}
}

// TestReadersRefuse names what is wrong with a folder, and never ends in a panic.
func TestReadersRefuse(t *testing.T) {
	empty, odd, more, cut, none, pipe := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	file := filepath.Join(t.TempDir(), "node.img")
	if err := errors.Join(os.WriteFile(file, nil, 0o644),
		os.WriteFile(filepath.Join(more, bootdir.ManifestFile), []byte("{\"v\": 1}\n{}"), 0o644),
		os.WriteFile(filepath.Join(cut, bootdir.ManifestFile), []byte("{\"v\": 1,"), 0o644),
		os.WriteFile(filepath.Join(none, bootdir.ManifestFile), nil, 0o644),
		unix.Mkfifo(filepath.Join(pipe, bootdir.ManifestFile), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(odd, bootdir.ManifestFile), []byte(`{"v": 7}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"inspect", "verify", "sbom"} {
		for dir, want := range map[string]string{empty: "not a boot directory that mkimage made",
			file:       "is a file, and no boot directory",
			more:       "manifest.json: there is something behind its end",
			cut:        cut + ": manifest.json is cut off: make the directory again",
			none:       none + ": manifest.json is cut off: make the directory again",
			pipe:       pipe + ": manifest.json cannot be read: not a file; make the directory again",
			"/nowhere": "no such file", odd: "version 7"} {
			_, err := command(t, sub, dir)
			if err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != 1 {
				t.Errorf("%s %s: error %v, want %q", sub, dir, err, want)
			}
		}
		if _, err := command(t, sub); err == nil || exitCode(err) != 2 {
			t.Errorf("%s without a folder: %v", sub, err)
		}
	}
	// An archive that is no cpio at all.
	dir := made(t)
	if err := os.WriteFile(filepath.Join(dir, bootdir.ArchiveFile), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := command(t, "inspect", dir)
	if err != nil || !strings.Contains(text, "archive           cannot be read") {
		t.Errorf("%v\n%s", err, text)
	}
}

// The archive of a directory is from outside too.
func TestArchiveEnd(t *testing.T) {
	dir := made(t)
	userland, err := testUserland(contract.AMD64)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ramfs.Unpack(bytes.NewReader(userland)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, bootdir.ArchiveFile), userland, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := command(t, "verify", dir); err == nil || !strings.Contains(text, "the archive has no end") {
		t.Errorf("%v\n%s", err, text)
	}
}
