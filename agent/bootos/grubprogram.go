package bootos

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/efi"
	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// grubProgram is the configurations that a GRUB for EFI may take: where its prefix and the configuration inside it
// lead.
func (f *finder) grubProgram(file grub.File, prog *efi.Program, via string) []candidate {
	what := fmt.Sprintf("%s, %s on partition %d%s", efi.GRUB, file.Path, file.Device, via)
	dir := path.Dir(file.Path)
	if prog == nil || prog.Kind != efi.GRUB {
		// Known by its name alone: its own folder's configuration, else any.
		if own := path.Join(dir, "grub.cfg"); f.v.Exists(file.Device, own, false) {
			return []candidate{f.grubAt(file.Device, own, nil)}
		}
		var out []candidate
		for _, stub := range f.stubs(file.Device) {
			out = append(out, f.grubAt(file.Device, stub, nil))
		}
		if out = append(out, f.grubs()...); len(out) > 0 {
			return out
		}
		return []candidate{refused(what, f.noConfig())}
	}
	im, err := prog.GRUBImage()
	if err != nil {
		return []candidate{refused(what, err)}
	}
	return f.grubImage(what, im, file.Device, dir)
}

func (f *finder) noConfig() error {
	return fmt.Errorf("its configuration is on no file system that is read here: %v", f.v)
}

// grubImage is the configurations that a GRUB takes which was started from a folder of a partition.
func (f *finder) grubImage(what string, im *efi.GRUBImage, home int, dir string) []candidate {
	dev, prefix, device, err := f.prefixOf(im.Prefix, home)
	if err != nil {
		return []candidate{refused(what, err)}
	}
	if im.Config != "" && !im.Memdisk {
		return []candidate{{what: what,
			load: func() (*System, error) {
				return f.embedded(im, grub.File{Device: dev, Path: prefix}, device,
					grub.File{Device: home, Path: dir})
			}}}
	}
	// GRUBs that distributions sign for every machine carry a file system with a configuration of theirs. They all look
	// in the prefix and in the folder that they were started from; which comes first differs, and matters only where
	// the two differ.
	var out []candidate
	var first []byte
	look := []string{path.Join(prefix, "grub.cfg")}
	if im.Memdisk {
		look = []string{path.Join(prefix, "x86_64-efi", "grub.cfg"), path.Join(prefix, "grub.cfg"),
			path.Join(dir, "grub.cfg")}
	}
	for i, name := range look {
		on := dev
		if i == 2 {
			on = home
		}
		if !f.v.Exists(on, name, false) {
			continue
		}
		text, err := f.v.ReadFile(on, name, grub.MaxConfig)
		if err != nil {
			out = append(out, refused(what, f.unreadable(name, on, err)))
			continue
		}
		if len(out) > 0 && bytes.Equal(text, first) {
			continue
		}
		first = text
		out = append(out, f.grubAt(on, name, im))
	}
	if len(out) == 0 {
		return []candidate{refused(what,
			fmt.Errorf("%s, where it looks, is not on %s: %v", look[0], f.v.at(dev), f.v))}
	}
	return out
}

// unreadable is the reason why a configuration that is there is not followed.
func (f *finder) unreadable(name string, dev int, err error) error {
	return fmt.Errorf("its configuration %s on %s cannot be read: %w", name, f.v.at(dev), err)
}

// embedded runs the commands inside a GRUB, and then the configuration that its prefix has come to name. device is
// GRUB's name of the prefix's.
func (f *finder) embedded(im *efi.GRUBImage, prefix grub.File, device string, program grub.File) (*System, error) {
	v := f.v
	if relativePath().MatchString(im.Config) {
		v = v.fromDefault()
	}
	return f.runGRUB(v, grub.Options{
		Device: prefix.Device, DeviceName: device, Path: path.Join("/", prefix.Path, "grub.cfg"),
		Core: im.Config, Program: program, Argon2: im.Argon2, BLSUKI: im.BLSUKI,
	})
}

// prefixOf cuts up a prefix: "(,gpt2)/boot/grub" and "(hd0,msdos1)/@/boot/grub" are on the disk that GRUB was started
// from, the first because it names none, "(lvmid/...)/boot/grub" is in what GRUB makes of partitions, and "/EFI/debian"
// on the partition, which is home. Another disk than that one is not read.
func (f *finder) prefixOf(prefix string, home int) (dev int, dir, device string, err error) {
	dev, dir = home, prefix
	if name, rest, given := strings.Cut(prefix, ")"); given && strings.HasPrefix(name, "(") {
		if dir, name = rest, name[1:]; strings.HasPrefix(name, ",") {
			name = "hd0" + name
		}
		if dev, err = grub.Device(f.v, name, f.fw.Table); err != nil {
			return 0, "", "", fmt.Errorf("it looks for its configuration in %s: %w (%v)", prefix, err, f.v)
		}
		if dev < 0 {
			device = name
		}
	}
	if !path.IsAbs(dir) {
		return 0, "", "", fmt.Errorf("it looks for its configuration in %q, which is no folder", prefix)
	}
	return dev, dir, device, nil
}
