package bootos

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// extlinuxConfigs are where EXTLINUX and SYSLINUX look, and U-Boot's distro boot.
var extlinuxConfigs = []string{
	"/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/boot/extlinux.conf", "/extlinux.conf",
	"/boot/syslinux/syslinux.cfg", "/syslinux/syslinux.cfg", "/syslinux.cfg",
}

type extlinuxLabel struct {
	name, title, kernel, args string
	initrds                   []string
	isDefault                 bool
}

// extlinux reads a configuration and returns its default entry: that of the default line, else the one marked
// "menu default", else the first.
func extlinux(v *Volumes, dev int, file string) (*System, error) {
	b, err := v.ReadFile(dev, file, 1<<20)
	if err != nil {
		return nil, err
	}
	labels, wanted, globalArgs := parseExtlinux(string(b))
	var l *extlinuxLabel
	for i := range labels {
		if labels[i].kernel == "" {
			continue
		}
		if l == nil {
			l = &labels[i]
		}
		if wanted == "" && labels[i].isDefault || wanted != "" && labels[i].name == wanted {
			l = &labels[i]
			break
		}
	}
	if l == nil {
		return nil, errors.New("it has no entry with a kernel")
	}
	s := &System{Title: l.title, Kernel: relative(dev, file, l.kernel), Args: l.args}
	if s.Title == "" {
		s.Title = l.name
	}
	for _, i := range l.initrds {
		s.Initrds = append(s.Initrds, relative(dev, file, i))
	}
	if s.Args == "" {
		s.Args = globalArgs
	}
	// "append -" means: not even the global ones.
	if s.Args == "-" {
		s.Args = ""
	}
	if v.Exists(dev, s.Kernel.Path, false) {
		return s, nil
	}
	return nil, fmt.Errorf("its kernel %s is not there", s.Kernel.Path)
}

// relative resolves a name as EXTLINUX does: from the configuration's own folder.
func relative(dev int, file, name string) grub.File {
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(file), name)
	}
	return grub.File{Device: dev, Path: path.Clean(name)}
}

func parseExtlinux(text string) (labels []extlinuxLabel, wanted, args string) {
	const maxLabels = 1024
	var cur *extlinuxLabel
	initrds := func(list string) (out []string) {
		for _, i := range strings.Split(list, ",") {
			if i = strings.TrimSpace(i); i != "" {
				out = append(out, i)
			}
		}
		return out
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(line), "\t", " "), " ")
		value = strings.TrimSpace(value)
		key = strings.ToLower(key)
		if key == "menu" && cur != nil {
			sub, rest, _ := strings.Cut(value, " ")
			switch strings.ToLower(sub) {
			case "label":
				cur.title = strings.ReplaceAll(strings.TrimSpace(rest), "^", "")
			case "default":
				cur.isDefault = true
			}
			continue
		}
		switch key {
		case "default":
			if cur == nil {
				wanted = value
			}
		case "ontimeout":
			wanted = value
		case "label":
			if len(labels) == maxLabels {
				return labels, wanted, args
			}
			labels = append(labels, extlinuxLabel{name: value})
			cur = &labels[len(labels)-1]
		case "kernel", "linux":
			// A .c32 is a program of SYSLINUX, such as its menu.
			if cur != nil && !strings.HasSuffix(value, ".c32") {
				cur.kernel = value
			}
		case "initrd":
			if cur != nil {
				cur.initrds = append(cur.initrds, initrds(value)...)
			}
		case "append":
			var kept []string
			for _, w := range strings.Fields(value) {
				if i, ok := strings.CutPrefix(w, "initrd="); ok && cur != nil {
					cur.initrds = append(cur.initrds, initrds(i)...)
					continue
				}
				kept = append(kept, w)
			}
			if cur != nil {
				cur.args = strings.Join(kept, " ")
			} else {
				args = strings.Join(kept, " ")
			}
		}
	}
	return labels, wanted, args
}
