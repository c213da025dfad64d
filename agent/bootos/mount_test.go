package bootos

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestIdentify asks blkid, which knows them all, whether our few lines know the few that matter.
func TestIdentify(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		fs   string
		args []string
	}{
		{"ext4", []string{"mkfs.ext4", "-q", "-L", "a label"}},
		{"ext4", []string{"mkfs.ext2", "-q"}}, // read by the ext4 driver too
		{"vfat", []string{"mkfs.vfat", "-F", "32", "-n", "EFI"}},
		{"vfat", []string{"mkfs.vfat", "-F", "16"}},
		{"xfs", []string{"mkfs.xfs", "-q", "-L", "root"}},
		{"btrfs", []string{"mkfs.btrfs", "-q", "-L", "pool"}},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			need.Tools(t, tt.args[0], "blkid")
			file := filepath.Join(dir, "fs")
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(file, 320<<20); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(tt.args[0], append(tt.args[1:], file)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			r, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			k, uuid, label := identify(r)
			if k == nil || k.name != tt.fs {
				t.Fatalf("%+v, want %s", k, tt.fs)
			}
			for tag, got := range map[string]string{"UUID": uuid, "LABEL": label} {
				out, _ := exec.Command("blkid", "-p", "-o", "value", "-s", tag, file).Output()
				if want := strings.TrimSpace(string(out)); got != want {
					t.Errorf("%s %q, blkid says %q", tag, got, want)
				}
			}
		})
	}
}

// TestMount mounts a file system whose journal was never closed, reads it, and shows that not a byte of it changed.
func TestMount(t *testing.T) {
	need.Root(t)
	need.Tools(t, "mkfs.ext4", "losetup", "debugfs")
	tree, file := t.TempDir(), filepath.Join(t.TempDir(), "fs")
	if err := os.MkdirAll(filepath.Join(tree, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"etc-fstab": "x", "boot/vmlinuz-1": "kernel"} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	volumetest.Run(t, "mkfs.ext4", "-q", "-d", tree, file, "64M")
	// As after a power cut: the journal wants to be replayed.
	volumetest.Run(t, "debugfs", "-w", "-R", "feature needs_recovery", file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	loop, _ := volumetest.Loop(t, file, 512)
	swap := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(swap, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	v := Mount(filepath.Join(t.TempDir(), "os"), []Device{{Number: 1, Path: swap}, {Number: 2, Path: loop}})
	if b, err := v.ReadFile(2, "/boot/vmlinuz-1", 100); err != nil || string(b) != "kernel" {
		t.Errorf("%q, %v", b, err)
	}
	if len(v.Skipped) != 1 || !strings.Contains(v.Skipped[0], "partition 1: no file system that a boot loader reads") {
		t.Errorf("skipped %q", v.Skipped)
	}
	if err := v.Unmount(); err != nil {
		t.Error(err)
	}
	volumetest.Run(t, "blockdev", "--flushbufs", loop)
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file system was written to (%v)", err)
	}
}

// TestUnread: a disk with many partitions that are not read gives a reason no more words than people read.
func TestUnread(t *testing.T) {
	v := NewVolumes()
	for range 128 {
		v.Skipped = append(v.Skipped, "partition 1: zfs_member is none that is read here")
	}
	if got := v.Unread(); len(got) > 700 || !strings.HasPrefix(got, "partition 1: zfs_member") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
