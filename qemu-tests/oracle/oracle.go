// Package oracle judges a restored disk with programs that are not ours: sfdisk for the partition table, e2fsck,
// fsck.fat, xfs_repair and btrfs check for the file systems, debugfs, mtools and a user-mode Linux to read every file
// back out. It mounts nothing on this machine.
package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// Partition is one line of sfdisk's view, in bytes.
type Partition struct {
	Start, Size int64
	Type, UUID  string
	Name        string
}

// Table asks sfdisk to verify the partition table and returns it.
func Table(ctx context.Context, disk string) ([]Partition, error) {
	out, err := proc.Output(ctx, "sfdisk", "--verify", disk)
	if err != nil {
		return nil, err
	}
	// sfdisk says "No errors detected." and exits 0 even when it found something to remark.
	if !strings.Contains(out, "No errors detected") {
		return nil, fmt.Errorf("sfdisk --verify %s: %s", disk, strings.TrimSpace(out))
	}
	out, err = proc.Output(ctx, "sfdisk", "--json", disk)
	if err != nil {
		return nil, err
	}
	var doc struct {
		PartitionTable struct {
			SectorSize int64 `json:"sectorsize"`
			Partitions []struct {
				Start, Size int64
				Type, UUID  string
				Name        string
			}
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		return nil, fmt.Errorf("sfdisk --json %s: %w", disk, err)
	}
	ss := doc.PartitionTable.SectorSize
	if ss == 0 {
		ss = 512
	}
	var ps []Partition
	for _, p := range doc.PartitionTable.Partitions {
		ps = append(ps, Partition{p.Start * ss, p.Size * ss, strings.ToLower(p.Type), strings.ToLower(p.UUID), p.Name})
	}
	return ps, nil
}

// CheckExt runs e2fsck -fn on the file system at an offset of the disk.
func CheckExt(ctx context.Context, disk string, offset int64) error {
	return proc.Run(ctx, nil, "e2fsck", "-fn", fmt.Sprintf("%s?offset=%d", disk, offset))
}

// CheckFAT runs fsck.fat -n on a copy of the partition, since fsck.fat knows no offset. dir is for the copy.
func CheckFAT(ctx context.Context, disk string, p Partition, dir string) error {
	part := filepath.Join(dir, "check.fat")
	defer os.Remove(part)
	if err := sparse.Extract(ctx, disk, p.Start, p.Size, part); err != nil {
		return err
	}
	return proc.Run(ctx, nil, "fsck.fat", "-n", part)
}

// ExtTree reads the tree of an ext file system with debugfs. dir is for the files.
func ExtTree(ctx context.Context, disk string, offset int64, dir string) (Tree, error) {
	dump, err := os.MkdirTemp(dir, "rdump-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dump)
	out, err := proc.Output(ctx, "debugfs", "-R", "rdump / "+dump, fmt.Sprintf("%s?offset=%d", disk, offset))
	if err != nil {
		return nil, err
	}
	// debugfs exits 0 whatever it met; all it says when all went well is its version.
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) > 1 {
		return nil, fmt.Errorf("debugfs rdump %s: %s", disk, strings.Join(lines[1:min(len(lines), 6)], "; "))
	}
	t, err := ReadTree(dump)
	delete(t, "lost+found") // mkfs makes it; the tree that went in has none
	return t, err
}

// FATTree reads the tree of a FAT file system with mtools. dir is for the files.
func FATTree(ctx context.Context, disk string, offset int64, dir string) (Tree, error) {
	dump, err := os.MkdirTemp(dir, "mcopy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dump)
	if err := proc.Run(ctx, nil, "mcopy", "-s", "-Q", "-m", "-n", "-i", fmt.Sprintf("%s@@%d", disk, offset), "::/",
		dump); err != nil {
		return nil, err
	}
	t, err := ReadTree(dump)
	if err != nil {
		return nil, err
	}
	return t.Names(), nil
}

// Disk is what a restored disk must be.
type Disk struct {
	Path string
	// the disk that was imaged: its partitions' places, types, UUIDs and names must be the same, but for growing
	Like string
	FS   string // what is on the root partition: ext4 (also when empty), xfs or btrfs
	Root Tree   // what must be on it; nil: not looked at
	ESP  Tree   // what must be on the EFI system partition; nil: not looked at
	// Ignore names paths of the root that may differ, with all below: what a booted system writes to.
	Ignore []string
}

// GPT types of the partitions that Check looks into.
const (
	espType  = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	rootType = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
)

// Check holds a restored disk against what it must be. Where the disk is larger than the one that was imaged and the
// root lies last, the root's partition and its file system must have grown to the end. The result names each thing that
// was checked, for a person.
func Check(ctx context.Context, d Disk, dir string) ([]string, error) {
	got, err := Table(ctx, d.Path)
	if err != nil {
		return nil, err
	}
	want, err := Table(ctx, d.Like)
	if err != nil {
		return nil, err
	}
	grown, err := grow(d, want)
	if err != nil {
		return nil, err
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return nil, fmt.Errorf("partitions of %s:\n got %v\nwant %v", d.Path, got, want)
	}
	done := []string{fmt.Sprintf("sfdisk --verify: %d partitions, same places, types, UUIDs and names", len(got))}
	if grown {
		done[0] += "; the last one reaches to the end of the disk"
	}
	var errs []error
	for _, p := range got {
		switch p.Type {
		case espType:
			err := CheckFAT(ctx, d.Path, p, dir)
			if err == nil {
				done = append(done, "fsck.fat -n: clean")
				err = sameTree(ctx, FATTree, d.Path, p.Start, dir, d.ESP, nil, "EFI system partition", &done)
			}
			errs = append(errs, err)
		case rootType:
			errs = append(errs, d.root(ctx, p, dir, &done))
		}
	}
	return done, errors.Join(errs...)
}

// grow changes the partitions of the imaged disk to what they are on a larger one, and tells whether there was anything
// to change.
func grow(d Disk, ps []Partition) (bool, error) {
	fi, err := os.Stat(d.Path)
	if err != nil {
		return false, err
	}
	like, err := os.Stat(d.Like)
	if err != nil {
		return false, err
	}
	if fi.Size() <= like.Size() || len(ps) == 0 || ps[len(ps)-1].Type != rootType {
		return false, nil
	}
	// The backup table takes 33 sectors at the end; partitions end on a whole MiB.
	const mib = 1 << 20
	last := &ps[len(ps)-1]
	last.Size = (fi.Size()-33*512)/mib*mib - last.Start
	return true, nil
}

// root judges the root partition.
func (d Disk) root(ctx context.Context, p Partition, dir string, done *[]string) error {
	if d.FS != "" && d.FS != "ext4" {
		return d.other(ctx, p, dir, done)
	}
	if err := CheckExt(ctx, d.Path, p.Start); err != nil {
		return err
	}
	*done = append(*done, "e2fsck -fn: clean")
	size, _, err := extSize(ctx, d.Path, p.Start)
	if err != nil {
		return err
	}
	if err := fills(size, p, d.Path, "dumpe2fs", done); err != nil {
		return err
	}
	return sameTree(ctx, ExtTree, d.Path, p.Start, dir, d.Root, d.Ignore, "root", done)
}

// extSize asks dumpe2fs how many bytes the file system has, and whether its journal holds what is not in its place yet.
func extSize(ctx context.Context, disk string, offset int64) (size int64, dirty bool, err error) {
	out, err := proc.Output(ctx, "dumpe2fs", "-h", fmt.Sprintf("%s?offset=%d", disk, offset))
	v := values(out, ":")
	return number(v["Block count"]) * number(v["Block size"]),
		strings.Contains(v["Filesystem features"], "needs_recovery"), err
}

// fills holds the size of a file system against that of its partition. A last piece may be too short for a block group.
func fills(size int64, p Partition, disk, tool string, done *[]string) error {
	if size > p.Size || size < p.Size-p.Size/64 {
		return fmt.Errorf("the file system has %d bytes on a partition of %d of %s", size, p.Size, disk)
	}
	*done = append(*done, fmt.Sprintf("%s: the file system has %d of the partition's %d MiB", tool, size>>20,
		p.Size>>20))
	return nil
}

// values reads lines of names and values.
func values(text, separator string) map[string]string {
	v := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, separator); ok {
			v[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return v
}

// number is 0 for what is none: no file system has that size.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func sameTree(ctx context.Context, read func(context.Context, string, int64, string) (Tree, error),
	disk string, offset int64, dir string, want Tree, ignore []string, what string, done *[]string) error {
	if want == nil {
		return nil
	}
	got, err := read(ctx, disk, offset, dir)
	if err != nil {
		return err
	}
	n, err := want.Same(got, ignore)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, disk, err)
	}
	*done = append(*done, fmt.Sprintf("%s: all %d files, directories and links equal the source tree", what, n))
	return nil
}
