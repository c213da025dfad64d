package bootos

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// mountedDisk attaches a copy of a file system read-only, as the agent sets a disk, and mounts it as the agent does.
// The copy must be the same byte for byte when the test has ended.
func mountedDisk(t *testing.T, image string) *Volumes {
	t.Helper()
	before := sum(t, image)
	loop, _ := volumetest.Loop(t, image, 512, "-r")
	v := Mount(filepath.Join(t.TempDir(), "os"), []Device{{Number: 1, Path: loop}})
	t.Cleanup(func() {
		if err := v.Unmount(); err != nil {
			t.Error(err)
		}
		if sum(t, image) != before {
			t.Error("the file system was written to")
		}
	})
	if len(v.Skipped) > 0 {
		t.Fatal(v.Skipped)
	}
	return v
}

func sum(t *testing.T, file string) (out [32]byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	copy(out[:], h.Sum(nil))
	return out
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const suseConfig = `set btrfs_relative_path="yes"
set timeout=5
menuentry 'openSUSE' { search --fs-uuid --set=root UUID; linux /boot/vmlinuz root=UUID=UUID; initrd /boot/initrd; }
`

// TestBtrfsDefaultSubvolume: after a rollback the default subvolume has other kernels than the one that the system was
// installed to.
func TestBtrfsDefaultSubvolume(t *testing.T) {
	need.Root(t)
	need.Tools(t, "mkfs.btrfs", "btrfs", "losetup")
	image := volumetest.Sparse(t, 128<<20)
	volumetest.Run(t, "mkfs.btrfs", "-q", "-U", "5b3c0f8e-0b5f-4a51-9d2e-0c6d5f1f2a01", image)
	const uuid = "5b3c0f8e-0b5f-4a51-9d2e-0c6d5f1f2a01"
	dir, unmount := volumetest.Mount(t, image, "btrfs", "")
	volumetest.Run(t, "btrfs", "subvolume", "create", filepath.Join(dir, "@"))
	for _, n := range []string{"1", "2 with a blank"} {
		root := filepath.Join(dir, "@/.snapshots", n, "snapshot")
		if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
			t.Fatal(err)
		}
		volumetest.Run(t, "btrfs", "subvolume", "create", root)
		write(t, filepath.Join(root, "boot/grub2/grub.cfg"), strings.ReplaceAll(suseConfig, "UUID", uuid))
		write(t, filepath.Join(root, "boot/vmlinuz-"+n), "kernel of "+n)
		write(t, filepath.Join(root, "boot/initrd"), "initrd of "+n)
		if err := os.Symlink("vmlinuz-"+n, filepath.Join(root, "boot/vmlinuz")); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"", "/@/.snapshots/1/snapshot", "/@/.snapshots/2 with a blank/snapshot"} {
		t.Run(want, func(t *testing.T) {
			volumetest.Run(t, "btrfs", "subvolume", "set-default", filepath.Join(dir, want))
			judge := volumetest.Run(t, "btrfs", "subvolume", "get-default", dir)
			volumetest.Run(t, "btrfs", "filesystem", "sync", dir)
			v := mountedDisk(t, volumetest.Copy(t, image))
			got := v.byNumber[1].Default
			if _, path, _ := strings.Cut(strings.TrimSpace(judge), " path "); got != want ||
				path != strings.TrimPrefix(want, "/") {
				t.Errorf("the default subvolume is %q, want %q, btrfs says %q", got, want, judge)
			}
			s, err := Find(v, Firmware{MBR: sectors["grub"]})
			if want == "" {
				if err == nil {
					t.Errorf("a system was found that GRUB does not reach: %+v", s)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kernel, err := v.ReadFile(1, s.Kernel.Path, 100)
			if n := strings.Split(want, "/")[3]; err != nil || string(kernel) != "kernel of "+n {
				t.Errorf("it starts %q of %s, %v, want that of %s", kernel, s.Kernel.Path, err, n)
			}
		})
	}
	unmount()
}

// TestDirtyLogs mounts file systems as a power cut leaves them, with a log that wants to be replayed, on a disk that is
// set read-only.
func TestDirtyLogs(t *testing.T) {
	need.Root(t)
	for _, tt := range []struct {
		fs, mkfs string
		size     int64
	}{{"btrfs", "mkfs.btrfs", 128 << 20}, {"xfs", "mkfs.xfs", 320 << 20}, {"ext4", "mkfs.ext4", 32 << 20}} {
		t.Run(tt.fs, func(t *testing.T) {
			need.Tools(t, tt.mkfs, "losetup")
			image := volumetest.Sparse(t, tt.size)
			volumetest.Run(t, tt.mkfs, "-q", image)
			dir, unmount := volumetest.Mount(t, image, tt.fs, "")
			write(t, filepath.Join(dir, "boot/vmlinuz"), "kernel")
			unmount()
			dir, _ = volumetest.Mount(t, image, tt.fs, "")
			// What is synced for itself is only in the log.
			write(t, filepath.Join(dir, "late"), "late")
			late, err := os.OpenFile(filepath.Join(dir, "late"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer late.Close()
			if _, err := late.Write(bytes.Repeat([]byte("x"), 8192)); err != nil {
				t.Fatal(err)
			}
			if err := late.Sync(); err != nil {
				t.Fatal(err)
			}
			cut := volumetest.Copy(t, image)
			loop, detach := volumetest.Loop(t, cut, 512, "-r")
			if err := unix.Mount(loop, t.TempDir(), tt.fs, unix.MS_RDONLY, ""); err == nil {
				t.Fatal("the log is clean: this test shows nothing")
			}
			detach()
			v := mountedDisk(t, cut)
			if b, err := v.ReadFile(1, "/boot/vmlinuz", 100); err != nil || string(b) != "kernel" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// TestMountWays: a kernel that does not know an option says EINVAL, and the next is tried; other errors end the tries.
func TestMountWays(t *testing.T) {
	need.Root(t)
	need.Tools(t, "mkfs.ext4", "losetup")
	image := volumetest.Sparse(t, 16<<20)
	volumetest.Run(t, "mkfs.ext4", "-q", image)
	loop, _ := volumetest.Loop(t, image, 512, "-r")
	dir := t.TempDir()
	k := &fsKind{name: "ext4", driver: "ext4", noReplay: []string{"an_option_of_tomorrow", "noload"}}
	if err := mountAs(loop, dir, k, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Error(err)
	}
	k.noReplay = []string{"an_option_of_tomorrow"}
	if err := mountAs(loop, dir, k, ""); err == nil ||
		!strings.Contains(err.Error(), "mounting "+loop+" as ext4: invalid argument") {
		t.Errorf("%v", err)
		_ = unix.Unmount(dir, 0)
	}
}

func TestMountRoot(t *testing.T) {
	const info = "36 35 98:0 / /os/1 rw - btrfs /dev/sda1 rw\n37 35 98:0 /@/a\\040b /os/1 rw - btrfs /dev/sda1 rw\n"
	if got, err := mountRoot(info, "/os/1"); got != "/@/a b" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := mountRoot(info, "/os/2"); err == nil {
		t.Error("a folder where nothing is mounted has a root")
	}
}
