package bootos

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestBtrfsEXTLINUX has EXTLINUX's own installer put the loader on a btrfs. What is the default subvolume decides
// nothing.
func TestBtrfsEXTLINUX(t *testing.T) {
	need.Root(t)
	need.Tools(t, "mkfs.btrfs", "btrfs", "losetup", "extlinux")
	for _, tt := range []struct {
		name, named string // what installers that find the default subvolume write into the loader
		want        string // whose kernel is started, or a restart's words
	}{
		{"as Debian's installs itself", "", "top"},
		{"a subvolume was named", "@before", "@before"},
		{"it is gone", "@gone", "top"},
		{"it is below the top", "deep", "top"},
		{"it is a folder", "folder", "top"},
		{"it begins with another's name", "@after-all",
			`restart: it begins at the subvolume "@after-all" or at "@after"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := volumetest.Sparse(t, 128<<20)
			volumetest.Run(t, "mkfs.btrfs", "-q", image)
			dir, unmount := volumetest.Mount(t, image, "btrfs", "subvol=/")
			for _, name := range []string{"", "@before", "@after", "@after-all", "folder", "folder/deep"} {
				root := filepath.Join(dir, name)
				if name != "" && name != "folder" {
					volumetest.Run(t, "btrfs", "subvolume", "create", root)
				}
				write(t, filepath.Join(root, "boot/extlinux/extlinux.conf"),
					"DEFAULT a\nLABEL a\nLINUX /boot/extlinux\n")
				write(t, filepath.Join(root, "boot/own/extlinux.conf"), "DEFAULT a\nLABEL a\nLINUX ../kernel\n")
				write(t, filepath.Join(root, "boot/kernel"), cmp.Or(name, "top"))
			}
			volumetest.Run(t, "extlinux", "--install", filepath.Join(dir, "boot/own"))
			volumetest.Run(t, "btrfs", "subvolume", "set-default", filepath.Join(dir, "@after"))
			unmount()
			name(t, image, tt.named)
			boot := make([]byte, 512)
			f, _ := volumetest.Open(t, image)
			if _, err := f.ReadAt(boot, 0); err != nil {
				t.Fatal(err)
			}
			v := mountedDisk(t, image)
			s, err := Find(v, Firmware{MBR: sectors["chain"], PBR: boot, Active: 1})
			if words, is := strings.CutPrefix(tt.want, "restart: "); is {
				var r *Restart
				if !errors.As(err, &r) || !strings.Contains(err.Error(), words) {
					t.Errorf("%+v, %v, want %s", s, err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if kernel, err := v.ReadFile(1, s.Kernel.Path, 100); err != nil || string(kernel) != tt.want {
				t.Errorf("it starts the kernel of %q from %s, %v, want that of %q", kernel, s.Kernel.Path, err, tt.want)
			}
			// Where the boot sector is not known U-Boot may be meant, which begins at the default subvolume.
			if s, err := Find(v, Firmware{}); err == nil {
				t.Errorf("%+v, want a restart, for EXTLINUX and U-Boot differ", s)
			}
		})
	}
}

// name writes the name of a subvolume into EXTLINUX's loader, where its installer has zeros.
func name(t *testing.T, image, subvolume string) {
	t.Helper()
	volumetest.Poke(t, image, extlinuxAt, func(p []byte) {
		at := bytes.Index(p[:512], binary.LittleEndian.AppendUint32(nil, extlinuxMagic))
		more := binary.LittleEndian.Uint16(p[at+22:])
		copy(p[binary.LittleEndian.Uint16(p[more+6:]):], subvolume)
	})
}

func FuzzExtlinuxImage(f *testing.F) {
	b := make([]byte, 1024)
	binary.LittleEndian.PutUint32(b[64:], extlinuxMagic)
	binary.LittleEndian.PutUint16(b[64+22:], 512)
	for i, n := range []uint16{600, 32, 700, 32} {
		binary.LittleEndian.PutUint16(b[514+2*i:], n)
	}
	copy(b[600:], "/boot/extlinux")
	copy(b[700:], "@")
	if im, err := parseExtlinux(b); err != nil || im != (extlinuxImage{"@", "/boot/extlinux"}) {
		f.Fatalf("%+v, %v", im, err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if im, err := parseExtlinux(b); err == nil && (len(im.dir) > len(b) || strings.Contains(im.subvolume, "\x00")) {
			t.Errorf("%+v", im)
		}
	})
}
