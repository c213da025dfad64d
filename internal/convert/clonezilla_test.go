package convert

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// zilla makes a Clonezilla image directory with the tools that Clonezilla uses.
type zilla struct {
	t    *testing.T
	dir  string
	disk string // image file of the disk that is taken
}

func newZilla(t *testing.T, size int64, script string) *zilla {
	t.Helper()
	need.Tools(t, "sfdisk", "parted", "mkfs.ext4", "mkswap", "partclone.extfs", "split")
	z := &zilla{t: t, dir: volumetest.Dir(t), disk: volumetest.Sparse(t, size)}
	volumetest.RunIn(t, script, "sfdisk", "-q", z.disk)
	z.file("disk", "sda\n")
	z.file("sda-pt.sf", strings.ReplaceAll(volumetest.Run(t, "sfdisk", "-d", z.disk), z.disk, "/dev/sda"))
	z.file("sda-pt.parted", strings.ReplaceAll(volumetest.Run(t, "parted", "-s", z.disk, "unit", "s", "print"), z.disk,
		"/dev/sda"))
	return z
}

func (z *zilla) file(name, text string) {
	z.t.Helper()
	if err := os.WriteFile(filepath.Join(z.dir, name), []byte(text), 0o600); err != nil {
		z.t.Fatal(err)
	}
}

// cut copies sectors of the disk into a file of the directory.
func (z *zilla) cut(name string, skip, count int64) {
	z.t.Helper()
	volumetest.Run(z.t, "dd", "if="+z.disk, "of="+filepath.Join(z.dir, name), "bs=512", fmt.Sprintf("skip=%d", skip),
		fmt.Sprintf("count=%d", count), "status=none")
}

// ext4 puts a file system of some MiB on the disk at a sector, and its image into the directory.
func (z *zilla) ext4(name string, sector, megabytes int64, pack string) {
	z.t.Helper()
	t := z.t
	fs := volumetest.Sparse(t, megabytes*mib)
	tree := volumetest.Dir(t)
	if err := os.WriteFile(filepath.Join(tree, "file of "+name), bytes.Repeat([]byte(name), 300_000),
		0o600); err != nil {
		t.Fatal(err)
	}
	volumetest.Run(t, "mkfs.ext4", "-q", "-F", "-d", tree, fs)
	volumetest.Run(t, "dd", "if="+fs, "of="+z.disk, "bs=512", fmt.Sprintf("seek=%d", sector), "conv=notrunc,sparse",
		"status=none")
	image := filepath.Join(volumetest.Dir(t), "image")
	volumetest.Run(t, "partclone.extfs", "-c", "-s", fs, "-o", image, "-L", image+".log")
	base := filepath.Join(z.dir, name+".ext4-ptcl-img.")
	switch pack {
	case "uncomp":
		volumetest.Run(t, "cp", image, base+"uncomp")
	case "gz":
		volumetest.Run(t, "gzip", "-1", image)
		volumetest.Run(t, "split", "-b", "300k", image+".gz", base+"gz.")
	case "zst":
		volumetest.Run(t, "zstd", "-q", "-1", image)
		volumetest.Run(t, "cp", image+".zst", base+"zst")
	case "xz", "bz2", "lz4":
		program := map[string]string{"xz": "xz", "bz2": "bzip2", "lz4": "lz4"}[pack]
		need.Tools(t, program)
		volumetest.Run(t, "sh", "-c", program+` -1 -c "$1" | split -b 100k -a 3 - "$2"`, "sh", image, base+pack+".")
	}
}

// written opens the directory and writes its disk to a file.
func (z *zilla) written() (string, Disk) {
	z.t.Helper()
	d := openDisk(z.t, z.dir)
	path := filepath.Join(volumetest.Dir(z.t), "written")
	if err := os.WriteFile(path, content(z.t, d), 0o600); err != nil {
		z.t.Fatal(err)
	}
	return path, d
}

func (z *zilla) sameTable(written string) {
	z.t.Helper()
	want := strings.ReplaceAll(volumetest.Run(z.t, "sfdisk", "-d", z.disk), z.disk, "")
	got := strings.ReplaceAll(volumetest.Run(z.t, "sfdisk", "-d", written), written, "")
	volumetest.Same(z.t, want, got)
}

func TestClonezillaGPT(t *testing.T) {
	t.Parallel()
	const size = 128 * mib
	z := newZilla(t, size, "label: gpt\nstart=2048, size=40960, name=root\nstart=43008, size=20480, "+
		"type=swap\nstart=63488, size=40960\nstart=104448, size=40960\n")
	z.ext4("sda1", 2048, 20, "gz")
	z.ext4("sda3", 63488, 20, "zst")
	z.ext4("sda4", 104448, 20, "uncomp")
	swap := volumetest.Sparse(t, 10*mib)
	volumetest.Run(t, "mkswap", "-q", "-L", "swapped", "-U", "01234567-89ab-cdef-0123-456789abcdef", swap)
	volumetest.Run(t, "dd", "if="+swap, "of="+z.disk, "bs=512", "seek=43008", "conv=notrunc", "status=none")
	z.file("swappt-sda2.info", "UUID=\"01234567-89ab-cdef-0123-456789abcdef\"\nLABEL=\"swapped\"\n")
	z.file("parts", "sda1 sda3 sda4\n")
	z.cut("sda-mbr", 0, 1)
	z.cut("sda-gpt-1st", 0, 34)
	z.cut("sda-gpt-2nd", size/512-33, 33)
	written, d := z.written()
	z.sameTable(written)
	want, err := os.ReadFile(z.disk)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(written)
	if err != nil {
		t.Fatal(err)
	}
	same(t, want, got)
	if d.Format() != "clonezilla" || len(d.Notes()) == 0 {
		t.Errorf("%s, notes %q", d.Format(), d.Notes())
	}

	// What is missing is said, and so is what is there twice.
	if err := os.Rename(filepath.Join(z.dir, "sda3.ext4-ptcl-img.zst"), filepath.Join(z.dir, "away")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(z.dir); err == nil || !strings.Contains(err.Error(), "no image of that") {
		t.Errorf("a missing image: %v", err)
	}
	z.file("disk", "sda sdb\n")
	if _, err := Open(z.dir); !errors.Is(err, ErrFormat) {
		t.Errorf("two disks: %v", err)
	}
}

func TestClonezillaLogical(t *testing.T) {
	t.Parallel()
	const size = 160 * mib
	z := newZilla(t, size, "label: dos\nlabel-id: "+
		"0x12345678\n2048,40960,83,*\n43008,,5\n45056,40960,83\n88064,40960,83\n131072,20480,83\n")
	z.ext4("sda1", 2048, 20, "xz")
	z.ext4("sda5", 45056, 20, "bz2")
	z.ext4("sda6", 88064, 20, "lz4")
	z.file("parts", "sda1 sda5 sda6\n")
	z.cut("sda-mbr", 0, 1)
	z.cut("sda-hidden-data-after-mbr", 1, 2047)
	z.cut("sda2-ebr", 43008, 1)
	written, d := z.written()
	z.sameTable(written)
	for _, at := range []int64{2048, 45056, 88064} {
		part := filepath.Join(volumetest.Dir(t), "part")
		volumetest.Run(t, "dd", "if="+written, "of="+part, "bs=512", fmt.Sprintf("skip=%d", at), "count=40960",
			"status=none")
		volumetest.Run(t, "e2fsck", "-fn", part)
	}
	if notes := strings.Join(d.Notes(), "\n"); !strings.Contains(notes, "nothing for partition sda7") {
		t.Errorf("notes %s", notes)
	}
}

func TestClonezillaLVM(t *testing.T) {
	need.Tools(t, "lvm")
	const size, start, count = 160 * mib, 2048, 300_000
	z := newZilla(t, size, fmt.Sprintf("label: dos\n%d,%d,8e\n", start, count))
	z.cut("sda-mbr", 0, 1)
	z.file("parts", "sda1\n")

	// The group is made on a device of the partition's size.
	pv := volumetest.Sparse(t, count*512)
	device, detach := volumetest.Loop(t, pv, 512)
	vg := fmt.Sprintf("dczilla%d", os.Getpid())
	config := `devices{use_devicesfile=0 filter=["a|^` + device +
		`$|","r|.*|"]} activation{udev_sync=0 udev_rules=0 monitoring=0} backup{backup=0 archive=0} ` +
		`global{event_activation=0}`
	t.Setenv("LVM_SYSTEM_DIR", t.TempDir())
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	lvm := func(args ...string) string {
		t.Helper()
		out := volumetest.Run(t, "lvm", append(args, "--driverloaded", "n", "--config", config)...)
		return strings.TrimSpace(out[strings.LastIndex(out, "attempted.")+1:])
	}
	lvm("pvcreate", "-q", "-y", device)
	lvm("vgcreate", "-q", "-y", vg, device)
	lvm("lvcreate", "-q", "-y", "-an", "-Zn", "-Wn", "-L", "40M", "-n", "root", vg)
	lvm("lvcreate", "-q", "-y", "-an", "-Zn", "-Wn", "-L", "20M", "-n", "swap", vg)
	lvm("lvextend", "-q", "-L", "60M", vg+"/root")
	lvm("vgcfgbackup", "-q", "-f", filepath.Join(z.dir, "lvm_"+vg+".conf"), vg)
	uuid := strings.Fields(lvm("pvs", "--noheadings", "-o", "pv_uuid", device))
	ranges := strings.Fields(lvm("lvs", "--segments", "--noheadings", "-o", "seg_pe_ranges", vg+"/root"))
	detach()
	z.file("lvm_vg_dev.list", vg+" /dev/sda1 "+uuid[len(uuid)-1]+"\n")
	z.file("lvm_logv.list", "/dev/"+vg+"/root  Linux rev 1.0 ext4 filesystem data\n/dev/"+vg+"/swap  Linux swap file\n")
	z.ext4(vg+"-root", 200_000, 60, "gz") // the place on the disk does not matter here
	z.file("swappt-"+vg+"-swap.info", "UUID=\"01234567-89ab-cdef-0123-456789abcdef\"\n")

	written, _ := z.written()
	part := filepath.Join(volumetest.Dir(t), "part")
	volumetest.Run(t, "dd", "if="+written, "of="+part, "bs=512", fmt.Sprintf("skip=%d", start),
		fmt.Sprintf("count=%d", count), "status=none")
	device, _ = volumetest.Loop(t, part, 512)
	config = strings.Replace(config, config[strings.Index(config, "^"):strings.Index(config, "$|")], "^"+device, 1)
	if out := lvm("pvs", "--noheadings", "-o", "pv_uuid,vg_name", device); !strings.Contains(out, uuid[len(uuid)-1]) ||
		!strings.Contains(out, vg) {
		t.Errorf("pvs: %s", out)
	}
	lvm("vgck", vg)
	// The file system, put together from the extents that lvm names.
	inner := filepath.Join(volumetest.Dir(t), "inner")
	seek := int64(0)
	for _, r := range ranges {
		_, span, found := strings.Cut(r, ":")
		from, to, _ := strings.Cut(span, "-")
		a, err := strconv.ParseInt(from, 10, 64)
		if !found || err != nil {
			continue
		}
		b, err := strconv.ParseInt(to, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		volumetest.Run(t, "dd", "if="+part, "of="+inner, "bs=1M", fmt.Sprintf("skip=%d", 1+4*a),
			fmt.Sprintf("count=%d", 4*(b-a+1)), fmt.Sprintf("seek=%d", seek), "conv=notrunc", "status=none")
		seek += 4 * (b - a + 1)
	}
	volumetest.Run(t, "e2fsck", "-fn", inner)
	if out := volumetest.Run(t, "debugfs", "-R", "stat \"/file of "+vg+"-root\"", inner); !strings.Contains(out,
		"Size: "+strconv.Itoa(300_000*len(vg+"-root"))) {
		t.Errorf("debugfs: %s", out)
	}
}
