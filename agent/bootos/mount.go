package bootos

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/probe"
)

// Device is a partition, or with Number 0 a whole disk without a partition table, or with a Name another device that
// has a file system of the disk.
type Device struct {
	Number   int // also where there is a Name, no two the same
	Path     string
	Name     string   // in words: "logical volume vg/root"
	Links    []string // names by which a system may know it: "/dev/mapper/vg-root"
	PartUUID string   // as Linux writes it: a GUID in lower case, or 1234abcd-01
	PartType string   // type GUID in lower case, or 0x83
	GRUB     []string // GRUB's names of what it makes of partitions, a search's first: "lvm/vg-root", "lvmid/..."
	// Asked tells that Layers are those that it belongs to and that could not be put together, for the reasons in
	// Lacks; else what is on it is looked at.
	Asked  bool
	Layers []grub.Layer
	Lacks  []string
	From   int    // the partition that it was made of
	Crypt  string // UUID, as GRUB writes it, of the encrypted volume that it is in; empty for none
}

// Mount mounts, read-only and below dir, every device that carries a file system which a boot loader reads.
// Unmount must be called. What was not mounted is in Skipped.
func Mount(dir string, devices []Device) *Volumes {
	v := NewVolumes()
	for _, d := range devices {
		if d.Asked {
			for _, l := range d.Layers {
				v.layers[l] = true
			}
		} else {
			v.note(d.Path)
		}
		for _, why := range d.Lacks {
			v.Skipped = append(v.Skipped, fmt.Sprintf("%s: %s", d.words(), why))
		}
		vol, err := mountOne(filepath.Join(dir, strconv.Itoa(d.Number)), d)
		if err != nil {
			if !d.Asked || !errors.Is(err, errUnknownFS) { // what it is a member of was put together, or is in Lacks
				v.skip(d, err)
			}
			v.unread = v.unread || !errors.Is(err, errUnknownFS)
			v.unseen[d.Number] = !errors.Is(err, errUnknownFS) || !forNoLoader(d)
			continue
		}
		v.byNumber[d.Number] = *vol
	}
	return v
}

// skip notes that a device was not mounted.
func (v *Volumes) skip(d Device, err error) {
	words := fmt.Sprintf("%s: %v", d.words(), err)
	v.Skipped = append(v.Skipped, words)
	if errors.Is(err, errUnknownFS) && vacant(d) {
		v.vacant = append(v.vacant, words)
	}
}

func (d Device) words() string { return cmp.Or(d.Name, fmt.Sprintf("partition %d", d.Number)) }

var errUnknownFS = errors.New("no file system that a boot loader reads, or none that is read here")

// unknownFS names what is there, as blkid does, if it has a name: zfs_member, crypto_LUKS, ntfs.
func unknownFS(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return errUnknownFS
	}
	sight, err := probe.Look(f, size)
	if err != nil || sight.Type == volume.TypeRaw {
		return errUnknownFS
	}
	return fmt.Errorf("%s is %w", sight.Type, errUnknownFS)
}

// mountOne leaves no folder behind where nothing is mounted.
func mountOne(dir string, d Device) (_ *Volume, err error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	k, id, label := identify(f)
	if k == nil {
		err = unknownFS(f)
	}
	f.Close()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(dir)
		}
	}()
	vol := &Volume{Number: d.Number, Device: d.Path, Type: k.name, UUID: id, Label: label, Dir: dir,
		PartUUID: d.PartUUID, PartType: d.PartType, Name: d.Name, Links: d.Links,
		GRUB: d.GRUB, Crypt: d.Crypt}
	if k.name == "btrfs" {
		if vol.Default, err = defaultSubvolume(d.Path, dir, k); err != nil {
			return nil, err
		}
	}
	return vol, mountAs(d.Path, dir, k, k.options)
}

// mountAs mounts with the first of the kind's ways of leaving the journal alone that this kernel knows. A way that it
// does not know is an EINVAL; the last one's error counts.
func mountAs(device, dir string, k *fsKind, options string) error {
	// Nothing on the restored system is run or trusted here: no devices, no set-uid, no programs.
	const flags = unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC
	var err error
	for _, way := range k.noReplay {
		err = unix.Mount(device, dir, k.driver, flags, strings.Trim(options+","+way, ","))
		if !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s: this kernel cannot read %s: is its module in the boot directory?", device, k.name)
	}
	return fmt.Errorf("mounting %s as %s: %w", device, k.name, err)
}

// defaultSubvolume returns the path of a btrfs' default subvolume from the top: "/@/.snapshots/5/snapshot"; empty when
// it is the top. The kernel knows: it mounts that one when it is not told another, and names it in mountinfo.
func defaultSubvolume(device, dir string, k *fsKind) (path string, err error) {
	if err := mountAs(device, dir, k, ""); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unix.Unmount(dir, 0)) }()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	sub, err := mountRoot(string(info), dir)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(sub, "/"), nil
}

// mountRoot finds which folder of its file system is mounted at dir: the fourth word of a line of mountinfo, the fifth
// being dir (proc_pid_mountinfo(5)). The last mount on a folder counts.
func mountRoot(mountinfo, dir string) (root string, err error) {
	err = fmt.Errorf("%s is not mounted", dir)
	for line := range strings.Lines(mountinfo) {
		if w := strings.Fields(line); len(w) > 5 && unescape(w[4]) == dir {
			root, err = unescape(w[3]), nil
		}
	}
	return root, err
}

// unescape reads mountinfo's \ooo for blanks and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Unmount takes everything down again.
func (v *Volumes) Unmount() error {
	var errs []error
	for _, n := range v.all() {
		vol := v.byNumber[n]
		err := unix.Unmount(vol.Dir, 0)
		if errors.Is(err, unix.EBUSY) {
			// Whoever holds a file there must not hold up the restored system.
			err = unix.Unmount(vol.Dir, unix.MNT_DETACH)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", vol.Dir, err))
			continue
		}
		delete(v.byNumber, n)
		_ = os.Remove(vol.Dir)
	}
	return errors.Join(errs...)
}
