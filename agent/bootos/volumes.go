package bootos

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/diskcast/diskcast/agent/bootos/efi"
	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/internal/plain"
)

// Volume is one mounted file system of the disk.
type Volume struct {
	Number int    // of the partition; 0 is the whole disk
	Device string // /dev/sda2
	Type   string
	UUID   string
	Label  string
	Dir    string // where it is mounted: of a btrfs, its top

	// of a btrfs: the default subvolume's path from the top, "/@/.snapshots/1/snapshot"; empty when it is the top
	Default  string
	PartUUID string // as Device has them
	PartType string
	Name     string
	Links    []string
	GRUB     []string
	Crypt    string
}

// Volumes is the file systems of a disk, as a boot loader sees them.
type Volumes struct {
	byNumber map[int]Volume
	// Skipped says, in words, which partitions were not mounted and why.
	Skipped []string
	unread  bool     // one of these has a file system that a boot loader reads
	vacant  []string // those of Skipped on whose partitions nothing can be
	// byDefault has paths begin at the default subvolume of a btrfs, not at its top.
	byDefault bool
	budget    *budget             // what Find may read
	layers    map[grub.Layer]bool // that partitions belong to, see Holds
	unseen    map[int]bool        // partitions that were not mounted, see Unseen
	encrypted []grub.Encrypted    // none without something to open them with
}

// fromDefault is the same file systems with paths that begin at the default subvolume of a btrfs.
func (v *Volumes) fromDefault() *Volumes {
	return &Volumes{byNumber: v.byNumber, Skipped: v.Skipped, vacant: v.vacant, unread: v.unread, layers: v.layers,
		unseen: v.unseen, byDefault: true, budget: v.budget, encrypted: v.encrypted}
}

// from is the same file systems with the paths of one that begin at a folder of it.
func (v *Volumes) from(dev int, folder string) *Volumes {
	w := v.fromDefault()
	w.byNumber = maps.Clone(v.byNumber)
	vol := w.byNumber[dev]
	vol.Default = folder
	w.byNumber[dev] = vol
	return w
}

// fromTop is where a file is from the top of its file system, links followed.
func (v *Volumes) fromTop(f grub.File) grub.File {
	vol := v.byNumber[f.Device]
	if full, _, err := v.resolve(f.Device, f.Path); v.byDefault && vol.Default != "" && err == nil {
		f.Path = path.Join("/", strings.TrimPrefix(full, vol.Dir))
	}
	return f
}

// roots are the folders of a file system, from its top, that may be the root of a system: of a btrfs also its default
// subvolume and those that installers name so.
func (v *Volumes) roots(dev int) []string {
	out := []string{""}
	vol := v.byNumber[dev]
	if vol.Type != "btrfs" {
		return out
	}
	for _, sub := range []string{vol.Default, "/@", "/@rootfs", "/root"} {
		if !slices.Contains(out, sub) && v.Exists(dev, sub, true) {
			out = append(out, sub)
		}
	}
	return out
}

// program reads what an EFI program is. The file must be closed when nothing more is read of it.
func (v *Volumes) program(f grub.File) (*efi.Program, *os.File, error) {
	return v.programBy(f, efi.Read)
}

func (v *Volumes) programBy(f grub.File, read func(io.ReaderAt, int64) (*efi.Program, error)) (*efi.Program, *os.File,
	error) {
	p, err := v.Path(f)
	if err != nil {
		return nil, nil, err
	}
	r, err := os.Open(p)
	if err != nil {
		return nil, nil, err
	}
	var prog *efi.Program
	fi, err := r.Stat()
	if err == nil {
		prog, err = read(v.budget.readerAt(r), fi.Size())
	}
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return prog, r, nil
}

// OSRelease returns the section .osrel of a unified kernel image; empty for what is none.
func (v *Volumes) OSRelease(dev int, name string) string {
	prog, r, err := v.programBy(grub.File{Device: dev, Path: name}, efi.ReadSections)
	if err != nil {
		return ""
	}
	defer r.Close()
	if prog.Kind != efi.UKI {
		return ""
	}
	return prog.OSRelease()
}

// NewVolumes puts volumes together.
func NewVolumes(vs ...Volume) *Volumes {
	v := &Volumes{byNumber: map[int]Volume{}, layers: map[grub.Layer]bool{}, unseen: map[int]bool{},
		budget: newBudget()}
	for _, x := range vs {
		v.byNumber[x.Number] = x
	}
	return v
}

// Made lists what GRUB makes of partitions.
func (v *Volumes) Made() (out []grub.Made) {
	for _, n := range v.all() {
		if vol := v.byNumber[n]; len(vol.GRUB) > 0 {
			out = append(out, grub.Made{Device: n, Names: vol.GRUB, Crypt: vol.Crypt})
		}
	}
	return out
}

// at names a partition, or another device of the disk.
func (v *Volumes) at(dev int) string {
	return Device{Number: dev, Name: v.byNumber[dev].Name}.words()
}

// Unread names what is not mounted and may hold something, and why, as much of it as fits into a reason.
func (v *Volumes) Unread() string {
	var held []string
	for _, words := range v.Skipped {
		if !slices.Contains(v.vacant, words) {
			held = append(held, words)
		}
	}
	return plain.Line(strings.Join(held, ", "), 600)
}

// notRead is what a boot loader or its configuration may be on, for a reason.
func (v *Volumes) notRead() string {
	if words := v.Unread(); words != "" {
		return "what could not be read: " + words
	}
	return "what could not be read"
}

// Encrypted lists the disk's encrypted volumes, where something was given to open them with.
func (v *Volumes) Encrypted() []grub.Encrypted { return v.encrypted }

// Numbers lists what is mounted and every loader may see: partitions, and below zero other devices. What is encrypted
// is not among them: GRUB alone sees that, once its configuration has opened it.
func (v *Volumes) Numbers() []int {
	return slices.DeleteFunc(v.all(), func(n int) bool { return v.byNumber[n].Crypt != "" })
}

func (v *Volumes) all() []int { return slices.Sorted(maps.Keys(v.byNumber)) }

// String names what is mounted and what is not.
func (v *Volumes) String() string {
	var s []string
	for _, n := range v.all() {
		vol := v.byNumber[n]
		s = append(s, fmt.Sprintf("%s (%s)", Device{Number: n, Name: vol.Name}.words(), vol.Type))
	}
	s = append(s, v.Skipped...)
	if len(s) == 0 {
		return "a disk without file systems"
	}
	return strings.Join(s, ", ")
}

// maxElements bounds the elements of a path that are still to be followed.
const maxElements = 4096

var errLoop = errors.New("too many symbolic links")

// resolve finds the real place of a file: links are followed inside the volume, wherever they claim to point.
func (v *Volumes) resolve(dev int, name string) (string, fs.FileInfo, error) {
	vol, ok := v.byNumber[dev]
	if !ok {
		return "", nil, fmt.Errorf("%s is not mounted: %w", v.at(dev), fs.ErrNotExist)
	}
	root := vol.Dir
	if v.byDefault {
		root = filepath.Join(root, vol.Default)
	}
	return resolveIn(root, name, maxLinks(vol.Type), v.budget)
}

// maxLinks is how many links GRUB follows on the way to a file: with one more the file is none that it can read. The
// other loaders, and Linux, follow more; of those a machine restarts that could have been started.
func maxLinks(fileSystem string) int {
	if fileSystem == "btrfs" {
		return 31
	}
	return 7
}

// resolveIn follows links as a chroot to root would.
func resolveIn(root, name string, most int, b *budget) (string, fs.FileInfo, error) {
	rest := strings.Split(name, "/")
	at := "/" // below root, free of links
	if _, err := os.Lstat(root); err != nil {
		return "", nil, err
	}
	for links := 0; len(rest) > 0; {
		if err := b.spend(spent{steps: 1}); err != nil {
			return "", nil, err
		}
		elem := rest[0]
		rest = rest[1:]
		switch elem {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, elem)
		fi, err := os.Lstat(filepath.Join(root, next))
		if err != nil {
			return "", nil, err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			if !fi.IsDir() && slices.ContainsFunc(rest, func(e string) bool { return e != "" }) {
				return "", nil, fmt.Errorf("%s: %w", name, syscall.ENOTDIR)
			}
			at = next
			continue
		}
		if links++; links > most {
			return "", nil, fmt.Errorf("%s: %w", name, errLoop)
		}
		to, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			return "", nil, err
		}
		if path.IsAbs(to) {
			at = "/"
		}
		if rest = append(strings.Split(to, "/"), rest...); len(rest) > maxElements {
			return "", nil, fmt.Errorf("%s: %w", name, errLoop)
		}
	}
	full := filepath.Join(root, at)
	fi, err := os.Lstat(full)
	return full, fi, err
}

// Path returns where a file of the disk is in the node's own tree.
func (v *Volumes) Path(f grub.File) (string, error) {
	p, fi, err := v.resolve(f.Device, f.Path)
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%v is not a regular file", f)
	}
	return p, nil
}

// ReadFile returns a file of at most max bytes.
func (v *Volumes) ReadFile(dev int, name string, max int64) ([]byte, error) {
	p, err := v.Path(grub.File{Device: dev, Path: name})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > max {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, max)
	}
	b, err := io.ReadAll(io.LimitReader(io.NewSectionReader(v.budget.readerAt(f), 0, 1<<62), max+1))
	if err == nil && int64(len(b)) > max {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, max)
	}
	return b, err
}

// Exists tells whether a regular file, or with dir a directory, is there.
func (v *Volumes) Exists(dev int, name string, dir bool) bool {
	_, fi, err := v.resolve(dev, name)
	return err == nil && (dir && fi.IsDir() || !dir && fi.Mode().IsRegular())
}

// TooLinked tells whether a path leads through more symbolic links than are followed, or in a circle.
func (v *Volumes) TooLinked(dev int, name string) bool {
	_, _, err := v.resolve(dev, name)
	return errors.Is(err, errLoop)
}

// Listed tells whether a directory has a name in it, and whether the name itself is a directory, which a symbolic link
// is not.
func (v *Volumes) Listed(dev int, name string) (dir, is bool) {
	name = strings.TrimRight(name, "/")
	cut := strings.LastIndexByte(name, '/') + 1
	folder, base := name[:cut], name[cut:]
	if base == "" || base == "." || base == ".." {
		_, fi, err := v.resolve(dev, name)
		return err == nil && fi.IsDir(), err == nil
	}
	full, _, err := v.resolve(dev, folder)
	if err != nil {
		return false, false
	}
	fi, err := os.Lstat(filepath.Join(full, base))
	return err == nil && fi.IsDir(), err == nil
}

// Volume returns what is mounted of a partition.
func (v *Volumes) Volume(dev int) (Volume, bool) {
	vol, ok := v.byNumber[dev]
	return vol, ok
}

// Entry tells whether there is anything of the name, wherever it may lead when it is a symbolic link.
func (v *Volumes) Entry(dev int, name string) bool {
	_, is := v.Listed(dev, name)
	return is
}

// List returns the names in a directory, sorted.
func (v *Volumes) List(dev int, name string) ([]string, error) {
	p, _, err := v.resolve(dev, name)
	if err != nil {
		return nil, err
	}
	d, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var names []string
	for {
		some, err := d.Readdirnames(1024)
		names = append(names, some...)
		if err := v.budget.spend(spent{steps: len(some)}); err != nil {
			return nil, err
		}
		if err == io.EOF {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Unseen tells whether a partition may have a file system that boot loaders read and that is not read here.
func (v *Volumes) Unseen(dev int) bool { return v.unseen[dev] }
