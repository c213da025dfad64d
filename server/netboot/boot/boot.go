// Package boot hands out the boot directory, which mkimage laid out, to machines that boot: over TFTP as far as
// firmware needs it and over plain HTTP for the rest. Nothing in it is secret, and nothing outside of it can be read.
package boot

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot"
)

// Dir is a boot directory. It is opened anew for each file, so that a directory that mkimage replaced is served at
// once.
type Dir struct {
	path string
	arch bootdir.Arch
	// Choices says what a machine's menu has.
	Choices netboot.Chooser
	// beside are the boot directories of the other architectures, which need not be there.
	beside map[bootdir.Arch]*Dir
	said   *said
}

// NewDir returns the boot directory at the path; it need not be there yet. The files of other architectures' machines
// are in directories beside it, and are asked for with a prefix: bootdir.Arch says which.
func NewDir(path string) *Dir {
	arm64 := &Dir{path: bootdir.ARM64.Beside(path), arch: bootdir.ARM64, said: new(said)}
	return &Dir{path: path, arch: bootdir.AMD64, beside: map[bootdir.Arch]*Dir{bootdir.ARM64: arm64}, said: new(said)}
}

// Of is the boot directory of an architecture; of others than these there is none.
func (d *Dir) Of(arch bootdir.Arch) *Dir {
	if other := d.beside[arch]; other != nil {
		return &Dir{path: other.path, arch: arch, Choices: d.Choices, said: other.said}
	}
	return d
}

// find is the boot directory that a name from the network is in, and the name there.
func (d *Dir) find(name string) (*Dir, string) {
	plain := strings.TrimLeft(strings.ReplaceAll(name, `\`, "/"), "/")
	for arch := range d.beside {
		if rest, ok := strings.CutPrefix(plain, arch.Prefix()); ok {
			return d.Of(arch), rest
		}
	}
	return d, name
}

// Arch is the architecture of the machines that boot from the directory.
func (d *Dir) Arch() bootdir.Arch { return d.arch }

// Path returns where the directory is.
func (d *Dir) Path() string { return d.path }

// Open opens a regular file of the directory. The name comes from the network: os.Root refuses names and symbolic
// links that lead out.
func (d *Dir) Open(name string) (*os.File, fs.FileInfo, error) {
	d, name = d.find(name)
	name, err := clean(name)
	if err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, nil, fmt.Errorf("boot directory: %w (lay it out with mkimage, or name another with --boot-dir)",
			err)
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, nil, fmt.Errorf("boot file %q: %w", name, err)
	}
	if !info.Mode().IsRegular() { // asked before it is opened: a FIFO would block
		return nil, nil, fmt.Errorf("boot file %q is not a regular file: %w", name, fs.ErrNotExist)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("boot file %q: %w", name, err)
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("boot file %q: %w", name, err)
	}
	return f, info, nil
}

// Has reports whether the directory has the file, and is of the architecture of its machines.
func (d *Dir) Has(name string) bool {
	f, _, err := d.Open(name)
	if err != nil {
		return false
	}
	f.Close()
	d, _ = d.find(name)
	return d.misplaced() == ""
}

// clean makes a name from the network into a path below the directory.
func clean(name string) (string, error) {
	// Some UEFI firmware ends the name with 0xFF, taken from DHCP option 67's neighbour, the end option;
	// some ROMs end it with NULs or blanks, and Windows-minded ones write backslashes.
	for len(name) > 0 && strings.IndexByte("\xff\x00 ", name[len(name)-1]) >= 0 {
		name = name[:len(name)-1]
	}
	name = strings.ReplaceAll(name, `\`, "/")
	name = strings.TrimLeft(name, "/")
	// shim by HTTP puts its folder, a slash and a name that begins with one together.
	for strings.Contains(name, "//") {
		name = strings.ReplaceAll(name, "//", "/")
	}
	if name == "" || len(name) > 255 || strings.ContainsRune(name, 0) || path.Clean(name) != name ||
		!fs.ValidPath(name) {
		return "", fmt.Errorf("boot file name %.64q is not a path below the boot directory: %w", name, fs.ErrNotExist)
	}
	return name, nil
}

// LocalDisk is the File of a Fetch by which a machine learnt that it is to boot its own disk.
const LocalDisk = "local disk"

// Fetch is one boot file that a machine fetched, for its timeline.
type Fetch struct {
	Addr netip.Addr // the machine's
	MAC  string     // where the machine said it, else empty
	File string
	Via  string // "tftp", "http" or "https"
	// Start is true when the machine asked, false when it has everything.
	Start bool
	Bytes int64
	// Lost says why GRUB did not start the machine's own disk; empty for every other file. What follows is a restart.
	Lost string
}
