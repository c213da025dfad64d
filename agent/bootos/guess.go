package bootos

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/bootos/sdboot"
)

// place is a folder of a file system that may be the root of a system, from the file system's top.
type place struct {
	dev  int
	root string
}

func places(v *Volumes) []place {
	var out []place
	for _, n := range v.Numbers() {
		for _, r := range v.roots(n) {
			out = append(out, place{n, r})
		}
	}
	return out
}

// guessed is a system made of a kernel alone, for a disk without any boot loader: there must be one folder with
// kernels, and one root.
func guessed(v *Volumes) (*System, error) {
	var kernels []grub.File
	for _, p := range places(v) {
		if k := newestKernel(v, p); k != "" {
			kernels = append(kernels, grub.File{Device: p.dev, Path: k})
		}
	}
	switch len(kernels) {
	case 0:
		return nil, fmt.Errorf("no kernel is in /boot: %v", v)
	case 1:
		return guess(v, kernels[0])
	}
	return nil, fmt.Errorf("kernels are in several places: %v and %v", kernels[0], kernels[1])
}

// kernelNames are the beginnings of kernels' names; what follows is the version.
var kernelNames = []string{"vmlinuz-", "linux-", "kernel-"}

// newestKernel returns the kernel with the highest version in /boot, or in the root of a boot partition; empty when
// there is none.
func newestKernel(v *Volumes, p place) string {
	for _, dir := range []string{path.Join("/", p.root, "boot"), path.Join("/", p.root)} {
		names, err := v.List(p.dev, dir)
		if err != nil {
			continue
		}
		best, version := "", ""
		for _, n := range names {
			ver, ok := kernelVersion(n)
			if !ok || strings.Contains(n, "rescue") || !v.Exists(p.dev, path.Join(dir, n), false) {
				continue
			}
			if best == "" || sdboot.CompareVersions(ver, version) > 0 {
				best, version = path.Join(dir, n), ver
			}
		}
		if best == "" && v.Exists(p.dev, path.Join(dir, "vmlinuz"), false) {
			best = path.Join(dir, "vmlinuz")
		}
		if best != "" {
			return best
		}
	}
	return ""
}

func kernelVersion(name string) (string, bool) {
	for _, p := range kernelNames {
		if ver, ok := strings.CutPrefix(name, p); ok && ver != "" && !strings.HasSuffix(name, ".old") &&
			!strings.HasSuffix(name, ".hmac") {
			return ver, true
		}
	}
	return "", false
}

// guess makes a system of a kernel: with the initrd of the same version, and the partition that has /etc/fstab as root.
func guess(v *Volumes, kernel grub.File) (*System, error) {
	s := &System{Title: "Linux",
		Source: fmt.Sprintf("the newest kernel, %s on %s", kernel.Path, v.at(kernel.Device)), Kernel: kernel}
	dir := path.Dir(kernel.Path)
	names := []string{"initrd.img"}
	if ver, ok := kernelVersion(path.Base(kernel.Path)); ok {
		s.Title = "Linux " + ver
		names = []string{"initrd.img-" + ver, "initramfs-" + ver + ".img", "initrd-" + ver, "initramfs-" + ver,
			"initrd-" + ver + ".img"}
	}
	for _, name := range names {
		if p := path.Join(dir, name); v.Exists(kernel.Device, p, false) {
			s.Initrds = []grub.File{{Device: kernel.Device, Path: p}}
			break
		}
	}
	root, err := rootPlace(v)
	if err != nil {
		return nil, err
	}
	vol := v.byNumber[root.dev]
	args := []string{"root=UUID=" + vol.UUID, "ro"}
	if len(vol.Links) > 0 { // a logical volume, which initrds make only when it is named
		args[0] = "root=" + vol.Links[0]
	}
	if root.root != "" && root.root != vol.Default {
		args = append(args, "rootflags=subvol="+strings.TrimPrefix(root.root, "/"))
	}
	s.Args = strings.Join(args, " ")
	// kernel-install keeps the whole command line here, root= and all.
	if b, err := v.ReadFile(root.dev, path.Join(root.root, "/etc/kernel/cmdline"), 64<<10); err == nil &&
		strings.Contains(string(b), "root=") {
		s.Args = strings.Join(strings.Fields(string(b)), " ")
	}
	return s, nil
}

func rootPlace(v *Volumes) (place, error) {
	var found []place
	for _, p := range places(v) {
		if v.Exists(p.dev, path.Join(p.root, "/etc/fstab"), false) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0:
		return place{}, errors.New("no partition has an /etc/fstab, so the root file system is not known")
	case len(found) > 1:
		return place{}, fmt.Errorf("%s%s and %s%s both have an /etc/fstab, so the root file system is not known",
			v.at(found[0].dev), found[0].root, v.at(found[1].dev), found[1].root)
	case v.byNumber[found[0].dev].UUID == "":
		return place{}, fmt.Errorf("the file system of %s has no UUID that could be named as root",
			v.at(found[0].dev))
	}
	return found[0], nil
}
