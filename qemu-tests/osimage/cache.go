package osimage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/diskcast/diskcast/qemu-tests/oracle"
)

// meta is what cannot be read off the files of a cached image.
type meta struct {
	RootUUID string `json:"root_uuid"`
	Cmdline  string `json:"cmdline,omitempty"`
	Release  string `json:"release,omitempty"` // of the kernel
	FS       string `json:"fs,omitempty"`      // of the root; ext4 when empty
	EFI      string `json:"efi,omitempty"`     // processor in the names of UEFI programs; x64 when empty
}

// cached returns the image of that name in the cache, and makes it with build if it is not there.
func cached(ctx context.Context, cache, name string, build func(ctx context.Context, dir string) (meta, error)) (*Image,
	error) {
	dir, err := kept(ctx, cache, name, func(ctx context.Context, dir string) error {
		m, err := build(ctx, dir)
		if err != nil {
			return err
		}
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, metaFile), b, 0o644)
	})
	if err != nil {
		return nil, err
	}
	return load(dir)
}

const metaFile = "meta.json"

// kept returns the folder of that name in the cache, and makes it with build if it is not there. build works in a
// directory of its own, which takes its final name only when all is done, so what is half made is never used.
func kept(ctx context.Context, cache, name string, build func(ctx context.Context, dir string) error) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	sweep(cache)
	tmp := filepath.Join(cache, fmt.Sprintf("tmp-%d-%s", os.Getpid(), name))
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := build(ctx, tmp); err != nil {
		return "", err
	}
	// Another process may have made the same meanwhile: then its one is as good as ours.
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return "", err
	}
	return dir, nil
}

// sweep removes what processes that are gone left half made.
func sweep(cache string) {
	left, _ := filepath.Glob(filepath.Join(cache, "tmp-*"))
	for _, dir := range left {
		pid, err := strconv.Atoi(strings.SplitN(filepath.Base(dir), "-", 3)[1])
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

func load(dir string) (*Image, error) {
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return nil, err
	}
	var m meta
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	im := &Image{Dir: dir, Disk: filepath.Join(dir, "disk.raw"), RootUUID: m.RootUUID, Cmdline: m.Cmdline,
		FS: cmp.Or(m.FS, "ext4")}
	fi, err := os.Stat(im.Disk)
	if err != nil {
		return nil, err
	}
	im.Size = fi.Size()
	if im.Root, err = oracle.LoadTree(filepath.Join(dir, "root.json")); err != nil {
		return nil, err
	}
	if im.ESP, err = oracle.LoadTree(filepath.Join(dir, "esp.json")); err != nil {
		return nil, err
	}
	if m.Release != "" {
		im.Kernel = filepath.Join(dir, "vmlinuz")
		im.Initrd = filepath.Join(dir, "initrd.img")
		im.BtrfsInitrd = filepath.Join(dir, "initrd-btrfs.img")
		im.Modules = filepath.Join(dir, "modules", m.Release)
		efi := cmp.Or(m.EFI, amd64.efi)
		im.Shim = filepath.Join(dir, "shim"+efi+".efi.signed")
		im.GRUB = filepath.Join(dir, "grubnet"+efi+".efi.signed")
	}
	return im, nil
}

// finish formats the disk from the two trees in dir, records them and removes them.
func finish(ctx context.Context, dir string, l layout, log logWriter) error {
	root, esp := filepath.Join(dir, "root"), filepath.Join(dir, "esp")
	rootTree, err := oracle.ReadTree(root)
	if err != nil {
		return err
	}
	espTree, err := oracle.ReadTree(esp)
	if err != nil {
		return err
	}
	if err := l.format(ctx, filepath.Join(dir, "disk.raw"), root, esp, log); err != nil {
		return err
	}
	if err := rootTree.Save(filepath.Join(dir, "root.json")); err != nil {
		return err
	}
	if err := espTree.Names().Save(filepath.Join(dir, "esp.json")); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(root), os.RemoveAll(esp))
}
