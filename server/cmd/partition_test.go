package cmd

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

const mebi = 1 << 20

// parted is a disk of 64 MiB with three partitions, an ext4 in each.
func parted(t *testing.T, dir, name, sizes string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, bytes.Repeat([]byte{0}, 64*mebi), 0o600); err != nil {
		t.Fatal(err)
	}
	var args []string
	for i, size := range strings.Fields(sizes) {
		args = append(args, "-n", fmt.Sprintf("%d:0:+%s", i+1, size), "-c", fmt.Sprintf("%d:part%d", i+1, i+1))
	}
	volumetest.Run(t, "sgdisk", append(args, path)...)
	start := int64(mebi)
	for i, size := range strings.Fields(sizes) {
		var n int64
		fmt.Sscanf(size, "%dM", &n)
		volumetest.Run(t, "mkfs.ext4", "-q", "-F", "-L", fmt.Sprint(name, i+1), "-d", "testdata",
			"-E", fmt.Sprintf("offset=%d", start), path, fmt.Sprintf("%dM", n))
		start += n * mebi
	}
	return path
}

// piece is a partition's bytes, as a file of its own.
func piece(t *testing.T, disk string, start, size int64) string {
	t.Helper()
	b, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(path, b[start:start+size], 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPartitionCommands captures one partition and cuts the same out of an image of the disk; each goes into a
// partition of another disk, of which no other byte changes, and e2fsck judges what came.
func TestPartitionCommands(t *testing.T) {
	need.Tools(t, "sgdisk", "mkfs.ext4", "e2fsck")
	dir := t.TempDir()
	source, target := parted(t, dir, "source", "8M 16M 8M"), parted(t, dir, "target", "16M 20M 16M")
	run := func(out io.Writer, args ...string) error {
		return Run(t.Context(), append([]string{"image", "--state", dir}, args...), strings.NewReader(""), out,
			io.Discard)
	}
	must := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := run(&out, args...); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		return out.String()
	}
	must("capture", "--partition", "name=part2", source, "alone")
	must("capture", source, "disk", "--grid", "1M")
	must("cut", "disk:2", "cutout")
	if out := must("show", "cutout"); !strings.Contains(out, "partition 2 (16777216 bytes from 9437184) of a disk") {
		t.Errorf("show says nothing of the disk:\n%s", out)
	}
	// On the grid nothing is stored twice, but for the partition's last cell.
	var cut doc.ImageCut
	if err := json.Unmarshal([]byte(must("cut", "disk:2", "again", "--json")), &cut); err != nil || cut.Added != 0 {
		t.Errorf("%+v, %v", cut, err)
	}
	for i, image := range []string{"alone", "cutout"} {
		before, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		must("restore", image, target, "--partition", "2", "--grow=false", "--verify", "--yes")
		after, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		const start, size = 17 * mebi, 20 * mebi
		if !bytes.Equal(before[:start], after[:start]) || !bytes.Equal(before[start+size:], after[start+size:]) {
			t.Errorf("%s: bytes beside the partition were written", image)
		}
		if i == 0 && bytes.Equal(before, after) {
			t.Error("nothing was restored")
		}
		volumetest.Run(t, "e2fsck", "-fn", piece(t, target, start, size))
		volumetest.Run(t, "sgdisk", "-v", target)
	}
	digest := func() [32]byte {
		b, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b)
	}
	before := digest()
	for want, args := range map[string][]string{
		"image cut":        {"restore", "disk", target, "--partition", "2", "--yes"},
		"one partition":    {"restore", "alone", target, "--yes"},
		"no partition 7":   {"restore", "alone", target, "--partition", "7", "--yes"},
		"neither a number": {"restore", "alone", target, "--partition", "seven", "--yes"},
	} {
		if err := run(io.Discard, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	if err := run(io.Discard, "capture", "--partition", "2", "--gaps", "drop", source, "x"); err == nil ||
		!strings.Contains(err.Error(), "--gaps drop") {
		t.Errorf("gaps of a partition: %v", err)
	}
	// An image that is larger than the partition.
	if err := run(io.Discard, "restore", "alone", source, "--partition", "1", "--yes"); err == nil ||
		!strings.Contains(err.Error(), "too small") {
		t.Errorf("into less than its file system: %v", err)
	}
	if digest() != before {
		t.Error("what was refused was written")
	}
}

func TestSetPartition(t *testing.T) {
	for flag, want := range map[string]string{
		"2=debian": `{"v":1,"number":2}`, "name=root=a/b:3": `{"v":1,"name":"root"}`,
		"uuid=AB=x": `{"v":1,"uuid":"ab"}`,
	} {
		spec := doc.Spec{}
		if err := setPartition(&spec, flag); err != nil || string(spec.Job) != want ||
			spec.Kind != session.RestorePartition || !slices.Contains([]string{"debian", "a/b:3", "x"}, spec.Image) {
			t.Errorf("%s: %+v, %v", flag, spec, err)
		}
	}
	for _, flag := range []string{"2", "=x", "name=root", "root=x", "0=x"} {
		if err := setPartition(&doc.Spec{}, flag); err == nil {
			t.Errorf("%s is taken", flag)
		}
	}
	spec := doc.Spec{Capture: "root"}
	if err := setPartition(&spec, "name=root"); err != nil || spec.Kind != session.CapturePartition {
		t.Errorf("%+v, %v", spec, err)
	}
	for ref, want := range map[string]int{"a:3": 3, "a": 0, "a:b": 0, "a:-1": 0, "reg:5000/x:2": 2} {
		if _, n := cutRef(ref); n != want {
			t.Errorf("%s: %d", ref, n)
		}
	}
}

// TestPartitionOfDevice restores to a block device, with its direct writes: refused while another partition is mounted,
// and right afterwards, with the file system grown to the partition and nothing written beside it.
func TestPartitionOfDevice(t *testing.T) {
	need.Root(t)
	need.Tools(t, "sgdisk", "mkfs.ext4", "e2fsck", "losetup", "partx", "mount", "umount", "dumpe2fs")
	dir := t.TempDir()
	source, target := parted(t, dir, "source", "8M 16M 8M"), parted(t, dir, "target", "16M 20M 16M")
	var said bytes.Buffer
	run := func(args ...string) error {
		return Run(t.Context(), append([]string{"image", "--state", dir}, args...), strings.NewReader(""), &said, &said)
	}
	if err := run("capture", "--partition", "2", source, "alone"); err != nil {
		t.Fatal(err)
	}
	dev, detach := volumetest.Loop(t, target, 512, "--partscan")
	mnt := t.TempDir()
	volumetest.Run(t, "mount", "-o", "ro", partNode(t, dev, 3), mnt)
	t.Cleanup(func() { _ = exec.Command("umount", mnt).Run() }) // when the test has failed
	wantRefused(t, target, func() error { return run("restore", "alone", dev, "--partition", "2", "--yes") }, "in use",
		mnt)
	volumetest.Run(t, "umount", mnt)
	before, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	if err := run("restore", "alone", dev, "--partition", "2", "--verify", "--grow=false", "--yes"); err != nil {
		t.Fatal(err)
	}
	detach()
	const start, size = 17 * mebi, 20 * mebi
	check := func() {
		t.Helper()
		after, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before[:start], after[:start]) || !bytes.Equal(before[start+size:], after[start+size:]) {
			t.Error("bytes beside the partition were written")
		}
		volumetest.Run(t, "e2fsck", "-fn", piece(t, target, start, size))
	}
	check()
	if err := run("restore", "alone", target, "--partition", "name=part2", "--yes"); err != nil {
		t.Fatal(err)
	}
	check()
	if !volumetest.MayResize(t) {
		if !strings.Contains(said.String(), "does not use the rest") {
			t.Errorf("it is not said that the file system was not grown:\n%s", &said)
		}
		return
	}
	if out := volumetest.Run(t, "dumpe2fs", "-h", piece(t, target, start, size)); !strings.Contains(out,
		fmt.Sprintf("%d\n", size/1024)) {
		t.Errorf("the file system was not grown to the partition:\n%s\n%s", &said, out)
	}
}

// partNode makes a device node of a partition: nobody may run here who makes them.
func partNode(t *testing.T, dev string, number int) string {
	t.Helper()
	name := fmt.Sprintf("%sp%d", filepath.Base(dev), number)
	file := filepath.Join("/sys/block", filepath.Base(dev), name, "dev")
	raw, err := os.ReadFile(file)
	if err != nil { // a kernel that reads no tables of loop devices is told
		volumetest.Run(t, "partx", "--add", dev)
		raw, err = os.ReadFile(file)
	}
	if err != nil {
		need.Skip(t, "the kernel makes no partitions of a loop device: %v", err)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(string(raw), "%d:%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPartitionImage finds the image that a session puts into a partition: one of a partition as it is, and of an image
// of a disk the partition that is meant, cut out once.
func TestPartitionImage(t *testing.T) {
	need.Tools(t, "sgdisk", "mkfs.ext4")
	dir := t.TempDir()
	for name, sizes := range map[string]string{"three": "8M 8M 8M", "one": "16M"} {
		disk := parted(t, dir, name, sizes)
		for _, args := range [][]string{{disk, name}, {"--partition", "1", disk, name + "-first"}} {
			if err := Run(t.Context(), append([]string{"image", "--state", dir, "capture"}, args...),
				strings.NewReader(""), io.Discard, io.Discard); err != nil {
				t.Fatal(err)
			}
		}
	}
	st, err := image.OpenStore(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	l := library.NewLocal(st)
	if err := st.Tag("three", "name:2"); err != nil {
		t.Fatal(err)
	}
	if err := st.Tag("three-first", "odd:7"); err != nil {
		t.Fatal(err)
	}
	e := &env{state: dir, UI: ui.UI{Out: io.Discard, Err: io.Discard}}
	digest := func(ref string) string {
		d, err := st.Resolve(ref)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(d, "sha256:")[:12]
	}
	for ref, want := range map[string]string{
		"three-first": "three-first",
		"odd:7":       "odd:7", // a name is a name first
		"three:2":     "three-p2-" + digest("three"),
		"name:2:3":    "name:2-p3-" + digest("three"),
		"one":         "one-p1-" + digest("one"),
	} {
		for range 2 { // the second time it is there
			got, err := e.partitionImage(t.Context(), l, ref, true)
			if err != nil || got != want {
				t.Fatalf("%s: %q, %v, want %q", ref, got, err, want)
			}
		}
		im, err := st.Open(want)
		if err != nil {
			t.Fatal(err)
		}
		if o := im.Config().Origin; o == nil || im.Config().DiskSize%mebi != 0 {
			t.Errorf("%s is an image of %+v", want, o)
		}
		im.Close()
	}
	for ref, want := range map[string]string{"three": "which one is meant", "three:9": "no partition 9",
		"three-first:1": "no partition table", "nobody": "not in the store", "nobody:1": "not in the store"} {
		if got, err := e.partitionImage(t.Context(), l, ref, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %q", ref, got, err, want)
		}
	}
	// A plan takes what was cut out before, and cuts nothing.
	if got, err := e.partitionImage(t.Context(), l, "three:2", false); err != nil ||
		got != "three-p2-"+digest("three") {
		t.Errorf("of a plan: %q, %v", got, err)
	}
	if got, err := e.partitionImage(t.Context(), l, "three:1", false); err == nil ||
		!strings.Contains(err.Error(), "diskcast image cut three:1 NAME") {
		t.Errorf("of a plan: %q, %v", got, err)
	}
	// A name that somebody gave to something else is not believed.
	if err := st.Tag("one-first", "three-p1-"+digest("three")); err != nil {
		t.Fatal(err)
	}
	if got, err := e.partitionImage(t.Context(), l, "three:1", true); err == nil ||
		!strings.Contains(err.Error(), "that of another image") {
		t.Errorf("a name that means another image: %q, %v", got, err)
	}
}
