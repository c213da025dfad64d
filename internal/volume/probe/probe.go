// Package probe finds out which file system is in a partition.
//
// Every reader looks for its own signature. What exactly one of them understands is captured by its allocation map.
// Everything else is captured whole, all-zero blocks elided, and says so in its notes: a partition without any known
// signature, one whose file system is damaged or has a feature that the reader does not know, one that is a member of a
// RAID set or pool (package member), and one that carries two signatures at once, because then no single allocation map
// can be trusted: the rest of an older file system, a disklabel (package label), or a file system that no reader knows
// (package foreign).
package probe

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/btrfs"
	"github.com/diskcast/diskcast/internal/volume/cover"
	"github.com/diskcast/diskcast/internal/volume/exfat"
	"github.com/diskcast/diskcast/internal/volume/ext"
	"github.com/diskcast/diskcast/internal/volume/f2fs"
	"github.com/diskcast/diskcast/internal/volume/fat"
	"github.com/diskcast/diskcast/internal/volume/foreign"
	"github.com/diskcast/diskcast/internal/volume/hfsplus"
	"github.com/diskcast/diskcast/internal/volume/jfs"
	"github.com/diskcast/diskcast/internal/volume/label"
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
	// tells: what it says of itself is worth reading beside other signatures too.
	tells bool
}

// open turns a package's Open, which returns its own type, into what a reader holds.
func open[T volume.FileSystem](f func(io.ReaderAt, int64) (T, error)) func(io.ReaderAt, int64) (volume.FileSystem,
	error) {
	return func(r io.ReaderAt, size int64) (volume.FileSystem, error) {
		fs, err := f(r, size)
		if err != nil {
			return nil, err
		}
		return fs, nil
	}
}

// What is looked for before file systems. When one of the first two matches, what else seems to lie at the start of the
// partition may be a file system of which it holds only a part, so no file system reader is asked; but a disklabel says
// that LVM may have a part only.
var (
	members  = reader{name: "encryption or RAID", open: member.Open}
	volumes  = reader{name: "LVM", open: open(lvm.Open)}
	labels   = reader{name: "a disklabel or partition table", open: label.Open, tells: true}
	foreigns = reader{name: "a file system without a reader", open: foreign.Open, tells: true}
)

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
	{name: "ext2, ext3 or ext4", open: open(ext.Open)},
	{name: "FAT", open: open(fat.Open)},
	{name: "swap", open: open(swap.Open)},
	{name: "btrfs", open: open(btrfs.Open)},
	{name: "exFAT", open: open(exfat.Open)},
	{name: "F2FS", open: open(f2fs.Open)},
	{name: "HFS+", open: open(hfsplus.Open)},
	{name: "JFS", open: open(jfs.Open)},
	{name: "NILFS2", open: open(nilfs2.Open)},
	{name: "NTFS", open: open(ntfs.Open)},
	{name: "ReiserFS", open: open(reiserfs.Open)},
	{name: "UFS", open: open(ufs.Open)},
	{name: "XFS", open: open(xfs.Open)},
}

// Probe finds the file system in the size bytes of r. It reads the allocation map, which the result keeps, so that a
// map that cannot be read ends in a partition captured whole. It returns an error only when r itself cannot be read.
func Probe(r io.ReaderAt, size int64) (volume.FileSystem, error) {
	if size <= 0 {
		return volume.Whole(volume.TypeRaw, 0, volume.Info{Clean: true}), nil
	}
	s, err := find(r, size)
	if err != nil {
		return nil, err
	}
	return s.result(size), nil
}

// Sight is what a partition is known by.
type Sight struct {
	Type, Label string
	// Signatures are all that there are, when no one type can be told from them.
	Signatures []string
}

// Look finds what Probe would, and reads no allocation map: a few places of the partition. What is meant for a map is
// not in it, so that nothing may be left out on its word.
func Look(r io.ReaderAt, size int64) (Sight, error) {
	if size <= 0 {
		return Sight{Type: volume.TypeRaw}, nil
	}
	s, err := find(r, size)
	if err == nil && s.unread != nil {
		err = fmt.Errorf("what is in it is not known, for a part of it cannot be read: %w", s.unread)
	}
	if err != nil {
		return Sight{}, err
	}
	if len(s.names) != 1 || len(s.found) != 1 {
		return Sight{Type: volume.TypeRaw, Signatures: s.names}, nil
	}
	return Sight{Type: s.found[0].Type(), Label: s.found[0].Info().Label}, nil
}

// find looks for all signatures.
func find(r io.ReaderAt, size int64) (*search, error) {
	var one [1]byte
	if err := volume.ReadAt(r, size, 0, one[:]); err != nil {
		return nil, fmt.Errorf("reading the partition's first byte: %w", err)
	}
	w := &watched{ReaderAt: r}
	r = cache(w, size)
	w.failed = nil // of the cache: only what is asked for counts
	s := &search{watch: w}
	if s.try(members, r, size); len(s.names) > 0 {
		return s, nil
	}
	s.try(labels, r, size)
	before := len(s.names)
	if s.try(volumes, r, size); len(s.names) == before {
		for _, rd := range append(readers, foreigns) {
			s.try(rd, r, size)
		}
	}
	return s, nil
}

// search is what was found so far.
type search struct {
	watch *watched
	found []volume.FileSystem
	names []string // of all signatures, those of damaged file systems too
	notes []string
	// unread is the first error of reading the partition itself, for which a signature could not be looked for.
	unread error
}

// watched notes that what it reads from fails, which is another thing than what stands in what was read.
type watched struct {
	io.ReaderAt
	failed error
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.ReaderAt.ReadAt(p, off)
	if err != nil && n < len(p) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		w.failed = fmt.Errorf("reading %d bytes at %d: %w", len(p), off, err)
	}
	return n, err
}

func (s *search) try(rd reader, r io.ReaderAt, size int64) {
	s.watch.failed = nil
	fs, err := rd.open(r, size)
	switch {
	case errors.Is(err, volume.ErrNotThis):
		return
	case err != nil && s.watch.failed != nil:
		// Whether it is this is not known: nothing that was read says so.
		if s.unread == nil {
			s.unread = s.watch.failed
			s.notes = append(s.notes, fmt.Sprintf("A part of it cannot be read (%v), so that what is in it is not "+
				"known: a "+
				"bad sector or a loose cable. It is captured whole.", s.unread))
		}
		return
	case err != nil:
		s.notes = append(s.notes, fmt.Sprintf("It looks like %s, but %v. It is captured whole.", rd.name, err))
	default:
		s.found = append(s.found, fs)
		if rd.tells {
			s.notes = append(s.notes, fs.Info().Notes...)
		}
	}
	s.names = append(s.names, rd.name)
}

func (s *search) result(size int64) volume.FileSystem {
	switch {
	case s.unread != nil:
		return volume.Whole(volume.TypeRaw, size, volume.Info{Notes: s.notes})
	case len(s.names) == 0:
		return volume.Whole(volume.TypeRaw, size, volume.Info{Clean: true, Notes: []string{
			"No known file system was found. It is captured whole, without its all-zero blocks."}})
	case len(s.names) > 1:
		s.notes = append(s.notes, fmt.Sprintf("It carries the signatures of %s. It is captured whole; "+
			"if one of them is left over from earlier, wipefs removes it.", strings.Join(s.names, " and ")))
		return volume.Whole(volume.TypeRaw, size, volume.Info{Notes: s.notes})
	case len(s.found) == 0:
		return volume.Whole(volume.TypeRaw, size, volume.Info{Notes: s.notes})
	}
	return load(s.found[0], size)
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
	var covers []*cover.Cover
	if pv, ok := fs.(*lvm.FS); ok {
		covers = coversOf(pv)
		descend(pv)
	}
	ext, err := fs.Extents()
	info := fs.Info()
	if err == nil && len(covers) > 0 {
		info.Notes = append(info.Notes,
			fmt.Sprintf("%s in one of its logical volumes may cover every byte of another, also what a file system "+
				"calls free. "+
				"It is captured whole.", upper(covers[0].What)))
		return volume.Whole(fs.Type(), size, info)
	}
	if err != nil {
		info.Notes = append(info.Notes, fmt.Sprintf(
			"Its allocation map cannot be read: %v. It is captured whole; check it with its own fsck.", err))
		return volume.Whole(fs.Type(), size, info)
	}
	return &mapped{fs, info, ext}
}
