package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/config"
)

// packages are real ones, which `make package` made, or ones with other programs in them.
func packages(t *testing.T) (dir string, made bool) {
	if dir = os.Getenv("DISKCAST_PACKAGES"); dir != "" {
		return dir, true
	}
	dir = t.TempDir()
	programs := filepath.Join(dir, "programs")
	if err := os.Mkdir(programs, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"diskcast", "mkimage"} {
		if err := os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/true\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := build{version: "0123456-dirty", time: time.Unix(1764350000, 0).UTC()}
	for _, format := range []string{"deb", "rpm"} {
		for _, arch := range []string{"amd64", "arm64"} {
			if err := p.write(format, arch, programs, dir, &bytes.Buffer{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir, false
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !regexp.MustCompile(`(?m)` + w).MatchString(text) {
			t.Errorf("not in it: %s\n%.3000s", w, text)
		}
	}
}

// The judges are dpkg's and RPM's own readers.
func TestPackages(t *testing.T) {
	need.Tools(t, "dpkg-deb")
	dir, made := packages(t)
	for _, arch := range []string{"amd64", "arm64"} {
		list, err := filepath.Glob(filepath.Join(dir, "diskcast_*_"+arch+".deb"))
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v, %v", arch, list, err)
		}
		says(t, tool(t, "dpkg-deb", "-I", list[0]), "^ Package: diskcast$", "^ Architecture: "+arch+"$",
			`^ Version: 0\.20\d{6}\.\d{6}\+`, "^ Recommends: ipxe$", "postinst", "prerm", "postrm",
			"amd64 or, with UEFI, arm64")
		says(t, tool(t, "dpkg-deb", "-c", list[0]), `^-rwxr-xr-x root/root .* \./usr/bin/diskcast$`,
			`^-rwxr-xr-x root/root .* \./usr/bin/mkimage$`, `\./usr/lib/systemd/system/diskcast\.service$`,
			`\./usr/lib/sysusers\.d/diskcast\.conf$`, `\./usr/share/man/man1/diskcast-session-create\.1\.gz$`,
			`\./usr/share/man/man1/diskcast-up\.1\.gz$`, `\./usr/share/bash-completion/completions/mkimage$`,
			`\./usr/share/zsh/vendor-completions/_diskcast$`, `\./usr/share/fish/vendor_completions\.d/diskcast\.fish$`,
			`\./etc/diskcast/diskcast\.example\.toml$`)
		says(t, tool(t, "dpkg-deb", "-I", list[0], "conffiles"), "^/etc/diskcast/diskcast.example.toml$")
		root := t.TempDir()
		tool(t, "dpkg-deb", "-x", list[0], root)
		inside(t, root, made && arch == runtime.GOARCH)
		if _, err := exec.LookPath("rpm"); err != nil {
			if made {
				t.Error("rpm, which judges the other packages, is not installed: .ci/packages package installs it")
			}
			continue
		}
		rpmArch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
		if list, err = filepath.Glob(filepath.Join(dir, "diskcast-*."+rpmArch+".rpm")); err != nil || len(list) != 1 {
			t.Fatalf("%s: %v, %v", arch, list, err)
		}
		says(t, tool(t, "rpm", "-qip", list[0]), `^Name +: diskcast$`, `^Architecture: `+rpmArch+`$`)
		says(t, tool(t, "rpm", "-qlp", list[0]), "^/usr/bin/diskcast$", "^/usr/lib/systemd/system/diskcast.service$")
		says(t, tool(t, "rpm", "-qcp", list[0]), "^/etc/diskcast/diskcast.example.toml$")
		tool(t, "rpm", "-K", "--nosignature", list[0])
	}
}

// inside looks at an unpacked package.
func inside(t *testing.T, root string, runs bool) {
	f, err := config.Read(filepath.Join(root, "etc/diskcast/diskcast.example.toml"))
	if err != nil || len(f.Values) != 0 {
		t.Errorf("the example sets %v, %v", f, err)
	}
	if runs {
		for _, name := range []string{"diskcast", "mkimage"} {
			says(t, tool(t, filepath.Join(root, "usr/bin", name), "--version"), name+" version ")
		}
		says(t, tool(t, filepath.Join(root, "usr/bin/diskcast"), "__complete", "ser"), "^serve")
		says(t, tool(t, filepath.Join(root, "usr/bin/mkimage"), "__complete", "--ker"), "^--kernel")
	}
}

// The unit gives an attacker little: systemd's own measure, of 10.
func TestUnitIsConfined(t *testing.T) {
	need.Tools(t, "systemd-analyze")
	text := tool(t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=25",
		"files/diskcast.service")
	says(t, text, `Overall exposure level for diskcast.service: [012]\.\d`)
}

// What runs when a package comes and goes is for any shell.
func TestScripts(t *testing.T) {
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		tool(t, "sh", "-n", "files/"+name)
	}
}

// A page for each command, none twice, and none with today's date.
func TestDocuments(t *testing.T) {
	one, err := documents(time.Unix(1764350000, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	two, err := documents(time.Unix(1764350000, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for name, text := range one {
		if !bytes.Equal(text, two[name]) {
			t.Errorf("%s: made twice, it is not the same", name)
		}
		if strings.HasSuffix(name, ".1.gz") {
			pages++
		}
	}
	if pages < 40 {
		t.Errorf("%d man pages", pages)
	}
}
