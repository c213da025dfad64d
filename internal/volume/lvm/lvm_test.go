package lvm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
	"github.com/diskcast/diskcast/internal/volume/xfs"
)

const mib = 1 << 20

// group makes a volume group on loop devices with the real tools; device-mapper is not needed for that. Each command is
// the arguments of lvm; $V is the group's name.
func group(t *testing.T, sizes []int64, commands ...string) (images []string, lvm func(args ...string) string) {
	t.Helper()
	need.Tools(t, "lvm", "losetup")
	vg := fmt.Sprintf("dc-lvm-%d-%s", os.Getpid(), strings.ToLower(filepath.Base(t.Name())))
	vg = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, vg)
	var devices []string
	for _, size := range sizes {
		image := volumetest.Sparse(t, size)
		device, _ := volumetest.Loop(t, image, 512)
		images, devices = append(images, image), append(devices, device)
	}
	accept := `"a|^` + strings.Join(devices, `$|","a|^`) + `$|"`
	config := `devices{use_devicesfile=0 filter=[` + accept +
		`,"r|.*|"]} activation{udev_sync=0 udev_rules=0 monitoring=0} backup{backup=0 archive=0} ` +
		`global{event_activation=0}`
	t.Setenv("LVM_SYSTEM_DIR", t.TempDir())
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	lvm = func(args ...string) string {
		t.Helper()
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "$V", vg)
		}
		out := volumetest.Run(t, "lvm", append(args, "--driverloaded", "n", "--config", config)...)
		_, after, found := strings.Cut(out, "will be attempted.\n") // the warning that there is no device-mapper
		if found {
			return after
		}
		return out
	}
	for _, d := range devices {
		lvm("pvcreate", "-q", "-y", d)
	}
	lvm(append([]string{"vgcreate", "-q", "-y", "$V"}, devices...)...)
	for _, c := range commands {
		lvm(strings.Fields(c)...)
	}
	return images, lvm
}

func load(t *testing.T, image string) (*FS, []volume.Extent) {
	t.Helper()
	f, n := volumetest.Open(t, image)
	fs, err := Open(f, n)
	if err != nil {
		t.Fatal(err)
	}
	fs.Descend(func(r io.ReaderAt, size int64) (volume.FileSystem, error) {
		inner, err := xfs.Open(r, size)
		if errors.Is(err, volume.ErrNotThis) {
			return volume.Whole(volume.TypeRaw, size, volume.Info{}), nil
		}
		return inner, err
	})
	extents, err := fs.Extents()
	if err != nil {
		t.Fatal(err)
	}
	volumetest.Check(t, extents, n)
	return fs, extents
}

// TestLinear has an XFS in a logical volume of two pieces, with another one between them.
func TestLinear(t *testing.T) {
	create := "lvcreate -q -y -an -Zn -Wn "
	images, lvm := group(t, []int64{400 * mib}, create+"-L 100M -n root $V", create+"-L 40M -n other $V",
		"lvextend -q -L 180M $V/root", create+"-L 8M -n gone $V", "lvremove -q -y $V/gone")
	image := images[0]
	need.Tools(t, "mkfs.xfs", "xfs_repair", "blkid")

	// What lvm says of the pieces, in extents of 4 MiB.
	type piece struct{ lv, at, n int64 }
	start, err := strconv.ParseInt(strings.TrimSpace(lvm("pvs", "--noheadings", "--nosuffix", "--units", "b", "-o",
		"pe_start")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var root []piece
	lvAt := int64(0)
	for _, line := range strings.Split(strings.TrimSpace(lvm("lvs", "--segments", "--noheadings", "-o", "seg_pe_ranges",
		"$V/root")), "\n") {
		_, span, _ := strings.Cut(strings.TrimSpace(line), ":")
		var from, to int64
		if _, err := fmt.Sscanf(span, "%d-%d", &from, &to); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		root = append(root, piece{lvAt, start + from*4*mib, (to - from + 1) * 4 * mib})
		lvAt += (to - from + 1) * 4 * mib
	}
	if len(root) < 2 {
		t.Fatalf("the volume has %d pieces", len(root))
	}
	inner := volumetest.Sparse(t, lvAt)
	volumetest.Run(t, "mkfs.xfs", "--unsupported", "-q", inner)
	dir, unmount := volumetest.Mount(t, inner, "xfs", "")
	volumetest.Fill(t, dir, 20)
	list := volumetest.List(t, dir)
	unmount()
	move := func(disk, file string, out bool) {
		t.Helper()
		for _, p := range root {
			from, to, skip, seek := file, disk, p.lv, p.at
			if out {
				from, to, skip, seek = disk, file, p.at, p.lv
			}
			volumetest.Run(t, "dd", "if="+from, "of="+to, "bs=4M", "conv=notrunc", "status=none",
				"iflag=skip_bytes,count_bytes", "oflag=seek_bytes",
				fmt.Sprintf("skip=%d", skip), fmt.Sprintf("seek=%d", seek), fmt.Sprintf("count=%d", p.n))
		}
	}
	move(image, inner, false)

	fs, extents := load(t, image)
	info := fs.Info()
	if blkid := volumetest.Run(t, "blkid", "-p", image); !info.Clean || !strings.Contains(blkid, `"`+info.UUID+`"`) ||
		!strings.Contains(strings.Join(info.Notes, "\n"), "/root: xfs") {
		t.Errorf("%+v, blkid says %s", info, blkid)
	}
	if used := volume.Bytes(extents); used > 100*mib {
		t.Errorf("%d bytes are used", used)
	}
	restored := volumetest.Restore(t, image, extents)
	again := filepath.Join(t.TempDir(), "inner.img")
	move(restored, again, true)
	volumetest.Run(t, "xfs_repair", "-n", "-f", again)
	dir, _ = volumetest.Mount(t, again, "xfs", "nouuid")
	volumetest.Same(t, list, volumetest.List(t, dir))
}

func TestWhole(t *testing.T) {
	create := "lvcreate -q -y -an -Zn -Wn "
	images, _ := group(t, []int64{200 * mib, 200 * mib}, create+"-L 64M -i 2 -n striped $V", create+"-l 60 -n both $V")
	for _, image := range images {
		fs, extents := load(t, image)
		lengths := map[string]int64{}
		for _, v := range fs.Volumes() {
			for _, s := range v.Segments {
				lengths[v.Name] += s.Length
			}
			if v.Linear {
				t.Errorf("%s is linear", v.Name)
			}
		}
		if lengths["striped"] != 32*mib {
			t.Errorf("lengths %v", lengths)
		}
		if notes := strings.Join(fs.Info().Notes, "\n"); !strings.Contains(notes, "striped is captured whole") ||
			!strings.Contains(notes, "both is captured whole: part of it") {
			t.Errorf("notes %s", notes)
		}
		if used := volume.Bytes(extents); used < 64*mib {
			t.Errorf("%d bytes", used)
		}
	}
}

func TestOrphan(t *testing.T) {
	need.Tools(t, "lvm")
	images, _ := group(t, []int64{64 * mib}, "vgremove -q -y $V")
	fs, extents := load(t, images[0])
	if volume.Bytes(extents) != 64*mib || len(fs.Info().Notes) != 1 {
		t.Errorf("%v %+v", extents, fs.Info())
	}
}

// TestIgnored has a physical volume whose own copy of the metadata is no longer kept up to date: what it says is not
// believed.
func TestIgnored(t *testing.T) {
	create := "lvcreate -q -y -an -Zn -Wn "
	images, lvm := group(t, []int64{64 * mib, 64 * mib}, create+"-l 2 -n old $V")
	device := strings.Fields(lvm("pvs", "--noheadings", "-o", "pv_name"))[1]
	lvm("pvchange", "-q", "-y", "--metadataignore", "y", device)
	lvm("lvcreate", "-q", "-y", "-an", "-Zn", "-Wn", "-l", "20", "-n", "new", "$V")
	for i, image := range images {
		fs, extents := load(t, image)
		if whole := volume.Bytes(extents) == 64*mib; whole != (i == 1) ||
			whole != strings.Contains(strings.Join(fs.Info().Notes, " "), "no copy of its volume group's metadata") {
			t.Errorf("volume %d: %v, %+v", i, extents, fs.Info())
		}
	}
}

// TestBehind has data behind the end of the file system in a logical volume, as dm-verity does.
func TestBehind(t *testing.T) {
	images, _ := group(t, []int64{64 * mib}, "lvcreate -q -y -an -Zn -Wn -L 40M -n data $V")
	f, n := volumetest.Open(t, images[0])
	fs, err := Open(f, n)
	if err != nil {
		t.Fatal(err)
	}
	const end = 30*mib + 512
	fs.Descend(func(r io.ReaderAt, size int64) (volume.FileSystem, error) { return half{end}, nil })
	extents, err := fs.Extents()
	if err != nil {
		t.Fatal(err)
	}
	start := fs.volumes[0].Segments[0].Physical
	want := volume.Merge(n, []volume.Extent{{Length: start + mib}},
		[]volume.Extent{{Offset: start + end, Length: 40*mib - end}},
		[]volume.Extent{{Offset: fs.end, Length: n - fs.end}})
	if !slices.Equal(extents, want) {
		t.Errorf("%v, want %v", extents, want)
	}
	// Something there, at its very end, makes all of it count.
	if _, err := f.WriteAt([]byte{1}, start+40*mib-1); err != nil {
		t.Fatal(err)
	}
	if extents, err = fs.Extents(); err != nil {
		t.Fatal(err)
	}
	want = volume.Merge(n, []volume.Extent{{Length: start + 40*mib}},
		[]volume.Extent{{Offset: fs.end, Length: n - fs.end}})
	if !slices.Equal(extents, want) {
		t.Errorf("with something behind: %v, want %v", extents, want)
	}
}

// half is a file system that uses its first MiB of what it claims.
type half struct{ claims int64 }

func (h half) Type() string                      { return "half" }
func (h half) Info() volume.Info                 { return volume.Info{Size: h.claims, Clean: true} }
func (h half) Extents() ([]volume.Extent, error) { return []volume.Extent{{Length: mib}}, nil }

func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	create := "lvcreate -q -y -an -Zn -Wn "
	images, _ := group(t, []int64{200 * mib}, create+"-L 32M -n one $V", create+"-L 16M -n two $V",
		"lvextend -q -L 48M $V/one")
	volumetest.Record(t, "testdata/two.seed", images[0], func(r io.ReaderAt, size int64) { _, _ = Open(r, size) })
}

// TestSnapshot is by metadata alone: without device-mapper lvm makes no snapshots and no thin pools.
func TestSnapshot(t *testing.T) {
	text := `vg { extent_size = 8192
	physical_volumes { pv0 { id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa" pe_start = 2048 pe_count = 20 } }
	logical_volumes {
		root { segment1 { start_extent = 0 extent_count = 5 type = "striped" stripe_count = 1 stripes = ["pv0", 0] } }
		snap { segment1 { start_extent = 0 extent_count = 2 type = "striped" stripe_count = 1 stripes = ["pv0", 5] } }
		snapshot0 { segment1 { start_extent = 0 extent_count = 5 type = "snapshot" chunk_size = 8 origin = "root"
			cow_store = "snap" } }
		plain { segment1 { start_extent = 0 extent_count = 3 type = "striped" stripe_count = 1 stripes = ["pv0", 10] } }
		pool { segment1 { start_extent = 0 extent_count = 4 type = "thin-pool" metadata = "pool_tmeta"
			pool = "pool_tdata" } }
		pool_tdata { segment1 { start_extent = 0 extent_count = 4 type = "striped" stripe_count = 1
			stripes = ["pv0", 14] } }
	} } # a comment
	creation_time = 1.5`
	root, err := parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	fs := &FS{size: 200 * mib}
	if err := fs.group(root, strings.Repeat("a", 32)); err != nil {
		t.Fatal(err)
	}
	for _, v := range fs.volumes {
		if v.Linear != (v.Name == "plain") {
			t.Errorf("%s is linear: %v (%s)", v.Name, v.Linear, v.Why)
		}
	}
}

// TestRun tells logical volumes of one piece, and those that may be written to.
func TestRun(t *testing.T) {
	segment := func(n, from, count, at int) string {
		return fmt.Sprintf(`segment%d { start_extent = %d extent_count = %d type = "striped" stripe_count = 1
			stripes = ["pv0", %d] } `, n, from, count, at)
	}
	const extents, start = 4 * mib, 2048 * sector
	for _, tt := range []struct {
		name, group, status, segments string
		at                            int64 // 0: not in one piece
		writable                      bool
	}{
		{"one", `"READ", "WRITE"`, `"READ", "WRITE", "VISIBLE"`, segment(1, 0, 5, 3), start + 3*extents, true},
		{"two that touch", `"WRITE"`, `"WRITE"`, segment(2, 5, 2, 8) + segment(1, 0, 5, 3), start + 3*extents, true},
		{"two apart", `"WRITE"`, `"WRITE"`, segment(1, 0, 5, 3) + segment(2, 5, 2, 9), 0, true},
		{"two the other way round", `"WRITE"`, `"WRITE"`, segment(1, 0, 5, 5) + segment(2, 5, 2, 3), 0, true},
		{"a gap", `"WRITE"`, `"WRITE"`, segment(1, 0, 5, 3) + segment(2, 6, 2, 9), 0, true},
		{"read-only", `"READ", "WRITE"`, `"READ", "VISIBLE"`, segment(1, 0, 5, 3), start + 3*extents, false},
		{"a group that is read-only", `"READ"`, `"READ", "WRITE"`, segment(1, 0, 5, 3), start + 3*extents, false},
		{"a group that is exported", `"WRITE", "EXPORTED"`, `"WRITE"`, segment(1, 0, 5, 3), start + 3*extents, false},
		{"nothing said", "", "", segment(1, 0, 5, 3), start + 3*extents, false},
	} {
		root, err := parse([]byte(fmt.Sprintf(`vg { extent_size = 8192 status = [%s]
			physical_volumes { pv0 { id = "%s" pe_start = 2048 pe_count = 20 } pv1 { id = "b" } }
			logical_volumes { lv { status = [%s] %s } } }`, tt.group, strings.Repeat("a", 32), tt.status, tt.segments)))
		if err != nil {
			t.Fatal(err)
		}
		fs := &FS{size: 200 * mib}
		if err := fs.group(root, strings.Repeat("a", 32)); err != nil {
			t.Fatal(err)
		}
		v := fs.Volumes()[0]
		if at, ok := v.Run(); at != tt.at || ok != (tt.at > 0) || v.Writable != tt.writable || fs.Members() != 2 {
			t.Errorf("%s: at %d (%v), writable %v, %d members; want %d, %v", tt.name, at, ok, v.Writable, fs.Members(),
				tt.at, tt.writable)
		}
	}
}

func TestSeeds(t *testing.T) {
	volumetest.Seeds(t, "testdata", func(t *testing.T, r io.ReaderAt, size int64) {
		fs, err := Open(r, size)
		if err != nil {
			t.Fatal(err)
		}
		if len(fs.Volumes()) != 2 || !fs.Volumes()[0].Linear {
			t.Errorf("%+v", fs.Volumes())
		}
	})
}

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// FuzzText goes behind the checksums.
func FuzzText(f *testing.F) {
	f.Add([]byte(`vg { extent_size = 8192
		physical_volumes { pv0 { id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa" pe_start = 2048 pe_count = 20 } }
		logical_volumes { a { segment1 { start_extent = 0 extent_count = 5 type = "striped" stripe_count = 1
			stripes = ["pv0", 0] } } } }`))
	f.Fuzz(func(t *testing.T, text []byte) {
		root, err := parse(text)
		if err != nil {
			return
		}
		const size = 200 * mib
		fs := &FS{size: size}
		if fs.group(root, strings.Repeat("a", 32)) != nil {
			return
		}
		fs.Descend(func(r io.ReaderAt, n int64) (volume.FileSystem, error) {
			return volume.Whole("raw", n, volume.Info{}), nil
		})
		extents, err := fs.Extents()
		if err != nil {
			t.Fatal(err)
		}
		volumetest.Check(t, extents, size)
	})
}
