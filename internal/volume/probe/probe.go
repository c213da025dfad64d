// Package probe finds out which file system is in a partition.
//
// Every reader looks for its own signature. What exactly one of them understands is captured by its allocation map.
// Everything else is captured whole, all-zero blocks elided, and says so in its notes: a partition without any known
// signature, one whose file system is damaged or has a feature that the reader does not know, and one that carries two
// signatures at once (the rest of an older file system, or a RAID member whose metadata is at its end), because then no
// single allocation map can be trusted.
package probe

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/btrfs"
	"github.com/diskcast/diskcast/internal/volume/exfat"
	"github.com/diskcast/diskcast/internal/volume/ext"
	"github.com/diskcast/diskcast/internal/volume/f2fs"
	"github.com/diskcast/diskcast/internal/volume/fat"
	"github.com/diskcast/diskcast/internal/volume/hfsplus"
	"github.com/diskcast/diskcast/internal/volume/jfs"
	"github.com/diskcast/diskcast/internal/volume/lvm"
	"github.com/diskcast/diskcast/internal/volume/member"
	"github.com/diskcast/diskcast/internal/volume/nilfs2"
	"github.com/diskcast/diskcast/internal/volume/ntfs"
	"github.com/diskcast/diskcast/internal/volume/reiserfs"
	"github.com/diskcast/diskcast/internal/volume/swap"
	"github.com/diskcast/diskcast/internal/volume/ufs"
	"github.com/diskcast/diskcast/internal/volume/xfs"
)

// A reader is one file system's Open.
type reader struct {
	name string // shown when the reader fails
	open func(r io.ReaderAt, size int64) (volume.FileSystem, error)
}

// open turns a package's Open, which returns its own type, into what a reader holds.
func open[T volume.FileSystem](f func(io.ReaderAt, int64) (T, error)) func(io.ReaderAt, int64) (volume.FileSystem, error) {
	return func(r io.ReaderAt, size int64) (volume.FileSystem, error) {
		fs, err := f(r, size)
		if err != nil {
			return nil, err
		}
		return fs, nil
	}
}

// containers are tried first: encryption, RAID, LVM. When one of them matches, what else seems to lie at the start of the
// partition may be a file system of which it holds only a part, so no file system reader is asked.
var containers = []reader{
	{"encryption or RAID", member.Open},
	{"LVM", open(lvm.Open)},
}

// descend has the file systems in logical volumes probed as well, but not a volume group in a volume group.
func descend(pv *lvm.FS) {
	pv.Descend(func(r io.ReaderAt, size int64) (volume.FileSystem, error) {
		if _, err := lvm.Open(r, size); !errors.Is(err, volume.ErrNotThis) {
			return volume.Whole("LVM2_member", size, volume.Info{Notes: []string{
				"It holds a volume group in a logical volume. It is captured whole."}}), nil
		}
		return Probe(r, size)
	})
}

// readers are file systems. All of them are tried, so the order does not matter.
var readers = []reader{
	{"ext2, ext3 or ext4", open(ext.Open)},
	{"FAT", open(fat.Open)},
	{"swap", open(swap.Open)},
	{"btrfs", open(btrfs.Open)},
	{"exFAT", open(exfat.Open)},
	{"F2FS", open(f2fs.Open)},
	{"HFS+", open(hfsplus.Open)},
	{"JFS", open(jfs.Open)},
	{"NILFS2", open(nilfs2.Open)},
	{"NTFS", open(ntfs.Open)},
	{"ReiserFS", open(reiserfs.Open)},
	{"UFS", open(ufs.Open)},
	{"XFS", open(xfs.Open)},
}

// Probe finds the file system in the size bytes of r. It reads the allocation map, which the result keeps, so that a map
// that cannot be read ends in a partition captured whole. It returns an error only when r itself cannot be read.
func Probe(r io.ReaderAt, size int64) (volume.FileSystem, error) {
	if size <= 0 {
		return volume.Whole(volume.TypeRaw, 0, volume.Info{Clean: true}), nil
	}
	var one [1]byte
	if err := volume.ReadAt(r, size, 0, one[:]); err != nil {
		return nil, fmt.Errorf("reading the partition's first byte: %w", err)
	}
	var found []volume.FileSystem
	var names, notes []string
	for i, rd := range slices.Concat(containers, readers) {
		fs, err := rd.open(r, size)
		if errors.Is(err, volume.ErrNotThis) {
			continue
		}
		names = append(names, rd.name)
		if err != nil {
			notes = append(notes, fmt.Sprintf("It looks like %s, but %v. It is captured whole.", rd.name, err))
			continue
		}
		if i < len(containers) {
			return load(fs, size), nil
		}
		found = append(found, fs)
	}
	switch {
	case len(names) == 0:
		return volume.Whole(volume.TypeRaw, size, volume.Info{Clean: true, Notes: []string{
			"No known file system was found. It is captured whole, without its all-zero blocks."}}), nil
	case len(names) > 1:
		notes = append(notes, fmt.Sprintf("It carries the signatures of %s. It is captured whole; "+
			"wipefs removes the signature that is left over.", strings.Join(names, " and ")))
		return volume.Whole(volume.TypeRaw, size, volume.Info{Notes: notes}), nil
	case len(found) == 0:
		return volume.Whole(volume.TypeRaw, size, volume.Info{Notes: notes}), nil
	}
	return load(found[0], size), nil
}

// mapped is a file system whose allocation map was read.
type mapped struct {
	volume.FileSystem
	info    volume.Info
	extents []volume.Extent
}

func (m *mapped) Info() volume.Info                 { return m.info }
func (m *mapped) Extents() ([]volume.Extent, error) { return m.extents, nil }

func load(fs volume.FileSystem, size int64) volume.FileSystem {
	if pv, ok := fs.(*lvm.FS); ok {
		descend(pv)
	}
	ext, err := fs.Extents()
	info := fs.Info()
	if err != nil {
		info.Notes = append(info.Notes, fmt.Sprintf(
			"Its allocation map cannot be read: %v. It is captured whole; check it with its own fsck.", err))
		return volume.Whole(fs.Type(), size, info)
	}
	return &mapped{fs, info, ext}
}
