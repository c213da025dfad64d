package personalize

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/internal/volume/probe"
)

// root is the file system, and of a btrfs the subvolume, that is a system's root.
type root struct {
	vol bootos.Volume
	// path of the subvolume from the top, without a slash before it; empty: the top, or no btrfs
	sub   string
	below []string                  // where the system mounts other file systems
	boot  map[string]*bootos.Volume // which of these a boot loader's files may be on; nil: they are not on it
}

func (r *root) words() string {
	w := fmt.Sprintf("partition %d (%s", r.vol.Number, r.vol.Type)
	switch {
	case r.vol.Name != "":
		w = fmt.Sprintf("%s (%s", r.vol.Name, r.vol.Type)
	case r.vol.Number == 0:
		w = "the disk (" + r.vol.Type
	}
	if r.sub != "" {
		w += ", subvolume " + r.sub
	}
	return w + ")"
}

// writable are the file systems that are written to.
var writable = []string{"ext4", "xfs", "btrfs"}

// find mounts all that can be read, read-only, and chooses. Nothing is mounted when it returns. lacking says in words
// what could not be made a device of.
func find(dir string, devices []bootos.Device, lacking []string) (r *root, err error) {
	v := bootos.Mount(dir, devices)
	defer func() { err = errors.Join(err, v.Unmount()) }()
	var found []*root
	var others []string // that look like a root, and why they are none
	for _, n := range v.Numbers() {
		vol, _ := v.Volume(n)
		for _, sub := range subvolumes(v, vol) {
			c := &root{vol: vol, sub: strings.TrimPrefix(sub, "/")}
			if !isSystem(v, n, sub) {
				continue
			}
			why, err := c.read(v)
			if err != nil {
				return nil, err
			}
			if why != "" {
				others = append(others, c.words()+": "+why)
				continue
			}
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		if !slices.Contains(writable, found[0].vol.Type) {
			return nil, fmt.Errorf("the root file system is %s, which this agent does not write to: nothing was "+
				"personalized", found[0].words())
		}
		return found[0], nil
	case len(found) > 1:
		var names []string
		for _, c := range found {
			names = append(names, c.words())
		}
		return nil, fmt.Errorf("the disk has several systems (%s), and nothing says which is meant: nothing was "+
			"personalized", strings.Join(names, "; "))
	}
	words := "no root file system of a Linux system was found on the disk (" + v.String() + ")"
	for layer, name := range map[grub.Layer]string{grub.MD: "RAID", grub.Crypto: "encryption"} {
		if v.Holds(layer) {
			words += "; a partition belongs to " + name + ", which this agent does not personalize"
		}
	}
	for _, more := range append(lacking, others...) {
		words += "; " + more
	}
	return nil, errors.New(words + ": nothing was personalized")
}

// subvolumes are the folders of a file system that may be a system's root: of a btrfs the default subvolume and those
// that installers make.
func subvolumes(v *bootos.Volumes, vol bootos.Volume) []string {
	if vol.Type != "btrfs" {
		return []string{""}
	}
	var out []string
	for _, sub := range []string{vol.Default, "", "/@", "/@rootfs", "/root"} {
		if !slices.Contains(out, sub) && v.Exists(vol.Number, path.Join("/", sub), true) {
			out = append(out, sub)
		}
	}
	return out
}

// isSystem tells whether a folder is a system's root: it has settings and something that starts.
func isSystem(v *bootos.Volumes, n int, at string) bool {
	if !v.Exists(n, at+"/etc", true) {
		return false
	}
	return v.Entry(n, at+"/etc/os-release") || v.Entry(n, at+"/usr/lib/os-release") || v.Entry(n, at+"/sbin/init")
}

// read reads the system's fstab: whether it calls this its root, and what else it mounts.
func (r *root) read(v *bootos.Volumes) (why string, err error) {
	at := path.Join("/", r.sub)
	if !v.Entry(r.vol.Number, path.Join(at, "etc/fstab")) {
		return "", nil
	}
	b, err := v.ReadFile(r.vol.Number, path.Join(at, "etc/fstab"), 1<<20)
	if err != nil {
		return "", fmt.Errorf("fstab of %s: %w", r.words(), err)
	}
	for line := range strings.Lines(string(b)) {
		w := strings.Fields(line)
		if len(w) < 3 || strings.HasPrefix(w[0], "#") {
			continue
		}
		switch {
		case w[1] == "/":
			options := ""
			if len(w) > 3 {
				options = w[3]
			}
			if why := r.unlike(w[0], options); why != "" {
				return why, nil
			}
		case path.IsAbs(w[1]) && w[2] != "swap":
			at := path.Clean(w[1])
			r.below = append(r.below, at)
			if at == "/boot" || at == "/boot/efi" || at == "/efi" {
				r.named(v, at, w[0])
			}
		}
	}
	return "", nil
}

// named remembers the file system of this disk that fstab names.
func (r *root) named(v *bootos.Volumes, at, device string) {
	var found []bootos.Volume
	for _, n := range v.Numbers() {
		vol, _ := v.Volume(n)
		if (&root{vol: vol}).known(device) {
			found = append(found, vol)
		}
	}
	if len(found) != 1 {
		return
	}
	if r.boot == nil {
		r.boot = map[string]*bootos.Volume{}
	}
	r.boot[at] = nil
	if at == "/boot" || v.Exists(found[0].Number, "/loader/entries", true) {
		r.boot[at] = &found[0]
	}
}

// tagged is what a device of fstab says of its file system, and what this one has of that. All are empty where it says
// nothing, as a name that the kernel gives.
func (r *root) tagged(device string) (tag, value, is string) {
	if uuid, ok := strings.CutPrefix(device, "/dev/disk/by-uuid/"); ok {
		return "UUID", path.Base(uuid), r.vol.UUID
	}
	tag, value, isTag := strings.Cut(device, "=")
	value = strings.Trim(value, `"`)
	switch {
	case isTag && tag == "UUID":
		return tag, value, r.vol.UUID
	case isTag && tag == "LABEL":
		return tag, value, r.vol.Label
	case isTag && tag == "PARTUUID":
		return tag, value, r.vol.PartUUID
	}
	return "", "", ""
}

// known tells whether a device of fstab surely is this file system.
func (r *root) known(device string) bool {
	tag, value, is := r.tagged(device)
	return slices.Contains(r.vol.Links, device) ||
		value != "" && (value == is || tag != "LABEL" && strings.EqualFold(value, is))
}

// unlike says why the device and options of fstab's line of / are not this file system's.
func (r *root) unlike(device, options string) string {
	tag, value, is := r.tagged(device)
	switch {
	case slices.Contains(r.vol.Links, device):
	case strings.HasPrefix(device, "/dev/mapper/"), strings.HasPrefix(device, "/dev/disk/by-id/dm-"),
		// A partition's name says nothing of which it is; that it is a partition, it does.
		len(r.vol.Links) > 0 && strings.HasPrefix(device, "/dev/") && !strings.HasPrefix(device, "/dev/disk/"):
		return "its fstab has / on " + device
	case is != "" && !strings.EqualFold(is, value):
		return fmt.Sprintf("its fstab has / on another file system, %s=%s", tag, value)
	}
	for o := range strings.SplitSeq(options, ",") {
		if sub, ok := strings.CutPrefix(o, "subvol="); ok && r.vol.Type == "btrfs" && strings.Trim(sub, "/") != r.sub {
			return "its fstab has / on the subvolume " + sub
		}
	}
	return ""
}

// probed is the type of the file system on a device, and whether it was shut down in order.
func probed(device string) (fstype string, clean bool, err error) {
	f, err := os.Open(device)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", false, err
	}
	fs, err := probe.Probe(f, size)
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", device, err)
	}
	return fs.Type(), fs.Info().Clean, nil
}

// clean refuses a file system that was not shut down in order: a journal that the kernel replays, or damage that it
// finds, is not what the image says. As is what the system has it for.
func (r *root) clean(as string) error {
	_, clean, err := probed(r.vol.Device)
	if err != nil {
		return fmt.Errorf("%s: %w", r.words(), err)
	}
	if !clean {
		return fmt.Errorf("the image was not shut down cleanly: its %s, %s, has a journal to replay or is marked as "+
			"damaged, so nothing was written to it. Shut the machine down in order, check the file system, and "+
			"capture it again", as, r.words())
	}
	return nil
}
