package capture_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// made is a file of a size that a command with its name as last argument has worked on.
func made(t *testing.T, size int64, command ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(need.Tool(t, command[0]), append(command[1:], path)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dosDisk is a disk with one partition, whose place the table has in sectors of the given size.
func dosDisk(t *testing.T, size int64, sector int, start int64, part []byte, partSize int64) []byte {
	t.Helper()
	m := &bytesDisk{make([]byte, size)}
	mbr := make([]byte, 512)
	mbr[510], mbr[511] = 0x55, 0xaa
	tab := &volume.Table{Kind: table.KindDOS, SectorSize: sector, DiskSize: size, DiskID: "0x01020304", MBR: mbr,
		Partitions: []volume.Partition{{Number: 1, Start: start, Size: partSize, Type: "0x83"}}}
	if err := table.Write(m, tab, size, sector); err != nil {
		t.Fatal(err)
	}
	copy(m.b[start:], part)
	return m.b
}

type bytesDisk struct{ b []byte }

func (d *bytesDisk) ReadAt(p []byte, off int64) (int, error)  { return copy(p, d.b[off:]), nil }
func (d *bytesDisk) WriteAt(p []byte, off int64) (int, error) { return copy(d.b[off:], p), nil }

// A dos table does not say in which sectors it counts. In a file, what lies there tells.
func TestGuessedSector(t *testing.T) {
	need.Tools(t, "mke2fs")
	const size, start, part = 32 << 20, 1 << 20, 16 << 20
	fs := made(t, part, "mke2fs", "-q", "-F", "-b", "4096")
	disk := dosDisk(t, size, 4096, start, fs, part)
	d, err := capture.Survey(bytes.NewReader(disk), size, 512, capture.GuessedSector())
	if err != nil {
		t.Fatal(err)
	}
	if d.Config.SectorSize != 4096 || len(d.Config.Partitions) != 1 || d.Config.Partitions[0].FS != "ext2" {
		t.Errorf("sectors of %d, partitions %+v", d.Config.SectorSize, d.Config.Partitions)
	}
	if !strings.Contains(strings.Join(d.Config.Table.Notes, " "), "sectors of 4096") {
		t.Errorf("not said: %q", d.Config.Table.Notes)
	}
	// A size that was given is not guessed, and where both tell nothing it stays as it was.
	if d, err := capture.Survey(bytes.NewReader(disk), size, 512); err != nil || d.Config.SectorSize != 512 {
		t.Errorf("told 512: %d, %v", d.Config.SectorSize, err)
	}
	clear(disk[start : start+part])
	if d, err := capture.Survey(bytes.NewReader(disk), size, 512, capture.GuessedSector()); err != nil ||
		d.Config.SectorSize != 512 {
		t.Errorf("an empty partition: %d, %v", d.Config.SectorSize, err)
	}
}

// What lies behind a file system in its partition is nobody's, and in the image.
func TestBehindFileSystem(t *testing.T) {
	need.Tools(t, "mke2fs")
	const size, start, part, fsSize = 32 << 20, 1 << 20, 16 << 20, 8 << 20
	fs := made(t, fsSize, "mke2fs", "-q", "-F", "-b", "4096")
	disk := dosDisk(t, size, 512, start, fs, part)
	d, err := capture.Survey(bytes.NewReader(disk), size, 512)
	if err != nil {
		t.Fatal(err)
	}
	behind := []volume.Extent{{Offset: start + fsSize, Length: part - fsSize}}
	if left := volume.Subtract(behind, volume.Merge(size, d.Extents)); len(left) != 0 {
		t.Errorf("not in the image: %v", left)
	}
	free := volume.Subtract([]volume.Extent{{Offset: start, Length: fsSize}}, volume.Merge(size, d.Extents))
	if volume.Bytes(free) < fsSize/2 {
		t.Errorf("of an empty file system of %d bytes only %d are left out", fsSize, volume.Bytes(free))
	}
	if !strings.Contains(strings.Join(d.Config.Partitions[0].Notes, " "), "ends 8388608 bytes before") {
		t.Errorf("not said: %q", d.Config.Partitions[0].Notes)
	}
}

// What --gaps drop says is left out is what is lost: bytes that are not zero.
func TestDropGapsCounts(t *testing.T) {
	const size, start, part = 96 << 20, 1 << 20, 16 << 20
	disk := dosDisk(t, size, 512, start, nil, part)
	notes := func() string {
		t.Helper()
		s, err := capture.Survey(bytes.NewReader(disk), size, 512, capture.DropGaps())
		if err != nil {
			t.Fatal(err)
		}
		if left := volume.Subtract([]volume.Extent{{Offset: start + part, Length: size - start - part}},
			volume.Merge(size, s.Extents)); volume.Bytes(left) != size-start-part {
			t.Errorf("of the gap %d bytes are not in the image", volume.Bytes(left))
		}
		return strings.Join(s.Config.Table.Notes, " ")
	}
	if n := notes(); !strings.Contains(n, "nothing but zeros, as was asked for (--gaps drop)") {
		t.Errorf("said: %s", n)
	}
	for i := range 700 {
		disk[start+part+3000*i] = 7
	}
	if n := notes(); !strings.Contains(n, "700 bytes that lie in no partition and are not zero are not in the image") {
		t.Errorf("said: %s", n)
	}
}

// sparseDisk counts what is read of its holes.
type sparseDisk struct {
	*bytes.Reader
	data []volume.Extent
	hole int64
}

func (d *sparseDisk) Allocated() []volume.Extent { return d.data }

func (d *sparseDisk) ReadAt(p []byte, off int64) (int, error) {
	d.hole += volume.Bytes(volume.Subtract([]volume.Extent{{Offset: off, Length: int64(len(p))}}, d.data))
	return d.Reader.ReadAt(p, off)
}

// What lies behind a file system is looked at to its end, and holes there are not read.
func TestHolesBehindFileSystem(t *testing.T) {
	need.Tools(t, "mke2fs")
	const size, start, part, fsSize = 64 << 20, 1 << 20, 60 << 20, 8 << 20
	disk := dosDisk(t, size, 512, start, made(t, fsSize, "mke2fs", "-q", "-F", "-b", "4096"), part)
	d := &sparseDisk{Reader: bytes.NewReader(disk),
		data: []volume.Extent{{Length: start + fsSize},
			{Offset: start + part - 4096, Length: size - start - part + 4096}}}
	for _, last := range []byte{0, 1} {
		disk[start+part-1] = last
		d.hole = 0
		s, err := capture.Survey(d, size, 512)
		if err != nil {
			t.Fatal(err)
		}
		if whole := volume.Bytes(volume.Subtract([]volume.Extent{{Offset: start, Length: part}},
			volume.Merge(size, s.Extents))) == 0; whole != (last != 0) {
			t.Errorf("the last byte is %d: whole %v", last, whole)
		}
		if d.hole > 1<<20 { // the places of signatures
			t.Errorf("%d bytes of holes were read", d.hole)
		}
	}
}

// A dm-verity tree behind a file system covers its free blocks: they must come back as they were, or the system does
// not start. It may lie anywhere behind.
func TestVerityTree(t *testing.T) {
	for _, offset := range []string{"8388608", "14680064"} {
		t.Run(offset, func(t *testing.T) { verityTree(t, offset) })
	}
}

func verityTree(t *testing.T, offset string) {
	need.Tools(t, "mke2fs", "veritysetup")
	const size, start, part, fsSize = 32 << 20, 1 << 20, 16 << 20, 8 << 20
	dir := t.TempDir()
	fs := filepath.Join(dir, "fs")
	if err := os.WriteFile(fs,
		append(made(t, fsSize, "mke2fs", "-q", "-F", "-b", "4096"), make([]byte, part-fsSize)...), 0o600); err != nil {
		t.Fatal(err)
	}
	verity := func(verb, path string, more ...string) (string, error) {
		args := []string{verb, "--no-superblock", "--salt=00", "--data-blocks=2048", "--hash-offset=" + offset, path,
			path}
		out, err := exec.Command(need.Tool(t, "veritysetup"), append(args, more...)...).CombinedOutput()
		return string(out), err
	}
	out, err := verity("format", fs)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, root, _ := strings.Cut(out, "Root hash:")
	root, _, _ = strings.Cut(strings.TrimSpace(root), "\n")
	b, err := os.ReadFile(fs)
	if err != nil {
		t.Fatal(err)
	}
	disk := dosDisk(t, size, 512, start, b, part)
	d, err := capture.Survey(bytes.NewReader(disk), size, 512)
	if err != nil {
		t.Fatal(err)
	}
	// What a restore onto random bytes would leave there.
	restored := make([]byte, size)
	imagetest.Random(restored, 5)
	for _, e := range d.Extents {
		copy(restored[e.Offset:e.End()], disk[e.Offset:e.End()])
	}
	if err := os.WriteFile(fs, restored[start:start+part], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := verity("verify", fs, root); err != nil {
		t.Errorf("after a restore: %v\n%s", err, out)
	}
	if !strings.Contains(strings.Join(d.Config.Partitions[0].Notes, " "), "captured whole") {
		t.Errorf("not said: %q", d.Config.Partitions[0].Notes)
	}
}

// A table in doubt is no table, and what once lay below it is not believed.
func TestRefusedTableBelievesNothing(t *testing.T) {
	need.Tools(t, "mke2fs")
	const size = 16 << 20
	disk := made(t, size, "mke2fs", "-q", "-F", "-b", "4096") // all of the disk, once
	whole := func() bool {
		t.Helper()
		d, err := capture.Survey(bytes.NewReader(disk), size, 512)
		if err != nil {
			t.Fatal(err)
		}
		return volume.Bytes(d.Extents) == size
	}
	if whole() {
		t.Fatal("an empty file system is captured whole")
	}
	// Two partitions that overlap by one sector, as an old fdisk wrote them.
	e := disk[446:510]
	clear(e)
	e[4], e[20] = 0x83, 0x83
	e[9], e[13] = 0x08, 0x20  // 2048, 8192 sectors
	e[24], e[25] = 0xff, 0x27 // 10239
	e[29] = 0x10              // 4096
	disk[510], disk[511] = 0x55, 0xaa
	if !whole() {
		t.Error("the file system below a table that was refused is believed")
	}
}
