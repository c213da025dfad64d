package personalize

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// groupName has a dash, which the device mapper's names double.
const groupName = "diskcast-test"

// volumeGroup has lvm make a physical volume and do what commands say, in which $PV is its device, and $OTHER that of a
// second file. It returns the first file and lvm itself, whose devices are no others.
func volumeGroup(t *testing.T, size int64, commands ...string) (file string, lvm func(command string) string) {
	t.Helper()
	need.Root(t)
	need.Tools(t, "lvm")
	file, other := volumetest.Sparse(t, size), volumetest.Sparse(t, 64<<20)
	t.Setenv("LVM_SYSTEM_DIR", t.TempDir())
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	lvm = func(command string) string {
		t.Helper()
		loop, detach := volumetest.Loop(t, file, 512)
		defer detach()
		second, detachSecond := volumetest.Loop(t, other, 512)
		defer detachSecond()
		config := `devices{use_devicesfile=0 filter=["a|^` + loop + `$|","a|^` + second + `$|","r|.*|"]} ` +
			`activation{udev_sync=0 udev_rules=0 monitoring=0} backup{backup=0 archive=0} global{event_activation=0}`
		args := strings.Fields(strings.NewReplacer("$PV", loop, "$OTHER", second).Replace(command))
		args = append(args, "--driverloaded", "n", "--config", config)
		out := volumetest.Run(t, "lvm", args...)
		if _, after, found := strings.Cut(out, "will be attempted.\n"); found { // there is no device mapper
			return after
		}
		return out
	}
	for _, c := range append([]string{"pvcreate -q -y $PV", "vgcreate -q -y " + groupName + " $PV"}, commands...) {
		lvm(c)
	}
	return file, lvm
}

const lvcreate = "lvcreate -q -y -an -Zn -Wn "

// placed tells by lvm's word where in its physical volume a logical one of one piece begins.
func placed(t *testing.T, lvm func(string) string, name string) (at int64) {
	t.Helper()
	out := lvm("pvs --segments --noheadings --nosuffix --units b -o lv_name,pe_start,pvseg_start,vg_extent_size")
	for line := range strings.Lines(out) {
		var lv string
		var first, extent, size int64
		if n, _ := fmt.Sscan(line, &lv, &first, &extent, &size); n == 4 && lv == name {
			return first + extent*size
		}
	}
	t.Fatalf("lvm tells of no %s: %s", name, out)
	return 0
}

// move copies a run of bytes from one file into another.
func move(t *testing.T, from string, skip int64, to string, seek, count int64) {
	t.Helper()
	volumetest.Run(t, "dd", "if="+from, "of="+to, "bs=1M", "conv=notrunc,sparse", "status=none",
		"iflag=skip_bytes,count_bytes", "oflag=seek_bytes", fmt.Sprintf("skip=%d", skip), fmt.Sprintf("seek=%d", seek),
		fmt.Sprintf("count=%d", count))
}

const imageSize = 320 << 20 // that image makes

// TestVolumes personalizes systems in a logical volume that lies between two others, has the tools of the file system
// judge what is in it then, and looks at every byte around it.
func TestVolumes(t *testing.T) {
	for _, tt := range []struct{ distribution, fstype, fstab string }{
		{"debian", "ext4", "/dev/mapper/diskcast--test-root / ext4 defaults 0 1\n"},
		{"fedora", "xfs", "/dev/diskcast-test/root / xfs defaults 0 0\n"},
		{"ubuntu", "btrfs", "/dev/disk/by-id/dm-uuid-LVM-$IDS / btrfs subvol=@ 0 0\n"},
		{"alpine", "ext4", "UUID=" + fsUUID + " / ext4 defaults 0 1\n"},
	} {
		t.Run(tt.distribution+" "+tt.fstype, func(t *testing.T) {
			s := systems[tt.distribution]
			s.files = with(with(s.files, shell(t)), map[string]string{"tmp/": ""})
			if tt.distribution == "debian" {
				s.files["sbin/ifup"] = debianIfup(t)
			}
			file, lvm := volumeGroup(t, 400<<20, lvcreate+"-L 16M -n before "+groupName,
				lvcreate+"-L 320M -n root "+groupName, lvcreate+"-L 16M -n after "+groupName)
			at := placed(t, lvm, "root")
			ids := strings.NewReplacer("-", "", " ", "", "\n", "").Replace(
				lvm("lvs --noheadings -o vg_uuid,lv_uuid " + groupName + "/root"))
			fs := fileSystems[tt.fstype]
			fs.fstab = strings.ReplaceAll(tt.fstab, "$IDS", ids)
			inner := imageOf(t, fs, tt.fstype, s, "")
			move(t, inner, 0, file, at, imageSize)
			before, err := os.ReadFile(file)
			must(t, err)

			own := everything(t)
			if tt.distribution == "alpine" { // which has EXTLINUX, and that reads no logical volume
				own.KernelWords = nil
			}
			said, err := apply(t, file, own)
			if err != nil {
				t.Fatal(err)
			}
			if want := "in logical volume diskcast-test/root (" + tt.fstype; !strings.Contains(said, want) {
				t.Errorf("%s, want %s", said, want)
			}
			after, err := os.ReadFile(file)
			must(t, err)
			end := at + imageSize
			if string(after[:at]) != string(before[:at]) || string(after[end:]) != string(before[end:]) {
				t.Error("something outside the logical volume was written to")
			}
			lvm("vgck " + groupName)
			move(t, file, at, inner, 0, imageSize)
			volumetest.Run(t, fs.judge[0], append(fs.judge[1:len(fs.judge):len(fs.judge)], inner)...)
			options := "ro"
			if fs.sub != "" {
				options += ",subvol=" + fs.sub
			}
			dir, _ := volumetest.Mount(t, inner, tt.fstype, options)
			judge(t, dir, s)
		})
	}
}

// TestVolumesRefused has logical volumes that are no run of bytes that may be written to. Nothing is.
func TestVolumesRefused(t *testing.T) {
	root := lvcreate + "-L 320M -n root " + groupName
	for _, tt := range []struct {
		name, fstab string
		commands    []string
		want        string
	}{
		{"no group", "", []string{"vgremove -q -y " + groupName}, "it is in no volume group"},
		{"pieces", "", []string{lvcreate + "-L 160M -n root " + groupName, lvcreate + "-L 4M -n other " + groupName,
			"lvextend -q -L 320M " + groupName + "/root"},
			"logical volume diskcast-test/root: it is in several pieces"},
		{"read-only", "", []string{root, "lvchange -q -y -pr " + groupName + "/root"}, "it is read-only"},
		{"exported", "", []string{root, "vgexport -q " + groupName}, "or its volume group is exported"},
		{"another root", "/dev/mapper/diskcast--test-new / ext4 defaults 0 1\n", []string{root},
			"its fstab has / on /dev/mapper/diskcast--test-new"},
		{"the root of another group",
			"/dev/disk/by-id/dm-uuid-LVM-" + strings.Repeat("x", 64) + " / ext4 defaults 0 1\n", []string{root},
			"its fstab has / on /dev/disk/by-id/dm-uuid-LVM-xxx"},
		{"a root in a partition", "/dev/sda2 / ext4 defaults 0 1\n", []string{root}, "its fstab has / on /dev/sda2"},
		{"two physical volumes", "", []string{root, "pvcreate -q -y $OTHER", "vgextend -q -y " + groupName + " $OTHER"},
			"its volume group has 2 physical volumes"},
		{"half of a mirror", "", []string{root}, "it is a part of something else too, linux_raid_member"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, lvm := volumeGroup(t, 400<<20, tt.commands...)
			if strings.HasPrefix(tt.commands[0], lvcreate) {
				fs := fileSystems["ext4"]
				fs.fstab = tt.fstab
				inner := imageOf(t, fs, "ext4", systems["debian"], "")
				at := int64(1 << 20)
				if tt.name != "exported" { // of which lvm tells nothing
					at = placed(t, lvm, "root")
				}
				move(t, inner, 0, file, at, imageSize)
			}
			if tt.name == "half of a mirror" {
				volumetest.Poke(t, file, 400<<20-64<<10, func(p []byte) { // md's superblock of version 0.90
					binary.LittleEndian.PutUint32(p, 0xa92b4efc)
					binary.LittleEndian.PutUint32(p[8:], 90)
				})
			}
			before, err := os.ReadFile(file)
			must(t, err)
			_, err = apply(t, file, personal.Settings{Hostname: "a"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
				t.Errorf("refused, and written to (%v)", err)
			}
		})
	}
}
