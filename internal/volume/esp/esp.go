// Package esp says what UEFI firmware can start from an EFI system partition.
//
// Firmware that knows nothing of a disk starts one file, the fallback: \EFI\BOOT\BOOT{arch}.EFI (UEFI specification
// 2.10, section 3.5.1.1). Everything else needs a boot entry in the machine's own memory, which no image carries:
// [Contents.Loader] chooses what such an entry should name.
package esp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/fat"
)

// Files is the file system of the partition; *fat.FS is one.
type Files interface {
	List(path string) ([]fat.Entry, error)
	Head(path string, max int64) (b []byte, whole bool, err error)
}

// Loader is a program that firmware can start.
type Loader struct {
	Path string // as the partition spells it, with slashes: "EFI/debian/shimx64.efi"
	Name string // for a boot menu: "debian"
	Arch string // as in the fallback's name, in lower case: "x64", "ia32", "aa64"

	rank int
}

// Contents is what there is to start.
type Contents struct {
	Fallbacks []Loader // one for each architecture
	Loaders   []Loader // all others that are known, the likeliest first

	// Unfit says which files have a loader's name and are none that firmware starts, and why.
	Unfit []string

	files Files
	// second tells for an architecture that shim's second program lies beside the fallback: fb{arch}.efi, which enters
	// every loader that a BOOT{arch}.CSV names into the firmware and starts the first. Under the empty name it is
	// SUSE's, fallback.efi.
	second map[string]bool
}

// Bounds on a partition's contents.
const (
	maxFolders = 256 // of EFI
	maxLoaders = 64
	maxLoader  = 16 << 20 // bytes of a loader that are compared; a kernel image with its initrd is not
)

// Read looks through the EFI system partition that r is.
func Read(r io.ReaderAt, size int64) (*Contents, error) {
	f, err := fat.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("as FAT: %w", err)
	}
	return Scan(f)
}

// Scan looks through the folder EFI. A partition without one has empty Contents.
func Scan(files Files) (*Contents, error) {
	c := &Contents{files: files, second: map[string]bool{}}
	folders, err := files.List("EFI")
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	efi := "EFI"
	if root, err := files.List(""); err == nil {
		for _, e := range root {
			if strings.EqualFold(e.Name, efi) {
				efi = e.Name
			}
		}
	}
	for _, f := range folders[:min(len(folders), maxFolders)] {
		if f.Dir {
			if err := c.folder(path.Join(efi, f.Name)); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(c.Loaders, func(a, b Loader) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return strings.Compare(strings.ToLower(a.Path), strings.ToLower(b.Path))
	})
	c.Loaders = c.Loaders[:min(len(c.Loaders), maxLoaders)]
	return c, nil
}

// arches are the names that the specification gives to processors, in table 3-2 and its successors.
var arches = []string{"x64", "ia32", "aa64", "arm", "riscv64", "loongarch64"}

// fallbackArch is the architecture of a file BOOT{arch}.EFI.
func fallbackArch(name string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.ToLower(name), "boot")
	if !ok {
		return "", false
	}
	arch, ok := strings.CutSuffix(rest, ".efi")
	return arch, ok && slices.Contains(arches, arch)
}

// listArch is the architecture of a file BOOT{arch}.CSV; empty for what is none.
func listArch(name string) string {
	rest, isList := strings.CutSuffix(strings.ToLower(name), ".csv")
	arch, ok := strings.CutPrefix(rest, "boot")
	if !isList || !ok || !slices.Contains(arches, arch) {
		return ""
	}
	return arch
}

func (c *Contents) folder(dir string) error {
	entries, err := c.files.List(dir)
	if err != nil {
		return err
	}
	name := path.Base(dir)
	switch strings.ToLower(name) {
	case "boot":
		for _, e := range entries {
			if arch, ok := fallbackArch(e.Name); ok && !e.Dir && c.runs(path.Join(dir, e.Name), arch) {
				c.Fallbacks = append(c.Fallbacks, Loader{Path: path.Join(dir, e.Name), Name: name, Arch: arch})
			}
			for _, arch := range arches {
				if strings.EqualFold(e.Name, "fb"+arch+".efi") {
					c.second[arch] = true
				}
			}
			if strings.EqualFold(e.Name, "fallback.efi") {
				c.second[""] = true
			}
		}
		return nil
	case "microsoft":
		return c.windows(path.Join(dir, "Boot"))
	}
	archList := slices.ContainsFunc(entries, func(e fat.Entry) bool { return listArch(e.Name) != "" })
	for _, e := range entries {
		if e.Dir {
			continue
		}
		if arch := listArch(e.Name); arch != "" || strings.EqualFold(e.Name, "boot.csv") && !archList {
			c.list(dir, e.Name, arch, entries)
		}
		if l, ok := c.known(dir, e); ok {
			c.add(l)
		}
	}
	return nil
}

func (c *Contents) add(l Loader) {
	for i := range c.Loaders {
		if strings.EqualFold(c.Loaders[i].Path, l.Path) {
			if l.rank < c.Loaders[i].rank {
				c.Loaders[i] = l
			}
			return
		}
	}
	c.Loaders = append(c.Loaders, l)
}

// Loader is what the machine's firmware would come to start if it knew nothing of the disk, and why: the loader whose
// copy the fallback is, or that the fallback enters by itself; without a fallback the likeliest. It is false where
// there is nothing for the architecture.
func (c *Contents) Loader(arch string) (l Loader, why string, ok bool) {
	loaders := slices.DeleteFunc(slices.Clone(c.Loaders), func(l Loader) bool { return l.Arch != arch })
	back, ok := c.Fallback(arch)
	if !ok {
		if len(loaders) == 0 {
			return Loader{}, "", false
		}
		// shim and the GRUB beside it are one.
		folders := map[string]bool{}
		for _, l := range loaders {
			folders[path.Dir(l.Path)] = true
		}
		if len(folders) == 1 {
			return loaders[0], "the only boot loader there", true
		}
		return loaders[0], fmt.Sprintf("the first of %d boot loaders there, since no EFI/BOOT/BOOT%s.EFI says which "+
			"is meant", len(folders), strings.ToUpper(arch)), true
	}
	want, whole, err := c.files.Head(back.Path, maxLoader)
	if err == nil && whole && len(want) > 0 {
		for _, l := range loaders {
			if b, whole, err := c.files.Head(l.Path, maxLoader); err == nil && whole && string(b) == string(want) {
				return l, "the same program as " + back.Path, true
			}
		}
	}
	// Only shim starts the second program; beside another loader it is left over.
	if (c.second[arch] || c.second[""]) && isShim(want) && len(loaders) > 0 && loaders[0].rank == rankCSV {
		return loaders[0], "what " + back.Path + " would enter", true
	}
	return back, "what firmware starts that knows nothing of the disk", true
}

// Fallback is the file that firmware of the architecture starts on a disk that it knows nothing of.
func (c *Contents) Fallback(arch string) (Loader, bool) {
	i := slices.IndexFunc(c.Fallbacks, func(l Loader) bool { return l.Arch == arch })
	if i < 0 {
		return Loader{}, false
	}
	return c.Fallbacks[i], true
}

// Has tells whether the partition has the file, whatever it is.
func (c *Contents) Has(name string) (bool, error) {
	_, _, err := c.files.Head(name, 1)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// typeBIOSBoot is the type of the partition that GRUB's second stage is in.
const typeBIOSBoot = "21686148-6449-6e6f-744e-656564454649"

// Firmware says by what firmware a disk can be started as far as its table tells: BIOS where there is boot code in its
// first sector or a partition for GRUB's, UEFI where there is an EFI system partition.
func Firmware(t *volume.Table) (bios, uefi bool) {
	for _, p := range t.Partitions {
		uefi = uefi || Is(p.Type)
		bios = bios || p.Type == typeBIOSBoot
	}
	if t.Kind == "dos" && len(t.MBR) >= 512 {
		for _, b := range t.MBR[:440] { // boot code, before the disk signature
			bios = bios || b != 0
		}
	}
	return bios, uefi
}

// Is tells an EFI system partition by its type in a GPT or an MBR, as package volume writes types.
func Is(partitionType string) bool {
	return partitionType == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" || partitionType == "0xef"
}
