package capture_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/need"
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
	if d, err := capture.Survey(bytes.NewReader(disk), size, 512, capture.GuessedSector()); err != nil || d.Config.SectorSize != 512 {
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
