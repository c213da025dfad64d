package fat

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestDirectories reads trees that mtools wrote into every kind of FAT, name by name and byte by byte.
func TestDirectories(t *testing.T) {
	for _, c := range []struct {
		name, args string
		size       int64
	}{
		{"fat12", "-F 12 -s 1 -f 1", 2 << 20},
		{"fat16", "-F 16 -s 1", 16 << 20},
		{"fat32", "-F 32 -s 1", 64 << 20},
		{"fat32-sectors-4k", "-F 32 -S 4096 -s 1", 300 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := mkfs(t, c.size, c.args)
			want := plant(t)
			volumetest.Run(t, "mcopy", "-i", image, "-s", "-Q", filepath.Join(want, "EFI"), "::/")
			volumetest.Run(t, "mdel", "-i", image, "::/EFI/debian/deleted.efi")
			if err := os.Remove(filepath.Join(want, "EFI/debian/deleted.efi")); err != nil {
				t.Fatal(err)
			}
			f := open(t, image)
			if got := compare(t, f, want, "EFI"); got < 150 {
				t.Errorf("%d files and directories were compared, want at least 150", got)
			}
		})
	}
}

// plant makes a tree with names of every kind.
func plant(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	random := rand.NewChaCha8([32]byte{1})
	put := func(name string, size int) {
		b := make([]byte, size)
		_, _ = random.Read(b) // never fails
		file := filepath.Join(dir, "EFI", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("BOOT/BOOTX64.EFI", 300_000)
	put("debian/shimx64.efi", 70_001)
	put("debian/deleted.efi", 5000)
	put("debian/BOOTX64.CSV", 0)
	put("Microsoft/Boot/bootmgfw.efi", 512)
	put("Linux/a long name of a kernel 6.1.0-56+3-2.efi", 4096)
	put("Linux/"+strings.Repeat("n", 240)+".efi", 1)
	put("Linux/ÄÖ名.efi", 10)
	for i := range 150 {
		put(path.Join("many", strings.Repeat("x", i%60)+string(rune('a'+i/60))+".bin"), i)
	}
	return dir
}

func open(t *testing.T, image string) *FS {
	t.Helper()
	file, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(file, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// compare holds the directory of the file system against one of the host, and counts what it looked at.
func compare(t *testing.T, f *FS, dir, name string) int {
	t.Helper()
	entries, err := f.List(name)
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.ReadDir(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(host) {
		t.Errorf("%s has %d entries, want %d: %v", name, len(entries), len(host), entries)
	}
	n := len(entries)
	for _, e := range entries {
		at := path.Join(name, e.Name)
		st, err := os.Stat(filepath.Join(dir, at))
		if err != nil {
			t.Errorf("%s is not in what was copied: %v", at, err)
			continue
		}
		if e.Dir {
			n += compare(t, f, dir, at)
			continue
		}
		want, err := os.ReadFile(filepath.Join(dir, at))
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.ReadFile(strings.ToUpper(at), st.Size())
		if err != nil || !bytes.Equal(got, want) || e.Size != st.Size() {
			t.Errorf("%s: %d bytes (%v), want the %d that were written", at, len(got), err, len(want))
		}
	}
	return n
}

func TestLookupRefuses(t *testing.T) {
	image := mkfs(t, 4*mib, "-F 12")
	volumetest.Run(t, "mmd", "-i", image, "::/EFI")
	volumetest.Run(t, "mcopy", "-i", image, "-Q", "dir_test.go", "::/EFI/FILE")
	f := open(t, image)
	for _, name := range []string{"none", "EFI/none", "EFI/FILE/below", "EFI/none/below"} {
		if _, err := f.ReadFile(name, 1<<20); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile(%s) = %v, want fs.ErrNotExist", name, err)
		}
	}
	if _, err := f.ReadFile("EFI", 1<<20); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory is read as a file: %v", err)
	}
	if _, err := f.List("EFI/FILE"); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file is listed: %v", err)
	}
	if _, err := f.ReadFile("EFI/FILE", 10); err == nil || !strings.Contains(err.Error(), "more than the 10 bytes") {
		t.Errorf("a file above the limit: %v", err)
	}
	if b, whole, err := f.Head("EFI/FILE", 11); err != nil || whole || string(b) != "package fat" {
		t.Errorf("Head = %q, %v, %v", b, whole, err)
	}
}

// FuzzList walks whatever the bytes claim to hold; the file system must end the walk, not the fuzzer.
func FuzzList(f *testing.F) {
	f.Add(tiny(), []byte("EFI/BOOT"))
	f.Add(tiny(), []byte("EFI/BOOT/BOOTX64.EFI"))
	f.Fuzz(func(t *testing.T, disk, name []byte) {
		if len(disk) > 1<<20 {
			t.Skip("larger than the seeds need")
		}
		fs, err := Open(bytes.NewReader(disk), int64(len(disk)))
		if err != nil {
			return
		}
		if entries, err := fs.List(string(name)); err == nil {
			for _, e := range entries {
				if e.Size < 0 || e.Name == "." || e.Name == ".." {
					t.Errorf("entry %+v", e)
				}
			}
		}
		if b, whole, err := fs.Head(string(name), 4096); err == nil && (len(b) > 4096 || !whole && len(b) != 4096) {
			t.Errorf("%d bytes, whole %v", len(b), whole)
		}
	})
}

// tiny is a FAT12 of 16 sectors, written by hand after the specification: EFI in the root directory, BOOT in it, and a
// file there.
func tiny() []byte {
	b := make([]byte, 16*512)
	// one table of a sector, 16 root entries
	copy(b, "\xeb\x3c\x90mkfs.fat\x00\x02\x01\x01\x00\x01\x10\x00\x10\x00\xf8\x01\x00")
	b[510], b[511] = 0x55, 0xaa
	copy(b[512:], []byte{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}) // clusters 2, 3, 4: each the end of its chain
	entry := func(at int, name string, attr, cluster byte, size int) {
		copy(b[at:], name)
		b[at+11], b[at+26], b[at+28] = attr, cluster, byte(size)
	}
	entry(1024, "EFI        ", attrDir, 2, 0)
	entry(1536, ".          ", attrDir, 2, 0)
	entry(1536+32, "BOOT       ", attrDir, 3, 0)
	entry(2048, "BOOTX64 EFI", 0x20, 4, 5)
	copy(b[2560:], "hello")
	return b
}

func TestTiny(t *testing.T) {
	b := tiny()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.ReadFile("efi/boot/bootx64.efi", 100); err != nil || string(got) != "hello" {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
	// The file's chain leads back to itself, and the file claims more than there is.
	copy(b[512+6:], []byte{0x04, 0x00})
	copy(b[2048+28:], []byte{0xff, 0xff, 0xff, 0x7f})
	if got, err := f.ReadFile("EFI/BOOT/BOOTX64.EFI", 1<<30); err == nil {
		t.Errorf("a file of 2 GiB on a disk of 8 KiB was read: %d bytes", len(got))
	}
	// So does the directory's.
	copy(b[512:], []byte{0xf8, 0xff, 0xff, 0x02, 0xf0, 0xff})
	if entries, err := f.List("EFI"); err != nil || len(entries) != 1 {
		t.Errorf("List = %v, %v, want BOOT: an entry of zero ends the directory", entries, err)
	}
	if _, err := f.List(strings.Repeat("EFI/", 40)); err == nil {
		t.Error("a path of 40 directories was followed")
	}
}

var _ volume.FileSystem = (*FS)(nil)
