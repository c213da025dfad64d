package osimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
)

// variant is another machine's disk that is made from the plain Debian in seconds: another boot loader, another place
// for it.
type variant struct {
	// esp changes the tree of the EFI system partition, which then is put back whole; nil leaves it.
	esp func(b *base, tree string) error
	// disk makes the changed disk of a copy of Debian's.
	disk func(ctx context.Context, b *base, disk string) error
	fs   string // of the root; empty: as the Debian has it
}

// base is the Debian that a variant is made of.
type base struct {
	*Image
	log     logWriter
	dir     string // for scratch
	release string
}

var variants = map[string]variant{
	// What Debian's installer leaves: its loaders in EFI/debian and no EFI/BOOT, so that only a boot entry starts the
	// disk.
	"efi-debian": {esp: func(_ *base, tree string) error {
		boot, debian := filepath.Join(tree, "EFI/BOOT"), filepath.Join(tree, "EFI/debian")
		if err := os.Rename(filepath.Join(boot, "BOOTX64.EFI"), filepath.Join(debian, "shimx64.efi")); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(boot, "grubx64.efi"), filepath.Join(debian, "grubx64.efi")); err != nil {
			return err
		}
		return os.Remove(boot)
	}},
}

// Variant returns the disk of a kind that variants lists.
func Variant(ctx context.Context, cache, kind string, log logWriter) (*Image, error) {
	v, ok := variants[kind]
	if !ok {
		return nil, fmt.Errorf("no variant %q of the Debian is made here", kind)
	}
	debian, err := Debian(ctx, cache, "", log)
	if err != nil {
		return nil, err
	}
	return cached(ctx, cache, "variant-"+kind+"-"+key("3", debian.Dir),
		func(ctx context.Context, dir string) (meta, error) {
			b := &base{Image: debian, log: log, dir: dir, release: filepath.Base(debian.Modules)}
			disk := filepath.Join(dir, "disk.raw")
			if err := proc.Run(ctx, log, "cp", "--sparse=always", debian.Disk, disk); err != nil {
				return meta{}, err
			}
			esp := debian.ESP
			if v.esp != nil {
				if esp, err = b.newESP(ctx, disk, v.esp); err != nil {
					return meta{}, err
				}
			}
			if v.disk != nil {
				if err := v.disk(ctx, b, disk); err != nil {
					return meta{}, err
				}
			}
			if err := debian.Root.Save(filepath.Join(dir, "root.json")); err != nil {
				return meta{}, err
			}
			return meta{RootUUID: debian.RootUUID, Cmdline: debian.Cmdline, FS: v.fs},
				esp.Save(filepath.Join(dir, "esp.json"))
		})
}

// newESP takes the tree out of the partition, has it changed, and makes the partition's file system anew with it.
func (b *base) newESP(ctx context.Context, disk string, change func(*base, string) error) (oracle.Tree, error) {
	tree := filepath.Join(b.dir, "esp")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(tree)
	at := fmt.Sprintf("%s@@%d", disk, espStart)
	if err := proc.Run(ctx, b.log, "mcopy", "-Q", "-s", "-m", "-i", at, "::/EFI", tree); err != nil {
		return nil, err
	}
	if err := change(b, tree); err != nil {
		return nil, err
	}
	l := debianLayout
	part := filepath.Join(b.dir, "esp.fat")
	defer os.Remove(part)
	if err := sparse.Create(part, l.esp); err != nil {
		return nil, err
	}
	if err := proc.Run(ctx, b.log, "mkfs.fat", "-F", "32", "-s", "1", "-n", "ESP", "-i", l.espID, part); err != nil {
		return nil, err
	}
	entries, err := filepath.Glob(filepath.Join(tree, "*"))
	if err != nil {
		return nil, err
	}
	if err := proc.Run(ctx, b.log, "mcopy",
		append(append([]string{"-Q", "-s", "-m", "-i", part}, entries...), "::/")...); err != nil {
		return nil, err
	}
	got, err := oracle.ReadTree(tree)
	if err != nil {
		return nil, err
	}
	return got.Names(), overwrite(part, disk, espStart)
}

// overwrite copies a file over a place of another, holes included.
func overwrite(from, to string, at int64) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return patch(to, data, at)
}

// patch writes over a place of a file.
func patch(path string, data []byte, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, at)
	return errors.Join(err, f.Close())
}
