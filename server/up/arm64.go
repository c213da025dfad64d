package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// auto is the kernel of machines of 64-bit ARM that is found: the running one, else the distribution's.
const auto = "auto"

// loadersARM64 are the packages of shim and GRUB for machines of 64-bit ARM. The server has none of their programs.
var loadersARM64 = []string{"shim-signed", "grub-efi-arm64-signed"}

func (w *work) dirARM64() string { return bootdir.ARM64.Beside(w.bootDir()) }

// leadsHere says whether a boot directory is for this server.
func (w *work) leadsHere(m *bootdir.Manifest) bool {
	return m != nil && w.Pin != "" && m.Site.Server == w.URL && m.Site.Pin == w.Pin
}

// chooseARM64 finds what machines of 64-bit ARM are to run, where such are asked for.
func (w *work) chooseARM64(context.Context) error {
	if w.KernelARM64 == "" {
		if w.ConsoleARM64 != "" {
			return errors.New("--console-arm64 is for the boot directory that --kernel-arm64 makes: give both")
		}
		return nil
	}
	m, err := manifestOf(w.dirARM64())
	if err != nil {
		return err
	}
	made := m != nil && m.Arch.OrDefault() == bootdir.ARM64 && w.leadsHere(m)
	if w.KernelARM64 == auto && made && w.ConsoleARM64 == "" {
		w.step(Kept, "kernel for machines of arm64: Linux %s, of their boot directory", m.Kernel)
		return nil
	}
	k, err := w.findARM64()
	if err != nil {
		return err
	}
	w.arm64 = k
	words := k.words
	if m != nil {
		words += fmt.Sprintf("; their boot directory has Linux %s, and is made anew", m.Kernel)
	}
	w.step(Chosen, "kernel for machines of arm64: %s", words)
	return nil
}

// findARM64 is the kernel that is asked for, with shim and GRUB from beside it.
func (w *work) findARM64() (*kernel, error) {
	if w.KernelARM64 == auto {
		if w.Host.Arch() == string(bootdir.ARM64) {
			return w.ownKernel()
		}
		name, err := w.distributionKernel(bootdir.ARM64)
		if err != nil {
			return nil, fmt.Errorf("--kernel-arm64 %s: %w", auto, err)
		}
		return &kernel{words: "the package " + name + ", which apt fetches with shim and GRUB", fetch: name}, nil
	}
	what, beside := w.KernelARM64, filepath.Dir(w.KernelARM64)
	if st, err := os.Stat(what); err == nil && st.IsDir() {
		beside = what
		found, err := filepath.Glob(filepath.Join(what, "linux-image-*.deb"))
		if err != nil {
			return nil, fmt.Errorf("--kernel-arm64 %s: %w", what, err)
		}
		switch len(found) {
		case 0: // /boot, or an unpacked package
		case 1:
			what = found[0]
		default:
			return nil, fmt.Errorf("--kernel-arm64 %s: %d packages of kernels in it: name one of %s", what, len(found),
				strings.Join(found, " "))
		}
	}
	k, err := named("--kernel-arm64", what)
	if err != nil || k.fetch != "" {
		return k, err
	}
	if k.loaders, err = loadersIn(beside); err != nil {
		return nil, err
	}
	if len(k.loaders) == 0 && !w.startsARM64() {
		return nil, fmt.Errorf("--kernel-arm64 %s: machines of arm64 would have nothing to start it with: put their "+
			"packages %s_*_arm64.deb beside it, into %s, or have apt fetch all of them with --kernel-arm64 %s",
			w.KernelARM64, strings.Join(loadersARM64, "_*_arm64.deb and "), beside, auto)
	}
	return k, nil
}

// loadersIn finds the packages of shim and GRUB in a folder: both, or none.
func loadersIn(dir string) ([]string, error) {
	var all []string
	for _, name := range loadersARM64 {
		found, err := filepath.Glob(filepath.Join(dir, name+"_*_arm64.deb"))
		if err != nil {
			return nil, err
		}
		if len(found) > 1 {
			return nil, fmt.Errorf("%d packages of %s are beside the kernel for arm64: leave one of %s", len(found),
				name, strings.Join(found, " "))
		}
		all = append(all, found...)
	}
	if len(all) == 1 {
		return nil, fmt.Errorf("%s is beside the kernel for arm64, and of %s only that: machines need both", all[0],
			strings.Join(loadersARM64, " and "))
	}
	return all, nil
}

// startsARM64 says whether shim or iPXE for machines of 64-bit ARM is installed, from where mkimage takes it.
func (w *work) startsARM64() bool {
	for _, pattern := range []string{"usr/lib/shim/shimaa64.efi.signed*", "usr/lib/ipxe/*-arm64.efi"} {
		if found, err := filepath.Glob(filepath.Join(w.Host.Root(), pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// makeARM64 makes the boot directory for machines of 64-bit ARM where it is asked for; one that is there it says of
// whether it leads to this server.
func (w *work) makeARM64(ctx context.Context) error {
	if w.arm64 == nil {
		w.sayARM64()
		return nil
	}
	dir := w.dirARM64()
	before, err := manifestOf(dir)
	if err != nil {
		return err
	}
	if w.DryRun {
		w.step(Made, "boot directory %s%s, by mkimage", dir, forMachines(bootdir.ARM64))
		return nil
	}
	program, err := w.Host.MkImage()
	if err != nil {
		return err
	}
	if w.arm64.fetch != "" {
		temp, err := forApt()
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if err := w.fetchARM64(ctx, temp); err != nil {
			return err
		}
	}
	return w.mkimage(ctx, program, bootdir.ARM64, dir, w.arm64, before, w.ConsoleARM64)
}

// fetchARM64 has apt fetch kernel, shim and GRUB. Where the server is of another architecture, apt has lists of its own
// for that, so that the system's are as they were, and the machine need not be told of a second architecture.
func (w *work) fetchARM64(ctx context.Context, temp string) error {
	k := w.arm64
	dir := filepath.Join(temp, "deb")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	next := "give the packages as files instead: --kernel-arm64 FOLDER, with linux-image-*_arm64.deb, " +
		strings.Join(loadersARM64, "_*_arm64.deb and ") + "_*_arm64.deb in it"
	if w.Host.Arch() != string(bootdir.ARM64) {
		lists := filepath.Join(temp, "lists")
		if err := os.Mkdir(lists, 0o755); err != nil {
			return err
		}
		for _, o := range []string{"Dir::State::lists=" + lists, "Dir::State::status=/dev/null",
			"Dir::Cache=" + filepath.Join(temp, "cache"), "APT::Architecture=arm64", "APT::Architectures=arm64",
			"Acquire::Languages=none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"} {
			k.apt = append(k.apt, "-o", o)
		}
		if _, err := w.Host.Output(ctx, "", "apt-get", slices.Concat(k.apt, []string{"-q", "update"})...); err != nil {
			return fmt.Errorf("apt asks its sources for packages of arm64: %w (is there a network, and do the sources "+
				"have arm64? Ubuntu keeps it at ports.ubuntu.com); %s", err, next)
		}
	}
	if err := w.fetchKernel(ctx, k, dir, loadersARM64...); err != nil {
		return fmt.Errorf("for machines of arm64: %w; %s", err, next)
	}
	return nil
}

// sayARM64 says whether the boot directory for machines of 64-bit ARM, where there is one, leads to this server.
func (w *work) sayARM64() {
	dir := w.dirARM64()
	m, err := manifestOf(dir)
	if err != nil { // those of amd64 are served all the same
		w.step(Kept, "boot directory %s%s\nnote: they do not come: %v", dir, forMachines(bootdir.ARM64), err)
		return
	}
	if m == nil {
		return
	}
	if w.leadsHere(m) {
		w.step(Kept, "boot directory %s%s%s", dir, forMachines(bootdir.ARM64), w.release(m, "--kernel-arm64 "+
			"linux-image-"+m.Kernel))
		return
	}
	why := "was made for a server with another key"
	if m.Site.Server != w.URL {
		why = fmt.Sprintf("leads them to %s, and this server is at %s", orNothing(m.Site.Server), w.URL)
	}
	w.step(Kept, "boot directory %s%s\nnote: it %s: machines of arm64 do not come until it is made again: `diskcast "+
		"up --kernel-arm64 %s`, or --kernel-arm64 with a folder of their packages", dir, forMachines(bootdir.ARM64),
		why, auto)
}
