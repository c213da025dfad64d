package up

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// apt imitates Ubuntu's packages of a kernel.
var ubuntu = map[string]string{
	"linux-image-generic": "Package: linux-image-generic\nDepends: linux-image-6.8.0-60-generic,\n" +
		" linux-modules-extra-6.8.0-60-generic, linux-firmware, amd64-microcode\nDescription: x\n\n" +
		"Package: linux-image-generic\nDepends: linux-image-5\n",
	"linux-image-6.8.0-60-generic": "Package: linux-image-6.8.0-60-generic\n" +
		"Depends: kmod, linux-base (>= 4.5ubuntu1~16.04.1), linux-modules-6.8.0-60-generic\n",
	"linux-image-round": "Package: linux-image-round\nDepends: linux-image-round\n",
}

func aptHost(t *testing.T) *host {
	h := newHost(t)
	h.programs["apt-cache"] = func(_ string, args []string) ([]byte, error) {
		if text := ubuntu[args[len(args)-1]]; text != "" {
			return []byte(text), nil
		}
		return nil, errors.New("apt-cache: exit status 100: E: No packages found")
	}
	h.programs["apt-get"] = func(dir string, args []string) ([]byte, error) {
		for _, name := range args[slices.Index(args, "download")+1:] {
			if err := os.WriteFile(filepath.Join(dir, name+"_1_amd64.deb"), nil, 0o644); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	return h
}

func TestFetchedKernel(t *testing.T) {
	h := aptHost(t)
	h.release = "6.8.0-60-azure"
	if err := os.WriteFile(filepath.Join(h.root, "etc/os-release"), []byte("NAME=x\nID=ubuntu\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := &work{Options: Options{Host: h}, Result: &Result{}}
	k, err := w.findKernel()
	if err != nil || k.fetch != "linux-image-generic" || !strings.Contains(k.words, "no drivers") {
		t.Fatalf("%+v, %v", k, err)
	}
	dir := t.TempDir()
	if err := w.fetchKernel(t.Context(), k, dir); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name+"_1_amd64.deb") }
	want := []string{at("linux-modules-6.8.0-60-generic"), at("linux-modules-extra-6.8.0-60-generic")}
	if slices.Sort(k.modules); k.file != at("linux-image-6.8.0-60-generic") || !slices.Equal(k.modules, want) {
		t.Errorf("%+v, want modules %v", k, want)
	}
	for name, words := range map[string]string{"linux-image-none": "apt-get update",
		"linux-image-round": "to no kernel"} {
		if err := w.fetchKernel(t.Context(), &kernel{fetch: name}, t.TempDir()); err == nil ||
			!strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", name, err, words)
		}
	}
}

func TestKernelIn(t *testing.T) {
	dir := t.TempDir()
	if _, err := kernelIn("--kernel", dir); err == nil || !strings.Contains(err.Error(), "no vmlinuz") {
		t.Error(err)
	}
	for _, d := range []string{"boot", "lib/modules/6.1.0/kernel"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(dir, "boot/vmlinuz-6.1.0")
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := kernelIn("--kernel", dir)
	if err != nil || k.file != image || !slices.Equal(k.modules, []string{filepath.Join(dir, "lib/modules/6.1.0")}) {
		t.Errorf("%+v, %v", k, err)
	}
	if err := os.WriteFile(image+"-old", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := kernelIn("--kernel", dir); err == nil || !strings.Contains(err.Error(), "2 kernels") {
		t.Error(err)
	}
}

// The unit is enabled and started unless it serves already; a unit that does not start says its last words.
func TestUnit(t *testing.T) {
	for _, c := range []struct {
		active, enabled, ours, starts bool
		step                          Done
		words                         string
	}{
		{active: true, enabled: true, ours: true, step: Kept},
		{starts: true, step: Made},
		{active: true, ours: true, starts: true, step: Made},
		{words: "no carrier"},
		{ours: true, enabled: true, words: "answers already"},
	} {
		h := newHost(t)
		yes := func(b bool) ([]byte, error) {
			if b {
				return nil, nil
			}
			return nil, errors.New("exit status 3")
		}
		h.programs["systemctl"] = func(_ string, args []string) ([]byte, error) {
			switch args[0] {
			case "is-active":
				return yes(c.active)
			case "is-enabled":
				return yes(c.enabled)
			}
			return yes(c.starts)
		}
		h.programs["journalctl"] = func(string, []string) ([]byte, error) { return []byte("no carrier"), nil }
		w := &work{Options: Options{Host: h}, Result: &Result{}, unit: true, ours: c.ours}
		err := w.start(t.Context())
		if c.words != "" {
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil || len(w.Steps) != 1 || w.Steps[0].Done != c.step || !w.Serving {
			t.Errorf("%+v: %v %+v", c, err, w.Steps)
		}
	}
}
