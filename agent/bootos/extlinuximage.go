package bootos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
)

// extlinuxImage is what EXTLINUX's installer has written into the loader: where the loader begins, whatever has become
// of the disk since.
type extlinuxImage struct {
	subvolume string // name of a subvolume at the top of a btrfs; empty: the top itself
	dir       string // folder of its configuration
}

// Where EXTLINUX keeps its loader on a btrfs, in bytes: in the first MiB, which the file system leaves alone (SYSLINUX,
// btrfs.h: boot area B). The places inside it are numbers of 16 bits, so that so much is enough.
const (
	extlinuxAt   = 256 << 10
	extlinuxSize = 64<<10 + 512
)

// extlinuxMagic is in the first sector of the loader, before the area that the installer fills in (SYSLINUX,
// syslxint.h: patch_area).
const extlinuxMagic = 0x3eb202fe

var errNoExtlinux = errors.New("EXTLINUX's loader is not where it is on a btrfs")

// parseExtlinux reads the loader from its first byte on.
func parseExtlinux(b []byte) (im extlinuxImage, err error) {
	le := binary.LittleEndian
	// half is a number of 16 bits at a place that may be outside; text is a string with a zero behind it, at a place
	// and of a length that two numbers give.
	half := func(at int) int {
		if at < 0 || at+2 > len(b) {
			err = errNoExtlinux
			return 0
		}
		return int(le.Uint16(b[at:]))
	}
	text := func(at int) string {
		from, n := half(at), half(at+2)
		if from == 0 || from+n > len(b) {
			err = errNoExtlinux
			return ""
		}
		s, _, ended := bytes.Cut(b[from:from+n], []byte{0})
		if !ended {
			err = errNoExtlinux
		}
		return string(s)
	}
	for at := 0; at+24 <= min(512, len(b)); at += 4 {
		if le.Uint32(b[at:]) != extlinuxMagic {
			continue
		}
		const pointer, dir, subvolume = 22, 2, 6
		more := half(at + pointer)
		im = extlinuxImage{dir: text(more + dir), subvolume: text(more + subvolume)}
		return im, err
	}
	return im, errNoExtlinux
}

// extlinuxOn finds where the EXTLINUX of a btrfs begins: the files as it sees them, and where it looks for its
// configuration, in order. It knows no default subvolume, but the one that its installer may have named in it; else it
// begins at the top.
func (f *finder) extlinuxOn(dev int) (v *Volumes, configs []string, err error) {
	b, err := f.v.Blocks(dev, extlinuxAt/512, extlinuxSize/512)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoExtlinux, err)
	}
	im, err := parseExtlinux(b)
	if err != nil {
		return nil, nil, err
	}
	sub, err := f.atTop(dev, im.subvolume)
	if err != nil {
		return nil, nil, err
	}
	for _, dir := range []string{im.dir, "/boot/syslinux", "/syslinux", "/"} {
		configs = append(configs, path.Join("/", dir, "extlinux.conf"), path.Join("/", dir, "syslinux.cfg"))
	}
	return f.v.from(dev, sub), configs, nil
}

// atTop finds the subvolume of that name at the top of a btrfs as EXTLINUX does, which begins at the top where there is
// none. Its version 6.04 takes the first one with which the name begins, older ones take only the name itself.
func (f *finder) atTop(dev int, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	names, err := f.v.List(dev, "/")
	if err != nil {
		return "", err
	}
	found := ""
	for _, n := range names {
		switch {
		case !strings.HasPrefix(name, n) || !f.v.isSubvolume(dev, n):
		case n == name:
			found = "/" + n
		default:
			return "", fmt.Errorf("it begins at the subvolume %q or at %q, as its version has it", name, n)
		}
	}
	return found, nil
}

// isSubvolume tells whether a folder at the top of a btrfs is a subvolume: those have the inode number 256
// (BTRFS_FIRST_FREE_OBJECTID).
func (v *Volumes) isSubvolume(dev int, name string) bool {
	fi, err := os.Lstat(path.Join(v.byNumber[dev].Dir, name))
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && fi.IsDir() && st.Ino == 256
}
