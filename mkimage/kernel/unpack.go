package kernel

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/mkimage/pack"
)

// unpack writes what mkimage may need of a package into a temporary folder. The folder is an os.Root: whatever names
// and links the package has, nothing is written or read outside it. part says what is wanted of it.
func (k *Kernel) unpack(name, part string) (fs.FS, error) {
	dir := filepath.Join(k.temp.Path, strconv.Itoa(len(k.roots)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	k.roots = append(k.roots, root)
	f, err := pack.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	left := room(maxUnpacked)
	info, err := pack.Read(f, func(h *tar.Header, content io.Reader) error {
		if !wanted(h.Name) {
			return nil
		}
		if err := left.take(h); err != nil {
			return err
		}
		if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg:
			return unpackFile(root, h.Name, content)
		case tar.TypeSymlink:
			return root.Symlink(h.Linkname, h.Name)
		case tar.TypeLink:
			return link(root, h)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", name, err)
	}
	// One package may be named twice, as that of the kernel and that of its modules.
	if from := info.Source(part); from.Name != "" && !slices.ContainsFunc(k.Sources, func(o bootdir.Source) bool {
		return o.Format == from.Format && o.Name == from.Name && o.Version == from.Version && o.Arch == from.Arch
	}) {
		k.Sources = append(k.Sources, from)
	}
	return root.FS(), nil
}

// maxUnpacked bounds, in bytes, what is taken of one package, and maxNames in how many files and links: a few kilobytes
// may be compressed from anything. All firmware of a distribution is 2 GB in 5,000 files.
const (
	maxUnpacked = 16 << 30
	maxNames    = 1 << 18
)

// room is how many bytes a package may still bring; each file counts as a part of what all names may.
type room int64

func (r *room) take(h *tar.Header) error {
	if *r -= room(max(h.Size, maxUnpacked/maxNames)); *r < 0 {
		return fmt.Errorf("what is wanted of the package has more than %d bytes or %d files", int64(maxUnpacked),
			maxNames)
	}
	return nil
}

// wanted leaves documentation and the symbol map in the package.
func wanted(name string) bool {
	if slices.ContainsFunc([]string{"boot/vmlinuz", "boot/vmlinux-", "boot/Image", "boot/config-"},
		func(p string) bool { return strings.HasPrefix(name, p) }) {
		return true
	}
	name = strings.TrimPrefix(name, "usr/")
	return strings.HasPrefix(name, "lib/modules/") || strings.HasPrefix(name, "lib/firmware/")
}

// link gives a file that was unpacked another name. Of a file that was not wanted under its first name nothing is left:
// that is an error for a kernel or a module, without which a node would do without a word.
func link(root *os.Root, h *tar.Header) error {
	err := root.Link(h.Linkname, h.Name)
	_, module := kmod.FileName(h.Name)
	if errors.Is(err, fs.ErrNotExist) && !module && !strings.HasPrefix(path.Base(h.Name), "vmlinu") {
		return nil
	}
	return err
}

func unpackFile(root *os.Root, name string, content io.Reader) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
