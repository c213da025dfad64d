package oracle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// other judges a root partition with XFS or btrfs on a copy of it: their tools know no offset.
func (d Disk) other(ctx context.Context, p Partition, dir string, done *[]string) error {
	part := filepath.Join(dir, "check."+d.FS)
	defer os.Remove(part)
	if err := sparse.Extract(ctx, d.Path, p.Start, p.Size, part); err != nil {
		return err
	}
	var err error
	var size int64
	var tool string
	switch d.FS {
	case "xfs":
		if err = proc.Run(ctx, nil, "xfs_repair", "-n", "-f", part); err == nil {
			*done = append(*done, "xfs_repair -n: clean")
			tool = "xfs_db"
			size, _, err = xfsSize(ctx, part)
		}
	case "btrfs":
		if err = proc.Run(ctx, nil, "btrfs", "check", "--readonly", part); err == nil {
			*done = append(*done, "btrfs check: clean")
			tool = "btrfs dump-super"
			size, err = btrfsSize(ctx, part)
		}
	default:
		err = fmt.Errorf("nothing here judges %q", d.FS)
	}
	if err != nil {
		return err
	}
	if err := fills(size, p, d.Path, tool, done); err != nil {
		return err
	}
	return sameTree(ctx, func(ctx context.Context, _ string, _ int64, dir string) (Tree, error) {
		return GuestTree(ctx, part, d.FS, dir)
	},
		d.Path, p.Start, dir, d.Root, d.Ignore, "root", done)
}

// xfsSize asks xfs_db how many bytes the file system has, and xfs_logprint whether its log holds what is not in its
// place yet.
func xfsSize(ctx context.Context, part string) (size int64, dirty bool, err error) {
	out, err := proc.Output(ctx, "xfs_db", "-r", "-f", "-c", "sb 0", "-c", "print blocksize dblocks", part)
	if err != nil {
		return 0, false, err
	}
	v := values(out, " = ")
	log, err := proc.Output(ctx, "xfs_logprint", "-t", part)
	if err == nil && !strings.Contains(log, "state: <") {
		err = fmt.Errorf("xfs_logprint %s: %s", part, log)
	}
	return number(v["blocksize"]) * number(v["dblocks"]), strings.Contains(log, "state: <DIRTY>"), err
}

// btrfsSize asks the superblock how many bytes the file system has, which are those of its one device.
func btrfsSize(ctx context.Context, part string) (int64, error) {
	out, err := proc.Output(ctx, "btrfs", "inspect-internal", "dump-super", part)
	if err != nil {
		return 0, err
	}
	var sizes []int64
	for _, name := range []string{"total_bytes", "dev_item.total_bytes"} {
		for line := range strings.Lines(out) {
			if w := strings.Fields(line); len(w) == 2 && w[0] == name {
				sizes = append(sizes, number(w[1]))
			}
		}
	}
	if len(sizes) != 2 || sizes[0] != sizes[1] {
		return 0, fmt.Errorf("the superblock of %s says that it and its device have %d bytes", part, sizes)
	}
	return sizes[0], nil
}

// Interrupted tells how far growing the root had come on a disk whose machine lost its power meanwhile: the bytes that
// the file system claims, and whether its journal holds what is not in its place yet. dir is for a copy. It knows ext4
// and XFS.
func Interrupted(ctx context.Context, d Disk, dir string) (size int64, dirty bool, err error) {
	ps, err := Table(ctx, d.Path)
	if err != nil {
		return 0, false, err
	}
	for _, p := range ps {
		if p.Type != rootType {
			continue
		}
		if d.FS == "ext4" {
			return extSize(ctx, d.Path, p.Start)
		}
		part := filepath.Join(dir, "interrupted."+d.FS)
		defer os.Remove(part)
		if err := sparse.Extract(ctx, d.Path, p.Start, p.Size, part); err != nil {
			return 0, false, err
		}
		return xfsSize(ctx, part)
	}
	return 0, false, fmt.Errorf("%s has no root partition", d.Path)
}
