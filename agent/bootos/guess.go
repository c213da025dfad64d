package bootos

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// kernelNames are the beginnings of kernels' names; what follows is the version.
var kernelNames = []string{"vmlinuz-", "linux-", "kernel-"}

// newestKernel returns the kernel with the highest version in /boot, or in the root of a boot partition; empty when there is none.
func newestKernel(v *Volumes, dev int) string {
	for _, dir := range []string{"/boot", "/"} {
		names, err := v.List(dev, dir)
		if err != nil {
			continue
		}
		best, version := "", ""
		for _, n := range names {
			ver, ok := kernelVersion(n)
			if !ok || strings.Contains(n, "rescue") || !v.Exists(dev, path.Join(dir, n), false) {
				continue
			}
			if best == "" || grub.CompareVersions(ver, version) > 0 {
				best, version = path.Join(dir, n), ver
			}
		}
		if best == "" && v.Exists(dev, path.Join(dir, "vmlinuz"), false) {
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
		if ver, ok := strings.CutPrefix(name, p); ok && ver != "" && !strings.HasSuffix(name, ".old") && !strings.HasSuffix(name, ".hmac") {
			return ver, true
		}
	}
	return "", false
}

// guess makes a system of a kernel alone: with the initrd of the same version, and the partition that has /etc/fstab as root.
func guess(v *Volumes, dev int, kernel string) (*System, error) {
	s := &System{Title: "Linux", Kernel: grub.File{Device: dev, Path: kernel}}
	dir := path.Dir(kernel)
	if ver, ok := kernelVersion(path.Base(kernel)); ok {
		s.Title = "Linux " + ver
		for _, name := range []string{
			"initrd.img-" + ver, "initramfs-" + ver + ".img", "initrd-" + ver, "initramfs-" + ver, "initrd-" + ver + ".img",
		} {
			if p := path.Join(dir, name); v.Exists(dev, p, false) {
				s.Initrds = []grub.File{{Device: dev, Path: p}}
				break
			}
		}
	} else if p := path.Join(dir, "initrd.img"); v.Exists(dev, p, false) {
		s.Initrds = []grub.File{{Device: dev, Path: p}}
	}
	root, err := rootVolume(v)
	if err != nil {
		return nil, err
	}
	args := []string{"root=UUID=" + root.UUID, "ro"}
	if root.Type == "btrfs" {
		for _, sub := range subvolumes[1:] {
			if _, _, err := resolveIn(path.Join(root.Dir, sub), "/etc/fstab"); err == nil {
				args = append(args, "rootflags=subvol="+strings.TrimPrefix(sub, "/"))
				break
			}
		}
	}
	s.Args = strings.Join(args, " ")
	// kernel-install keeps the whole command line here, root= and all.
	if b, err := v.ReadFile(root.Number, "/etc/kernel/cmdline", 64<<10); err == nil && strings.Contains(string(b), "root=") {
		s.Args = strings.Join(strings.Fields(string(b)), " ")
	}
	return s, nil
}

func rootVolume(v *Volumes) (Volume, error) {
	var found []Volume
	for _, n := range v.Numbers() {
		if v.Exists(n, "/etc/fstab", false) {
			found = append(found, v.byNumber[n])
		}
	}
	switch {
	case len(found) == 0:
		return Volume{}, errors.New("no partition has an /etc/fstab, so the root file system is not known")
	case len(found) > 1:
		return Volume{}, fmt.Errorf("partitions %d and %d both have an /etc/fstab, so the root file system is not known", found[0].Number, found[1].Number)
	case found[0].UUID == "":
		return Volume{}, fmt.Errorf("the file system of partition %d has no UUID that could be named as root", found[0].Number)
	}
	return found[0], nil
}
