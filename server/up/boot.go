package up

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
)

func (w *work) bootDir() string {
	if w.set.BootDir != "" {
		return w.set.BootDir
	}
	return filepath.Join(w.set.State, "boot")
}

// manifest reads the boot directory's; nil where there is no directory.
func (w *work) manifest() (*bootdir.Manifest, error) { return manifestOf(w.bootDir()) }

func manifestOf(dir string) (*bootdir.Manifest, error) {
	f, err := os.Open(filepath.Join(dir, bootdir.ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
			return nil, fmt.Errorf("%s holds files and is not a boot directory (no %s in it): move them away, or name "+
				"another folder as `boot-dir` in the settings file", dir, bootdir.ManifestFile)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := bootdir.ReadManifest(f)
	if err != nil {
		return nil, fmt.Errorf("boot directory %s: %w: move it away, and run this again", dir, err)
	}
	return m, nil
}

// bootLeadsHere says whether there is a boot directory for this server.
func (w *work) bootLeadsHere() (bool, error) {
	m, err := w.manifest()
	if err != nil || m == nil {
		return false, err
	}
	return w.leadsHere(m), nil
}

// anew is why a boot directory that is there is made anew, in words; empty where there is none.
func (w *work) anew(m *bootdir.Manifest) string {
	switch {
	case m == nil:
		return ""
	case m.Site.Server != w.URL:
		return fmt.Sprintf("it leads nodes to %s, and this server is at %s", orNothing(m.Site.Server), w.URL)
	case w.Kernel != "":
		return "--kernel asks for it"
	case w.Memtest != "" && w.Pin != "" && m.Site.Pin == w.Pin:
		return "--memtest asks for it"
	}
	return "it was made for a server with another key"
}

// keep is what mkimage is told so that a boot directory which is made anew has what was asked for when it was made: the
// console, unless another one is named, how nodes are wired, and the kernel's words. What cannot be kept is a note.
func keep(before *bootdir.Manifest, console string) (args, notes []string) {
	if before != nil {
		console = cmp.Or(console, before.Site.Console)
	}
	if console != "" {
		args = append(args, "--console", console)
	}
	if before == nil {
		return args, nil
	}
	for _, w := range []struct{ flag, value string }{{"--vlan", vlan(before.Site.VLAN)}, {"--bond", before.Site.Bond},
		{"--ip", before.Site.IP}} {
		if w.value != "" {
			args = append(args, w.flag, w.value)
			notes = append(notes, fmt.Sprintf("%s %s is kept (mkimage)", w.flag, w.value))
		}
	}
	words, ok := before.Added()
	switch {
	case !ok:
		notes = append(notes, fmt.Sprintf("the kernel's words were %q before, of another release: which of them were "+
			"added with `mkimage --append` cannot be told, and none is kept", before.Cmdline))
	case words != "":
		args = append(args, "--append", words)
		notes = append(notes, fmt.Sprintf("the kernel's words %q are kept (mkimage --append)", words))
	}
	return args, notes
}

func vlan(id int) string {
	if id == 0 {
		return ""
	}
	return strconv.Itoa(id)
}

// memtests are the memory tests that the boot directory has, which stay when it is made anew.
func (w *work) memtests() (files []string) {
	for _, name := range []string{bootdir.MemtestBIOS, bootdir.MemtestUEFI} {
		file := filepath.Join(w.bootDir(), name)
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	return files
}

// checkMemtest refuses what mkimage could not take, before anything is written.
func (w *work) checkMemtest() error {
	if w.Memtest == "" {
		return nil
	}
	file, next := w.Memtest, "name the package memtest86+ as a file (apt-get download memtest86+)"
	if file == "auto" {
		file = filepath.Join(w.Host.Root(), "boot/memtest86+x64.efi")
		next = "apt install memtest86+ (6 or later), or " + next
	}
	if st, err := os.Stat(file); err != nil || !st.Mode().IsRegular() {
		return fmt.Errorf("--memtest %s: there is no file %s: %s", w.Memtest, file, next)
	}
	return nil
}

// forMachines says whose a boot directory is, where it is not that of most machines.
func forMachines(arch bootdir.Arch) string {
	if arch == bootdir.AMD64 {
		return ""
	}
	return ", for machines of " + string(arch)
}

func orNothing(url string) string {
	if url == "" {
		return "no server"
	}
	return url
}

// release says of a boot directory that stays that another release than this one made it; empty where it did not.
func (w *work) release(m *bootdir.Manifest, mend string) string {
	by, ok := strings.CutPrefix(m.Generator, "mkimage ")
	dev := func(v string) bool { return v == "" || v == "dev" || v == "devel" }
	if !ok || by == w.Version || dev(by) || dev(w.Version) {
		return ""
	}
	return fmt.Sprintf("\nnote: %s made it, and this is diskcast %s: the agent in it is of that release. `diskcast up "+
		"%s` makes it anew", m.Generator, w.Version, mend)
}

// makeBoot makes the boot directory, by the program mkimage.
func (w *work) makeBoot(ctx context.Context) error {
	dir := w.bootDir()
	before, err := w.manifest()
	if err != nil {
		return err
	}
	if w.kernel == nil {
		w.step(Kept, "boot directory %s%s", dir, w.release(before, "--kernel linux-image-"+before.Kernel))
		return nil
	}
	if w.DryRun {
		words := fmt.Sprintf("boot directory %s, by mkimage", dir)
		if why := w.anew(before); why != "" {
			words += ", anew: " + why
		}
		w.step(Made, "%s", words)
		return nil
	}
	program, err := w.Host.MkImage()
	if err != nil {
		return err
	}
	if w.kernel.fetch != "" {
		temp, err := forApt()
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if err := w.fetchKernel(ctx, w.kernel, temp); err != nil {
			return err
		}
	}
	tests := w.memtests()
	if w.Memtest != "" {
		tests = []string{w.Memtest}
	}
	var more []string
	for _, file := range tests {
		more = append(more, "--memtest", file)
	}
	return w.mkimage(ctx, program, bootdir.AMD64, dir, w.kernel, before, w.Console, more...)
}

// forApt is a folder for what apt fetches, which drops its privileges for that.
func forApt() (string, error) {
	temp, err := os.MkdirTemp("", "diskcast-up-")
	if err != nil {
		return "", err
	}
	return temp, os.Chmod(temp, 0o755)
}

// mkimage makes a boot directory for machines of an architecture, and says what came of it.
func (w *work) mkimage(ctx context.Context, program string, arch bootdir.Arch, dir string, k *kernel,
	before *bootdir.Manifest, console string, more ...string) error {
	args := []string{"--kernel", k.file, "--arch", string(arch), "--server", w.URL, "--pin", w.Pin, "--out", dir,
		"--json"}
	for _, m := range k.modules {
		args = append(args, "--modules-from", m)
	}
	for _, l := range k.loaders {
		flag := "--grub"
		if strings.HasPrefix(filepath.Base(l), "shim") {
			flag = "--shim"
		}
		args = append(args, flag, l)
	}
	kept, note := keep(before, console)
	out, err := w.Host.Output(ctx, "", program, slices.Concat(args, kept, more)...)
	if err != nil {
		return fmt.Errorf("boot directory: %w", err)
	}
	var said struct {
		Notes    []string          `json:"notes"`
		Manifest *bootdir.Manifest `json:"manifest"`
	}
	if err := json.Unmarshal(out, &said); err != nil || said.Manifest == nil {
		return fmt.Errorf("boot directory: %s printed what this program does not understand (%v): install diskcast "+
			"and mkimage of one build", program, err)
	}
	if err := w.give(dir); err != nil {
		return err
	}
	words := fmt.Sprintf("boot directory %s%s: Linux %s, %d modules", dir, forMachines(arch), said.Manifest.Kernel,
		len(said.Manifest.Modules))
	same := before != nil && reflect.DeepEqual(before, said.Manifest)
	if same {
		words += "; it was made anew, and each file is as it was"
	}
	for _, n := range append(said.Notes, note...) {
		words += "\nnote: " + strings.TrimSpace(n)
	}
	if same {
		w.step(Kept, "%s", words)
	} else {
		w.step(Made, "%s", words)
	}
	return nil
}
