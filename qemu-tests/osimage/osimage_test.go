package osimage

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/uml"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
)

// TestSmall makes a small disk and reads back with other programs what went in.
func TestSmall(t *testing.T) {
	need.Root(t)
	need.Tools(t, "sfdisk", "mkfs.ext4", "mkfs.fat", "mcopy", "mkswap", "e2fsck", "fsck.fat", "debugfs")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cache := t.TempDir()
	im, err := Small(ctx, cache, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	done, err := oracle.Check(ctx, oracle.Disk{Path: im.Disk, Like: im.Disk, Root: im.Root, ESP: im.ESP}, cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range done {
		t.Log(line)
	}
	if len(im.Root) < 600 || len(im.ESP) < 4 {
		t.Fatalf("trees of %d and %d entries", len(im.Root), len(im.ESP))
	}
	start := time.Now()
	if _, err := Small(ctx, cache, 1, nil); err != nil || time.Since(start) > time.Second {
		t.Fatalf("second time: %v, %v", time.Since(start), err)
	}
	// One changed byte of a file must be noticed: the check itself is checked.
	if err := flipMarker(im.Disk); err != nil {
		t.Fatal(err)
	}
	if _, err := oracle.Check(ctx, oracle.Disk{Path: im.Disk, Like: im.Disk, Root: im.Root, ESP: im.ESP},
		cache); err == nil {
		t.Fatal("a changed byte in a file went unnoticed")
	}
}

// flipMarker changes a byte of the first file that holds the marker.
func flipMarker(disk string) error {
	b, err := os.ReadFile(disk)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{'D'}, int64(bytes.Index(b, []byte(Marker))))
	return errors.Join(err, f.Close())
}

// TestGrowable makes the disks whose roots grow and reads back with other programs what went in.
func TestGrowable(t *testing.T) {
	need.Root(t)
	need.Tools(t, "sfdisk", "mkswap", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "e2fsck", "debugfs", "xfs_repair",
		"xfs_db", "btrfs", uml.Program)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cache := t.TempDir()
	for kind := range growable {
		t.Run(kind, func(t *testing.T) {
			im, err := Growable(ctx, cache, kind, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(im.Root) < 150 || im.FS != kind {
				t.Fatalf("a tree of %d entries, %s", len(im.Root), im.FS)
			}
			d := oracle.Disk{Path: im.Disk, Like: im.Disk, FS: im.FS, Root: im.Root}
			done, err := oracle.Check(ctx, d, cache)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range done {
				t.Log(line)
			}
			if _, dirty, err := oracle.Interrupted(ctx, d, cache); kind != "btrfs" && (dirty || err != nil) {
				t.Errorf("its journal is in use: %v, %v", dirty, err)
			}
			if kind == "btrfs" {
				return // which finds the changed byte itself
			}
			if err := flipMarker(im.Disk); err != nil {
				t.Fatal(err)
			}
			if _, err := oracle.Check(ctx, d, cache); err == nil {
				t.Fatal("a changed byte in a file went unnoticed")
			}
		})
	}
}
