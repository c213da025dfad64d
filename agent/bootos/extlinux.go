package bootos

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// extlinuxConfigs are where EXTLINUX and SYSLINUX look, and U-Boot's distro boot; in a folder the first counts.
var extlinuxConfigs = []string{
	"/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/boot/extlinux.conf", "/extlinux.conf",
	"/boot/syslinux/extlinux.conf", "/syslinux/extlinux.conf",
	"/boot/syslinux/syslinux.cfg", "/syslinux/syslinux.cfg", "/boot/extlinux/syslinux.cfg", "/extlinux/syslinux.cfg",
	"/syslinux.cfg",
}

// extlinuxes lists the configurations of a partition whose boot sector is EXTLINUX's, or with 0 of all. Which folder it
// looks into first is written into the loader: where that is not read, the first configuration of each folder is in the
// list.
func (f *finder) extlinuxes(only int) []candidate {
	var out []candidate
	add := func(v *Volumes, dev int, configs []string, first bool) {
		seen := map[string]bool{}
		for _, file := range configs {
			full, fi, err := v.resolve(dev, file)
			if err != nil || !fi.Mode().IsRegular() || seen[path.Dir(file)] || seen[full] {
				continue
			}
			seen[path.Dir(file)], seen[full] = true, true
			out = append(out, candidate{
				what: fmt.Sprintf("extlinux, %s on partition %d", file, dev),
				load: func() (*System, error) { return extlinux(v, dev, file) },
			})
			if first {
				break
			}
		}
	}
	for _, dev := range f.v.Numbers() {
		if only != 0 && dev != only || dev < 0 {
			continue // what is in LVM or RAID it does not read
		}
		if f.v.byNumber[dev].Type != "btrfs" {
			add(f.v, dev, extlinuxConfigs, false)
			continue
		}
		v, configs, err := f.extlinuxOn(dev)
		switch {
		case err == nil:
			add(v, dev, configs, true)
		case only != 0 || !errors.Is(err, errNoExtlinux):
			out = append(out, refused(fmt.Sprintf("extlinux on partition %d", dev), err))
		}
		if only == 0 {
			// U-Boot reads the same files and begins at the default subvolume.
			add(f.v.fromDefault(), dev, extlinuxConfigs, false)
		}
	}
	return out
}

// extlinux reads a configuration and returns what it starts when nobody touches a key.
func extlinux(v *Volumes, dev int, file string) (*System, error) {
	c := &extlinuxConfig{read: func(name string) (string, error) {
		b, err := v.ReadFile(dev, relative(file, name), 1<<20)
		return string(b), err
	}}
	text, err := v.ReadFile(dev, file, 1<<20)
	if err != nil {
		return nil, err
	}
	if err := c.parse(string(text), 0); err != nil {
		return nil, err
	}
	l, err := c.choose()
	if err != nil {
		return nil, err
	}
	at := func(name string) grub.File { return v.fromTop(grub.File{Device: dev, Path: relative(file, name)}) }
	s := &System{Title: l.title, Kernel: at(l.kernel), Args: l.args}
	if s.Title == "" {
		s.Title = l.name
	}
	for _, i := range l.initrds {
		s.Initrds = append(s.Initrds, at(i))
	}
	return s, nil
}

// relative resolves a name as EXTLINUX does: from the configuration's own folder.
func relative(file, name string) string {
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(file), name)
	}
	return path.Clean(name)
}

// choose picks what is started when nobody touches a key. UI goes before DEFAULT and before the prompt; a prompt or a
// menu waits, for ever where no TIMEOUT ends it; then comes ONTIMEOUT, else the command that UI or DEFAULT names.
func (c *extlinuxConfig) choose() (*extlinuxLabel, error) {
	if c.saves {
		return nil, &Restart{Why: "its menu starts what was chosen last, which SYSLINUX keeps outside of files"}
	}
	if c.negative {
		return nil, &Restart{Why: "its timeout is below 0: SYSLINUX' and U-Boot's versions wait for ever or not at all"}
	}
	command := c.wanted
	if c.ui != "" {
		command = c.ui
	}
	if command == "" {
		return nil, &Restart{Why: "it names no default entry and waits for somebody to choose"}
	}
	name, words := word(command)
	menu := c.label(name) == nil && (isModule(name, "menu.c32") || isModule(name, "vesamenu.c32"))
	if c.menuFile != "" && !menu {
		return nil, &Restart{Entry: command, Why: fmt.Sprintf("MENU INCLUDE names %s, which SYSLINUX' versions read "+
			"or not where there is no menu", c.menuFile)}
	}
	if c.ui == "" && c.prompt && !c.noEscape {
		switch {
		case !c.timeout:
			return nil, &Restart{Entry: command,
				Why: "its prompt has no timeout: SYSLINUX waits for somebody to choose"}
		case c.onTimeout != "":
			return c.load(c.onTimeout)
		}
	}
	switch {
	case !menu:
		return c.load(command)
	case words != "":
		return nil, &Restart{Entry: command, Why: "its menu is in another file, which is not followed"}
	case strings.ContainsAny(c.wanted, " \t"):
		return nil, &Restart{Entry: c.wanted,
			Why: "DEFAULT has words behind the name, and what its menu makes of them is not known"}
	case c.shiftKey:
		return nil, &Restart{Entry: command, Why: "whether its menu is shown hangs on the shift key"}
	}
	l, err := c.menuDefault()
	switch {
	case err != nil:
		return nil, err
	case !c.menuTimeout:
		return nil, &Restart{Entry: l.name, Why: "its menu has no timeout: SYSLINUX waits for somebody to choose"}
	case c.menuInstead != "":
		return c.load(c.menuInstead)
	}
	return c.finish(*l, "")
}

// label finds an entry by its name.
func (c *extlinuxConfig) label(name string) *extlinuxLabel {
	for i := range c.labels {
		if l := &c.labels[i]; l.name == name && name != "" {
			return l
		}
	}
	return nil
}

// twice tells whether another entry of the same name starts something else.
func (c *extlinuxConfig) twice(l *extlinuxLabel) bool {
	return slices.ContainsFunc(c.labels, func(x extlinuxLabel) bool {
		return x.name == l.name && (x.kind != l.kind || x.kernel != l.kernel || x.append != l.append ||
			x.hasAppend != l.hasAppend || x.initrd != l.initrd || x.fdt != l.fdt || x.sysappend != l.sysappend)
	})
}

// load takes a command as it may be typed: a label, else the name of a kernel; words behind it are the kernel's.
func (c *extlinuxConfig) load(command string) (*extlinuxLabel, error) {
	name, words := word(command)
	if l := c.label(name); l != nil {
		return c.finish(*l, words)
	}
	if c.implicit == "0" {
		return nil, &Restart{Entry: name, Why: "no entry has this name, and SYSLINUX waits for somebody to choose"}
	}
	return c.finish(extlinuxLabel{name: name, kind: "kernel", kernel: name}, words)
}

// menuDefault is the entry on which a menu begins: that of DEFAULT, else the one marked MENU DEFAULT, else the first
// row. Where that is nothing that can be started, or in a submenu, whose own timeout counts, the menu waits, or does
// what its versions do.
func (c *extlinuxConfig) menuDefault() (*extlinuxLabel, error) {
	name, _ := word(c.wanted)
	switch l := c.label(name); {
	case l != nil && (l.submenu || l.hidden || l.disabled):
		return nil, &Restart{Entry: l.name, Why: "it is in a submenu, hidden or disabled, and what the menu makes of " +
			"such a default is not followed here"}
	case c.deepStart || c.deepDefault && l == nil:
		return nil, &Restart{Why: "its menu begins in a submenu"}
	case l != nil:
		return l, nil
	}
	var first, marked *extlinuxLabel
	for i := range c.labels {
		l := &c.labels[i]
		if l.submenu || l.hidden {
			continue
		}
		if first == nil {
			first = l
		}
		if !l.isDefault || l.disabled {
			continue
		}
		if marked != nil {
			return nil, &Restart{Entry: l.name, Why: "several entries are marked as the menu's default, of which " +
				"SYSLINUX' menu takes the last and U-Boot the first"}
		}
		marked = l
	}
	switch {
	case marked != nil:
		return marked, nil
	case first == nil:
		return nil, &Restart{Why: "its menu is empty"}
	case c.oddFirst || first.disabled:
		return nil, &Restart{Why: "its menu begins on a row that starts nothing: SYSLINUX waits for somebody to choose"}
	}
	return first, nil
}

// finish gives an entry its command line, and refuses what is not a Linux kernel with nothing but files.
func (c *extlinuxConfig) finish(l extlinuxLabel, words string) (*extlinuxLabel, error) {
	restart := func(format string, args ...any) (*extlinuxLabel, error) {
		return nil, &Restart{Entry: l.name, Why: fmt.Sprintf(format, args...)}
	}
	if c.twice(&l) {
		return restart("two entries that differ have this name, of which SYSLINUX takes the first and U-Boot the last")
	}
	if l.kind == "" { // a label without a kernel is a kernel's name
		l.kind, l.kernel = "kernel", l.name
	}
	switch {
	case l.kind != "linux" && l.kind != "kernel":
		return restart("it is started with %q, which is no Linux kernel", strings.TrimSpace(l.kind+" "+l.kernel))
	case l.kind == "kernel" && notLinux[strings.ToLower(path.Ext(l.kernel))]:
		return restart("%s is no Linux kernel", l.kernel)
	case strings.Contains(l.kernel, "::"):
		return restart("%s is in the network", l.kernel)
	case l.fdt != "":
		return restart("it brings the device tree %s, which kexec cannot pass on", l.fdt)
	case c.sysappend != "" && c.sysappend != "0" || l.sysappend != "" && l.sysappend != "0":
		return restart("SYSAPPEND adds words that only SYSLINUX knows")
	}
	args := l.append
	switch {
	case args == "-": // not even the global ones
		args = ""
	case !l.hasAppend:
		args = c.append
	}
	// As SYSLINUX 6 makes it, blanks as they are; kdump and others read BOOT_IMAGE.
	parts := []string{"BOOT_IMAGE=" + l.kernel, args}
	if l.initrd != "" {
		parts = append(parts, "initrd="+l.initrd)
	}
	parts = slices.DeleteFunc(append(parts, words), func(p string) bool { return p == "" })
	l.args = strings.Join(parts, " ")
	var err error
	if l.initrds, err = initrdsOf(l.args); err != nil {
		return restart("%v", err)
	}
	return &l, nil
}

// initrdsOf takes the names of initrds from a command line, where SYSLINUX finds them: behind initrd=, with commas
// between them, up to a blank. Version 6 takes the first such place, be it inside a word.
func initrdsOf(args string) ([]string, error) {
	before, rest, is := strings.Cut(args, "initrd=")
	if !is {
		return nil, nil
	}
	first, _, _ := strings.Cut(rest, " ")
	for is {
		if before != "" && !strings.HasSuffix(before, " ") {
			return nil, errors.New("there is initrd= inside a word, and SYSLINUX' versions differ in whether it counts")
		}
		if other, _, _ := strings.Cut(rest, " "); other != first {
			return nil, fmt.Errorf("it has several initrd= (%s and %s), and SYSLINUX' versions differ in which counts",
				first, other)
		}
		before, rest, is = strings.Cut(rest, "initrd=")
	}
	return strings.Split(first, ","), nil
}

// notLinux are endings that tell SYSLINUX that a KERNEL is something else: a module, a boot sector, a network program,
// a disk image.
var notLinux = map[string]bool{".c32": true, ".com": true, ".cbt": true, ".bin": true, ".bs": true, ".bss": true,
	".0": true, ".img": true}

func isModule(name, module string) bool { return strings.EqualFold(path.Base(name), module) }
