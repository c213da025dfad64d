package up

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
)

// armApt imitates apt with sources that have arm64: what it fetches it leaves as files.
func armApt(t *testing.T, h *host) {
	t.Helper()
	foreign := func(args []string) bool { return slices.Contains(args, "APT::Architectures=arm64") }
	h.programs["apt-cache"] = func(_ string, args []string) ([]byte, error) {
		if !foreign(args) {
			t.Errorf("apt-cache is asked of the system's own architecture: %q", args)
		}
		switch args[len(args)-1] {
		case "linux-image-arm64":
			return []byte("Package: linux-image-arm64\nDepends: linux-image-6.1.0-40-arm64 (= 1)\n"), nil
		case "linux-image-6.1.0-40-arm64":
			return []byte("Package: linux-image-6.1.0-40-arm64\nDepends: kmod\n"), nil
		}
		return nil, errors.New("apt-cache: exit status 100: E: No packages found")
	}
	h.programs["apt-get"] = func(dir string, args []string) ([]byte, error) {
		if !foreign(args) {
			t.Errorf("apt-get is told of the system's own architecture: %q", args)
		}
		i := slices.Index(args, "download")
		if i < 0 {
			return nil, nil // update
		}
		for _, name := range args[i+1:] {
			if err := os.WriteFile(filepath.Join(dir, name+"_1_arm64.deb"), nil, 0o644); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

func manifestARM64(t *testing.T, o Options) *bootdir.Manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(o.State, "boot-arm64", bootdir.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	var m bootdir.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

// TestARM64 has one command make both boot directories, the second of packages that apt fetches with lists of its own.
// Run again it changes nothing; a server that moved makes both anew, with what the operator added to them.
func TestARM64(t *testing.T) {
	n := nettest.New(t)
	h := newHost(t)
	armApt(t, h)
	o := options(t, h)
	o.KernelARM64, o.ConsoleARM64, o.DryRun = "auto", "ttyAMA0", true
	if _, err := run(t, n, o); err != nil || len(h.ran) > 0 {
		t.Fatalf("a dry run: %v, it ran %q", err, h.ran)
	}
	o.DryRun = false
	if _, err := run(t, n, o); err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, line := range h.ran {
		if strings.HasPrefix(line, "mkimage") {
			made = append(made, line)
		}
	}
	if len(made) != 2 || !strings.Contains(made[0], "--arch amd64") || !strings.Contains(made[1], "--arch arm64") {
		t.Fatalf("mkimage ran %q, want for each architecture", made)
	}
	for _, want := range []string{"/deb/linux-image-6.1.0-40-arm64_1_arm64.deb ", "--shim ", "/shim-signed_1_arm64.deb",
		"--grub ", "/grub-efi-arm64-signed_1_arm64.deb", "--console ttyAMA0", "--out " + o.State + "/boot-arm64"} {
		if !strings.Contains(made[1]+" ", want) {
			t.Errorf("mkimage %q, want %q", made[1], want)
		}
	}
	if m := manifestARM64(t, o); m.Arch != bootdir.ARM64 || m.Site.Server != "https://10.77.0.1:8443" {
		t.Errorf("%+v", m)
	}
	before := hashes(t, o.State)
	h.ran, o.ConsoleARM64 = nil, ""
	if r, err := run(t, n, o); err != nil || r.Changed || len(h.ran) > 0 || hashes(t, o.State) != before {
		t.Errorf("run again it changed something: %v, ran %q, %+v", err, h.ran, r)
	}
	move(t, n)
	if _, err := run(t, n, o); err != nil {
		t.Fatal(err)
	}
	if m := manifestARM64(t, o); m.Site.Server != "https://10.88.0.1:8443" || m.Site.Console != "ttyAMA0" {
		t.Errorf("on another LAN: %+v", m.Site)
	}
}

// TestKernelARM64Files: packages in a folder, or beside the kernel that is named.
func TestKernelARM64Files(t *testing.T) {
	h := newHost(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	image := at("linux-image-6.1.0-40-arm64_1_arm64.deb")
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(image)
	loaders := []string{at("shim-signed_1_arm64.deb"), at("grub-efi-arm64-signed_1_arm64.deb")}
	find := func(what string) (*kernel, error) {
		w := &work{Options: Options{Host: h, KernelARM64: what}, Result: &Result{}}
		return w.findARM64()
	}
	for _, what := range []string{image, dir} {
		if _, err := find(what); err == nil || !strings.Contains(err.Error(), "nothing to start it with") ||
			!strings.Contains(err.Error(), "shim-signed_*_arm64.deb and grub-efi-arm64-signed_*_arm64.deb beside it") {
			t.Errorf("%s without shim and GRUB: %v", what, err)
		}
	}
	write(loaders[0])
	if _, err := find(image); err == nil || !strings.Contains(err.Error(), "machines need both") {
		t.Errorf("with shim alone: %v", err)
	}
	write(loaders[1])
	for _, what := range []string{image, dir} {
		if k, err := find(what); err != nil || k.file != image || !slices.Equal(k.loaders, loaders) {
			t.Errorf("%s: %+v, %v", what, k, err)
		}
	}
	write(at("shim-signed_2_arm64.deb"))
	if _, err := find(image); err == nil || !strings.Contains(err.Error(), "2 packages of shim-signed") {
		t.Errorf("with two shims: %v", err)
	}
	write(at("linux-image-6.1.0-41-arm64_1_arm64.deb"))
	if _, err := find(dir); err == nil || !strings.Contains(err.Error(), "2 packages of kernels") {
		t.Errorf("with two kernels: %v", err)
	}
	installed := filepath.Join(h.root, "usr/lib/ipxe/ipxe-arm64.efi")
	if err := os.MkdirAll(filepath.Dir(installed), 0o755); err != nil {
		t.Fatal(err)
	}
	write(installed)
	alone := filepath.Join(t.TempDir(), "vmlinuz-6.1.0-40-arm64")
	write(alone)
	if k, err := find(alone); err != nil || k.file != alone || k.loaders != nil {
		t.Errorf("with iPXE for arm64 installed: %+v, %v", k, err)
	}
}

// TestKernelARM64Refusals: what is missing is said with the next step, and nothing of machines of amd64 is undone.
func TestKernelARM64Refusals(t *testing.T) {
	n := nettest.New(t)
	fail := func(words string) func(string, []string) ([]byte, error) {
		return func(string, []string) ([]byte, error) { return nil, errors.New(words) }
	}
	for name, c := range map[string]struct {
		with func(t *testing.T, h *host, o *Options)
		want []string
	}{
		"no such file": {func(_ *testing.T, _ *host, o *Options) { o.KernelARM64 = "/none.deb" },
			[]string{"--kernel-arm64", "/none.deb", "name a package"}},
		"console alone": {func(_ *testing.T, _ *host, o *Options) { o.KernelARM64, o.ConsoleARM64 = "", "ttyAMA0" },
			[]string{"--console-arm64", "give both"}},
		"another distribution": {func(t *testing.T, h *host, _ *Options) {
			if err := os.WriteFile(filepath.Join(h.root, "etc/os-release"), []byte("ID=arch\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, []string{"--kernel-arm64 auto", "neither Debian nor Ubuntu"}},
		"sources without arm64": {func(_ *testing.T, h *host, _ *Options) {
			h.programs["apt-get"] = fail("404  Not Found")
		}, []string{"404", "ports.ubuntu.com", "--kernel-arm64 FOLDER", "shim-signed_*_arm64.deb"}},
		"no kernel in them": {func(_ *testing.T, h *host, _ *Options) {
			h.programs["apt-cache"] = fail("E: No packages found")
		}, []string{"for machines of arm64", "No packages found", "--kernel-arm64 FOLDER"}},
		"a kernel of another architecture": {func(_ *testing.T, h *host, _ *Options) {
			make := h.programs["mkimage"]
			h.programs["mkimage"] = func(dir string, args []string) ([]byte, error) {
				if slices.Contains(args, "arm64") {
					return nil, errors.New("is a kernel for machines of amd64, and --arch says arm64")
				}
				return make(dir, args)
			}
		}, []string{"--arch says arm64"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			armApt(t, h)
			o := options(t, h)
			o.KernelARM64 = "auto"
			c.with(t, h, &o)
			_, err := run(t, n, o)
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("got %v, want %q", err, w)
				}
			}
			if _, err := os.Stat(filepath.Join(o.State, "boot-arm64")); err == nil {
				t.Error("a boot directory for arm64 was made all the same")
			}
		})
	}
}

// TestARM64There says of a boot directory for machines of 64-bit ARM whether it leads to this server, and leaves it
// alone.
func TestARM64There(t *testing.T) {
	n := nettest.New(t)
	o := options(t, newHost(t))
	said := func() string {
		t.Helper()
		r, err := run(t, n, o)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, s := range r.Steps {
			if strings.Contains(s.What, "arm64") {
				lines = append(lines, s.What)
			}
		}
		return strings.Join(lines, "\n")
	}
	if got := said(); got != "" {
		t.Errorf("of no directory: %s", got)
	}
	text, err := os.ReadFile(filepath.Join(o.State, "boot", bootdir.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(o.State, "boot-arm64")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for manifest, want := range map[string]string{
		string(text): "boot-arm64, for machines of arm64",
		strings.Replace(string(text), "10.77.0.1", "10.77.0.2", 1): "it leads them to https://10.77.0.2:8443, and " +
			"this server is at https://10.77.0.1:8443: machines of arm64 do not come until it is made again: " +
			"`diskcast up --kernel-arm64 auto`",
		"{": "note: they do not come: boot directory " + dir,
	} {
		if err := os.WriteFile(filepath.Join(dir, bootdir.ManifestFile), []byte(manifest), 0o644); err != nil {
			t.Fatal(err)
		}
		got, note := said(), manifest != string(text)
		if !strings.Contains(got, want) || strings.Contains(got, "note") != note {
			t.Errorf("%q; want %q", got, want)
		}
		if now, err := os.ReadFile(filepath.Join(dir, bootdir.ManifestFile)); err != nil || string(now) != manifest {
			t.Errorf("it was changed: %v", err)
		}
	}
}
