package bootos

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// extlinuxConfigs are where EXTLINUX and SYSLINUX look, and U-Boot's distro boot; in a folder the first counts.
var extlinuxConfigs = []string{
	"/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/boot/extlinux.conf", "/extlinux.conf",
	"/boot/syslinux/extlinux.conf", "/syslinux/extlinux.conf",
	"/boot/syslinux/syslinux.cfg", "/syslinux/syslinux.cfg", "/boot/extlinux/syslinux.cfg", "/extlinux/syslinux.cfg", "/syslinux.cfg",
}

// extlinuxes lists the configurations of a partition whose boot sector is EXTLINUX's, or with 0 of all. Which folder it looks into first is written
// into the loader: where that is not read, the first configuration of each folder is in the list.
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
		if only != 0 && dev != only {
			continue
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

// choose picks the entry: that of ONTIMEOUT where a menu or prompt waits only for a time; that of DEFAULT; with a menu, the one marked
// MENU DEFAULT, else the first one. Words behind the name are the kernel's.
func (c *extlinuxConfig) choose() (*extlinuxLabel, error) {
	if c.saves {
		return nil, &Restart{Why: "its menu starts what was chosen last, which SYSLINUX keeps outside of files"}
	}
	command := c.wanted
	if c.waits && c.timeout && c.onTimeout != "" {
		command = c.onTimeout
	}
	name, words, _ := strings.Cut(command, " ")
	menu := c.menu || isModule(name, "menu.c32") || isModule(name, "vesamenu.c32")
	for i := range c.labels {
		if l := &c.labels[i]; l.name == name && name != "" {
			return c.finish(*l, strings.TrimSpace(words))
		}
	}
	switch {
	case menu:
		var first *extlinuxLabel
		for i := range c.labels {
			l := &c.labels[i]
			switch {
			case l.submenu || l.hidden:
			case l.isDefault:
				return c.finish(*l, "")
			case first == nil:
				first = l
			}
		}
		if c.deepDefault || first == nil {
			return nil, &Restart{Why: "its menu begins in a submenu, or is empty"}
		}
		return c.finish(*first, "")
	case name != "" && c.implicit != "0":
		// A kernel's name without a label.
		return c.finish(extlinuxLabel{name: name, kind: "kernel", kernel: name}, strings.TrimSpace(words))
	}
	return nil, &Restart{Why: "it names no default entry and waits for somebody to choose"}
}

// finish gives an entry its command line, and refuses what is not a Linux kernel with nothing but files.
func (c *extlinuxConfig) finish(l extlinuxLabel, words string) (*extlinuxLabel, error) {
	restart := func(format string, args ...any) (*extlinuxLabel, error) {
		return nil, &Restart{Entry: l.name, Why: fmt.Sprintf(format, args...)}
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
	kept := []string{}
	for _, w := range strings.Fields(args + " " + words) {
		if i, ok := strings.CutPrefix(w, "initrd="); ok {
			l.initrds = list(i) // the last one counts
			continue
		}
		kept = append(kept, w)
	}
	l.args = strings.Join(kept, " ")
	return &l, nil
}

// notLinux are endings that tell SYSLINUX that a KERNEL is something else: a module, a boot sector, a network program, a disk image.
var notLinux = map[string]bool{".c32": true, ".com": true, ".cbt": true, ".bin": true, ".bs": true, ".bss": true, ".0": true, ".img": true}

func isModule(name, module string) bool { return strings.EqualFold(path.Base(name), module) }
