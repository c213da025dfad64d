package bootos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/treetest"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// layered is a disk of two partitions, of 80 and 160 MiB: partition 1 is half of a RAID 1 with a file system, partition
// 2 a physical volume of LVM.
const (
	firstAt, secondAt = 1 << 20, 81 << 20
	firstSize         = 80 << 20
	diskSize          = 256 << 20
	setID             = "000102030405060708090a0b0c0d0e0f"
)

// lvmFile has lvm make a file with a volume group and do what commands say, in which $PV is its device.
func lvmFile(t *testing.T, size int64, commands ...string) string {
	t.Helper()
	file := volumetest.Sparse(t, size)
	t.Setenv("LVM_SYSTEM_DIR", t.TempDir())
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	loop, detach := volumetest.Loop(t, file, 512)
	defer detach()
	config := `devices{use_devicesfile=0 filter=["a|^` + loop + `$|","r|.*|"]} ` +
		`activation{udev_sync=0 udev_rules=0 monitoring=0} backup{backup=0 archive=0} global{event_activation=0}`
	for _, c := range append([]string{"pvcreate -q -y $PV", "vgcreate -q -y my-vg $PV"}, commands...) {
		args := strings.Fields(strings.ReplaceAll(c, "$PV", loop))
		volumetest.Run(t, "lvm", append(args, "--driverloaded", "n", "--config", config)...)
	}
	return file
}

const lvcreate = "lvcreate -q -y -an -Zn -Wn "

// superblock is one of md's, version 1.2, for a half of a set on a partition of size bytes.
func superblock(version string, size int64, change func(p []byte)) (at int64, p []byte) {
	le := binary.LittleEndian
	start := uint64(2048)
	at = map[string]int64{"1.0": (size/512 - 16) &^ 7 * 512, "1.1": 0, "1.2": 4096}[version]
	if version == "1.0" {
		start = 0
	}
	p = make([]byte, 260)
	le.PutUint32(p, mdMagic)
	le.PutUint32(p[4:], 1)
	for i := range 16 {
		p[16+i] = byte(i)
	}
	copy(p[32:], "host:boot")
	le.PutUint32(p[72:], 1)
	le.PutUint64(p[80:], uint64(size)/512-2048-128)
	le.PutUint32(p[92:], 2)
	le.PutUint64(p[128:], start)
	le.PutUint64(p[136:], uint64(size)/512-2048-128)
	le.PutUint64(p[144:], uint64(at/512))
	le.PutUint64(p[200:], 7)
	le.PutUint64(p[208:], 1<<64-1)
	le.PutUint32(p[220:], 2)
	le.PutUint16(p[258:], 1)
	if change != nil {
		change(p)
	}
	var sum uint64
	for i := 0; i < len(p); i += 4 {
		sum += uint64(le.Uint32(p[i:]))
	}
	le.PutUint32(p[216:], uint32(sum)+uint32(sum>>32))
	return at, p
}

// bootFiles makes a file system with a system's boot files, all with the word as content.
func bootFiles(t *testing.T, mib int, uuid, word string, more map[string]string) string {
	t.Helper()
	files := map[string]string{"boot/vmlinuz-6.1": word, "boot/initrd.img-6.1": word}
	for name, content := range more {
		files[name] = content
	}
	out := filepath.Join(t.TempDir(), "fs")
	volumetest.Run(t, "mke2fs", "-q", "-t", "ext4", "-U", uuid, "-d", treetest.Make(t, files), out,
		fmt.Sprintf("%dM", mib))
	return out
}

func copyTo(t *testing.T, from, to string, at int64) {
	t.Helper()
	volumetest.Run(t, "dd", "if="+from, "of="+to, "bs=1M", "conv=notrunc,sparse", "status=none", "oflag=seek_bytes",
		fmt.Sprintf("seek=%d", at))
}

func writeAt(t *testing.T, path string, at int64, p []byte) {
	t.Helper()
	d, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.WriteAt(p, at)
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
}

const (
	raidUUID = "11111111-2222-3333-4444-000000000001"
	rootUUID = "11111111-2222-3333-4444-000000000002"
)

// layeredDisk makes the disk; the half of the RAID is of the version.
func layeredDisk(t *testing.T, version string, change func(p []byte), config map[string]string,
	commands ...string) string {
	t.Helper()
	need.Root(t)
	need.Tools(t, "lvm", "sfdisk", "mke2fs", "grub-fstest")
	disk := volumetest.Sparse(t, diskSize)
	volumetest.RunIn(t, "label: gpt\nstart=2048, size=163840, type=linux\nstart=165888, size=327680, type=linux\n",
		"sfdisk", "-q", "--no-reread", disk)
	at, p := superblock(version, firstSize, change)
	start := int64(binary.LittleEndian.Uint64(p[128:])) * 512
	copyTo(t, bootFiles(t, 40, raidUUID, "raid", config), disk, firstAt+start)
	writeAt(t, disk, firstAt+at, p)
	pv := lvmFile(t, 160<<20, append([]string{lvcreate + "-L 8M -n swap my-vg",
		lvcreate + "-L 60M -n ro-ot my-vg"}, commands...)...)
	copyTo(t, pv, disk, secondAt)
	// lvm puts the first extent at 1 MiB, and the second volume behind the first.
	copyTo(t, bootFiles(t, 60, rootUUID, "lvm", map[string]string{"etc/fstab": ""}), disk, secondAt+9<<20)
	return disk
}

func partitions(t *testing.T, disk string) []Device {
	t.Helper()
	var out []Device
	for n, run := range [][2]int64{{firstAt, firstSize}, {secondAt, 160 << 20}} {
		f, err := os.Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, run[1])
		_, err = f.ReadAt(b, run[0])
		part := filepath.Join(t.TempDir(), "part")
		if err := errors.Join(err, f.Close(), os.WriteFile(part, b, 0o600)); err != nil {
			t.Fatal(err)
		}
		loop, _ := volumetest.Loop(t, part, 512)
		out = append(out, Device{Number: n + 1, Path: loop})
	}
	return out
}

// TestAssemble holds GRUB's names of devices against GRUB: under each it must find the files that are in the device.
func TestAssemble(t *testing.T) {
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		t.Run(version, func(t *testing.T) {
			disk := layeredDisk(t, version, nil, nil)
			all, _, detach := assemble(t.Context(), partitions(t, disk), nil, nil)
			defer detach()
			names := map[string]string{}
			for _, d := range all {
				if len(d.Lacks) > 0 || len(d.Layers) > 0 {
					t.Errorf("%s lacks %q of %q", d.words(), d.Lacks, d.Layers)
				}
				for _, n := range d.GRUB {
					names[n] = map[bool]string{true: "raid", false: "lvm"}[strings.HasPrefix(n, "md")]
				}
			}
			if len(names) != 4 || names["lvm/my--vg-ro--ot"] != "lvm" || names["md/boot"] != "raid" ||
				names["mduuid/"+setID] != "raid" {
				t.Errorf("names %v", names)
			}
			for n, want := range names {
				out, err := exec.Command("grub-fstest", "-c", "1", disk, "cat", "("+n+")/boot/vmlinuz-6.1").Output()
				if err != nil || string(out) != want {
					t.Errorf("GRUB has %q in %s, want %q (%v)", out, n, want, err)
				}
			}
			v := Mount(filepath.Join(t.TempDir(), "os"), all)
			defer func() {
				if err := v.Unmount(); err != nil {
					t.Error(err)
				}
			}()
			if v.Holds(grub.MD) || v.Holds(grub.LVM) || len(v.Skipped) > 0 || v.unread {
				t.Errorf("something was not read: %v", v)
			}
			for _, m := range v.Made() {
				b, err := v.ReadFile(m.Device, "/boot/vmlinuz-6.1", 100)
				if err != nil || string(b) != names[m.Names[0]] {
					t.Errorf("%v: %q, %v", m, b, err)
				}
			}
		})
	}
}

// TestLookLayers follows a GRUB from RAID to LVM, and refuses what cannot be told.
func TestLookLayers(t *testing.T) {
	config := func(search string) map[string]string {
		return map[string]string{"boot/grub/grub.cfg": `set timeout=5
menuentry 'Debian' {
	insmod mdraid1x
	insmod lvm
	` + search + `
	linux /boot/vmlinuz-6.1 root=/dev/mapper/my--vg-ro--ot ro
	initrd /boot/initrd.img-6.1
}
`}
	}
	const byUUID = "search --no-floppy --fs-uuid --set=root " + rootUUID
	const notRead = "may be on what could not be read: partition 1: it"
	le := binary.LittleEndian
	for _, tt := range []struct {
		name     string
		search   string
		change   func(p []byte)
		commands []string
		want     string // the kernel's device, or words of the reason
	}{
		{"by the file system's UUID", byUUID, nil, nil, "logical volume my-vg/ro-ot"},
		{"by GRUB's name", "set root='lvm/my--vg-ro--ot'", nil, nil, "logical volume my-vg/ro-ot"},
		{"a volume in two pieces", byUUID, nil, []string{lvcreate + "-L 4M -n x my-vg",
			"lvextend -q -L 64M my-vg/ro-ot"}, "on no file system that can be read here"},
		{"a read-only volume", byUUID, nil, []string{"lvchange -q -y -pr my-vg/ro-ot"},
			"on no file system that can be read here"},
		{"a half that was not shut down", byUUID, func(p []byte) { le.PutUint64(p[208:], 100) }, nil, notRead},
		{"a spare", byUUID, func(p []byte) { le.PutUint16(p[256:], 0xffff) }, nil, notRead},
		{"a RAID that is reshaped", byUUID, func(p []byte) { p[8] = 4 }, nil, notRead},
		{"a stripe", byUUID, func(p []byte) { p[72] = 0 }, nil, notRead},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := layeredDisk(t, "1.2", tt.change, config(tt.search), tt.commands...)
			before, err := os.ReadFile(disk)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Look(disk, false, nil)
			var restart *Restart
			switch {
			case errors.As(err, &restart):
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			case err != nil:
				t.Error(err)
			case tt.want != "logical volume my-vg/ro-ot":
				t.Errorf("%s, want %q", s.Words(), tt.want)
			case s.Kernel.Device >= 0 || s.Args != "BOOT_IMAGE=/boot/vmlinuz-6.1 root=/dev/mapper/my--vg-ro--ot ro":
				t.Errorf("%+v", s)
			}
			if after, err := os.ReadFile(disk); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the disk was written to (%v)", err)
			}
		})
	}
}

// TestNeighbours has what is on the machine's other disks: GRUB may take that.
func TestNeighbours(t *testing.T) {
	disk := layeredDisk(t, "1.2", nil, nil)
	parts := partitions(t, disk)
	for _, tt := range []struct {
		name       string
		other      func(t *testing.T, path string) // makes the other disk
		raid, lvm  bool                            // is made of this disk
		why        string
		otherIsOwn bool
	}{
		{"nothing", func(t *testing.T, path string) { put(t, path, make([]byte, 1<<20)) }, true, true, "", false},
		{"itself", func(t *testing.T, path string) { link(t, parts[1].Path, path) }, true, true, "", true},
		{"the other half", func(t *testing.T, path string) { half(t, path, nil) }, true, true, "", false},
		{"an older half", func(t *testing.T, path string) {
			half(t, path, func(p []byte) { p[200] = 6 })
		}, false, true, "older or newer", false},
		{"a set of the same name", func(t *testing.T, path string) {
			half(t, path, func(p []byte) { p[16] = 77 })
		}, false, true, "same name", false},
		{"a set of another name", func(t *testing.T, path string) {
			half(t, path, func(p []byte) { p[16], p[38] = 77, 'x' })
		}, true, true, "", false},
		{"a copy of the physical volume", func(t *testing.T, path string) { link(t, parts[1].Path, path) },
			true, false, "same identity", false},
		{"a group of the same name", func(t *testing.T, path string) {
			link(t, lvmFile(t, 64<<20), path)
		}, true, false, "volume group of the same name", false},
		{"a damaged physical volume", func(t *testing.T, path string) {
			label := append([]byte("LABELONE"), make([]byte, 16)...)
			put(t, path, append(append(label, "LVM2 001"...), make([]byte, 1<<20)...))
		}, true, false, "not read here", false},
		{"RAID of version 0.90", func(t *testing.T, path string) {
			p := make([]byte, 1<<20)
			binary.LittleEndian.PutUint32(p[1<<20-65536:], mdMagic)
			put(t, path, p)
		}, false, true, "RAID that is not read here", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, "sys/block/sdb/sdb1"), 0o755); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(root, "sys/block/sdb/sdb1/partition"), []byte("1\n"))
			if err := os.Mkdir(filepath.Join(root, "dev"), 0o755); err != nil {
				t.Fatal(err)
			}
			tt.other(t, filepath.Join(root, "dev/sdb1"))
			own := "/dev/sda"
			if tt.otherIsOwn {
				own = "/dev/sdb"
			}
			all, _, detach := assemble(t.Context(), parts, elsewhere(root, own), nil)
			defer detach()
			var words []string
			made := map[bool]bool{}
			for _, d := range all {
				words = append(words, d.Lacks...)
				if d.Number < 0 {
					made[strings.HasPrefix(d.GRUB[0], "md/")] = true
				}
			}
			why := strings.Join(words, "; ")
			if made[true] != tt.raid || made[false] != tt.lvm || !strings.Contains(why, tt.why) ||
				(tt.why == "") != (why == "") {
				t.Errorf("RAID %v, LVM %v, want %v, %v: %q, want %q", made[true], made[false], tt.raid, tt.lvm, why,
					tt.why)
			}
		})
	}
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

func half(t *testing.T, path string, change func(p []byte)) {
	t.Helper()
	at, p := superblock("1.2", firstSize, change)
	put(t, path, nil)
	if err := os.Truncate(path, firstSize); err != nil {
		t.Fatal(err)
	}
	writeAt(t, path, at, p)
}

// TestTwins has both halves of a mirror on one disk: which of them GRUB reads is not known.
func TestTwins(t *testing.T) {
	disk := layeredDisk(t, "1.2", nil, nil)
	parts := partitions(t, disk)
	parts[1].Path = parts[0].Path
	all, _, detach := assemble(t.Context(), parts, nil, nil)
	defer detach()
	if len(all) != 2 || !slices.Contains(all[0].Layers, grub.MD) || !slices.Contains(all[1].Layers, grub.MD) {
		t.Errorf("%+v", all)
	}
}

func FuzzMirror(f *testing.F) {
	const size = 1 << 20
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		disk := make([]byte, size)
		at, p := superblock(version, size, func(p []byte) { binary.LittleEndian.PutUint64(p[80:], 8) })
		copy(disk[at:], p)
		f.Add(disk)
	}
	f.Fuzz(func(t *testing.T, disk []byte) {
		m, err := readMirror(bytes.NewReader(disk), int64(len(disk)))
		if err == nil && (m.start < 0 || m.size <= 0 || m.start+m.size > int64(len(disk)) || len(m.grub) == 0) {
			t.Errorf("%+v of %d bytes", m, len(disk))
		}
		n := &neighbours{sets: map[string]uint64{}, names: map[string]bool{}, unclear: map[grub.Layer]bool{}}
		if start, length := n.set(bytes.NewReader(disk), int64(len(disk))); start < 0 || length < 0 ||
			start+length > int64(len(disk)) {
			t.Errorf("%d bytes at %d of %d", length, start, len(disk))
		}
	})
}
