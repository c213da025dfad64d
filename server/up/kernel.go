package up

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// kernel is what nodes will run, in words and for mkimage.
type kernel struct {
	words   string
	file    string
	modules []string
	loaders []string // packages of shim and GRUB, which mkimage else takes from where they are installed
	fetch   string   // name of a package that apt is to fetch first
	apt     []string // what apt is told before all else
}

// clouds are kernels of hosted machines, which lack the drivers of real ones.
var clouds = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`-(cloud-[a-z0-9]+|aws|azure|gcp|gke|oracle|kvm|virtual|ibm)$`)
})

// packageName is Debian's form (policy, 5.6.1).
var packageName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`) })

// chooseKernel finds the kernel, unless there is a boot directory that needs none.
func (w *work) chooseKernel(context.Context) error {
	m, err := w.manifest()
	if err != nil {
		return err
	}
	if m != nil && m.Site.Server != w.URL {
		w.was = orNothing(m.Site.Server)
	}
	if err := w.checkMemtest(); err != nil {
		return err
	}
	if w.Kernel == "" {
		there, err := w.bootLeadsHere()
		if err != nil {
			return err
		}
		if there && (w.Memtest == "" || len(w.memtests()) == 2) {
			w.step(Kept, "kernel for the nodes: Linux %s, of the boot directory", m.Kernel)
			return nil
		}
	}
	k, err := w.findKernel()
	if err != nil {
		return err
	}
	w.kernel = k
	words := k.words
	if m != nil {
		words += fmt.Sprintf("; the boot directory has Linux %s, and is made anew: %s", m.Kernel, w.anew(m))
		if w.Kernel == "" {
			words += " (--kernel takes another one)"
		}
	}
	w.step(Chosen, "kernel for the nodes: %s", words)
	return nil
}

func (w *work) findKernel() (*kernel, error) {
	if w.Kernel != "" {
		return named("--kernel", w.Kernel)
	}
	if w.Host.Arch() != string(bootdir.AMD64) {
		return nil, fmt.Errorf("nodes run amd64, and this machine's own kernel is for %s: give a kernel package for "+
			"amd64 with --kernel FILE.deb", w.Host.Arch())
	}
	return w.ownKernel()
}

// named is the kernel that a flag names: a file, a folder or a package of apt's.
func named(flag, what string) (*kernel, error) {
	st, err := os.Stat(what)
	switch {
	case err == nil && st.IsDir():
		return kernelIn(flag, what)
	case err == nil:
		return &kernel{words: what, file: what}, nil
	case packageName().MatchString(what) && !strings.HasSuffix(what, ".deb"):
		return &kernel{words: "the package " + what + ", which apt fetches", fetch: what}, nil
	}
	return nil, fmt.Errorf("%s: %w: name a package of apt's, a .deb file, or a folder with a kernel", flag, err)
}

// ownKernel is the running one, for machines of the server's own architecture, or that of the distribution.
func (w *work) ownKernel() (*kernel, error) {
	release, err := w.Host.Release()
	if err != nil {
		return nil, err
	}
	image := filepath.Join(w.Host.Root(), "boot", "vmlinuz-"+release)
	modules := filepath.Join(w.Host.Root(), "lib/modules", release)
	_, noImage := os.Stat(image)
	_, noModules := os.Stat(filepath.Join(modules, "kernel"))
	why := ""
	switch {
	case clouds().MatchString(release):
		why = "the running kernel " + release + " has no drivers of real machines"
	case noImage != nil:
		why = "there is no " + image
	case noModules != nil:
		why = "there are no modules in " + modules
	default:
		return &kernel{words: "the running one, " + release, file: image, modules: []string{modules}}, nil
	}
	name, err := w.distributionKernel(bootdir.Arch(w.Host.Arch()))
	if err != nil {
		return nil, fmt.Errorf("%s, and %w", why, err)
	}
	return &kernel{words: "the package " + name + ", which apt fetches: " + why, fetch: name}, nil
}

// distributionKernel is the package that names the distribution's kernel.
func (w *work) distributionKernel(arch bootdir.Arch) (string, error) {
	b, err := os.ReadFile(filepath.Join(w.Host.Root(), "etc/os-release"))
	if err != nil {
		return "", fmt.Errorf("which distribution this is cannot be read: %w (give --kernel)", err)
	}
	id := ""
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "ID="); ok {
			id = strings.Trim(v, `"'`)
		}
	}
	switch id {
	case "debian":
		return "linux-image-" + string(arch), nil
	case "ubuntu":
		return "linux-image-generic", nil
	}
	return "", fmt.Errorf("%q is neither Debian nor Ubuntu: give a kernel with --kernel", id)
}

// kernelIn finds the kernel of a folder that a flag names: /boot, or an unpacked package.
func kernelIn(flag, dir string) (*kernel, error) {
	var found []string
	for _, pattern := range []string{"vmlinu[xz]-*", "boot/vmlinu[xz]-*", "vmlinuz"} {
		list, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", flag, dir, err)
		}
		found = append(found, list...)
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%s %s: no vmlinuz in it or in its folder boot", flag, dir)
	case 1:
	default:
		return nil, fmt.Errorf("%s %s: %d kernels in it: name one of %s", flag, dir, len(found),
			strings.Join(found, " "))
	}
	k := &kernel{words: found[0], file: found[0]}
	for _, in := range []string{"lib/modules", "usr/lib/modules"} {
		list, err := filepath.Glob(filepath.Join(dir, in, "*", "kernel"))
		if err != nil {
			return nil, err
		}
		if len(list) == 1 && k.modules == nil {
			k.modules = []string{filepath.Dir(list[0])}
		}
	}
	return k, nil // without modules beside it, those of /lib/modules
}

// fetchKernel lets apt fetch the kernel's package, or what it names, and others beside it, into a folder.
func (w *work) fetchKernel(ctx context.Context, k *kernel, dir string, beside ...string) error {
	names, err := w.kernelPackages(ctx, k)
	if err != nil {
		return err
	}
	names = append(names, beside...)
	if _, err := w.Host.Output(ctx, dir, "apt-get", slices.Concat(k.apt, []string{"-q", "download"},
		names)...); err != nil {
		return fmt.Errorf("fetch the nodes' kernel: %w (is there a network? else give a .deb with --kernel)", err)
	}
	list, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	for _, f := range list {
		name, _, _ := strings.Cut(filepath.Base(f), "_")
		switch {
		case strings.HasPrefix(name, "linux-image-"):
			k.file = f
		case slices.Contains(beside, name):
			k.loaders = append(k.loaders, f)
		default:
			k.modules = append(k.modules, f)
		}
	}
	if k.file == "" {
		return fmt.Errorf("apt-get download %s fetched no linux-image package: give a .deb with --kernel",
			strings.Join(names, " "))
	}
	return nil
}

// kernelPackages are the package and those of its kernel, following the packages that only name another one: Debian's
// kernel package has the modules, Ubuntu's depends on packages with them.
func (w *work) kernelPackages(ctx context.Context, k *kernel) ([]string, error) {
	image, modules := k.fetch, []string{}
	for range 3 { // linux-generic, linux-image-generic, linux-image-RELEASE
		text, err := w.Host.Output(ctx, "", "apt-cache", slices.Concat(k.apt, []string{"show", "--no-all-versions",
			image})...)
		if err != nil {
			return nil, fmt.Errorf("%w: `apt-get update` may help, else give a .deb with --kernel", err)
		}
		next := ""
		for _, d := range depends(text) {
			switch {
			case strings.HasPrefix(d, "linux-image-") && next == "":
				next = d
			case strings.HasPrefix(d, "linux-modules-") && !slices.Contains(modules, d):
				modules = append(modules, d)
			}
		}
		if next == "" {
			return append([]string{image}, modules...), nil
		}
		image = next
	}
	return nil, errors.New("the package " + k.fetch + " leads from one package to the next and to no kernel: give a " +
		".deb with --kernel")
}

// depends are the names in the field Depends of the first package in the text (deb822(5)), first alternatives only.
func depends(text []byte) []string {
	var field string
	in := false
	for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
		line := sc.Text()
		if line == "" {
			break
		}
		if line[0] != ' ' && line[0] != '\t' {
			in = strings.HasPrefix(line, "Depends:")
			line = strings.TrimPrefix(line, "Depends:")
		}
		if in {
			field += line
		}
	}
	var out []string
	for one := range strings.SplitSeq(field, ",") {
		one, _, _ = strings.Cut(one, "|")
		one, _, _ = strings.Cut(one, "(")
		one, _, _ = strings.Cut(strings.TrimSpace(one), ":")
		if one != "" {
			out = append(out, one)
		}
	}
	return out
}
