package volumetest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A TreeOption leaves out of a tree what a file system does not know.
type TreeOption int

// What Tree leaves out.
const (
	NoLinks  TreeOption = iota // no symbolic and hard links
	NoSparse                   // no holes
)

// Tree fills dir with about size bytes of files: many tiny ones, empty ones, one of a third of the size, sparse ones,
// deep directories, long names, and one directory of many entries. The same seed makes the same tree.
func Tree(t testing.TB, dir string, seed uint64, size int64, options ...TreeOption) {
	t.Helper()
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	src := rand.NewChaCha8(key)
	rng := rand.New(src)
	write := func(name string, n int64) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		data := make([]byte, n)
		src.Read(data)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("huge.bin", size/3)
	left := size / 3
	for i := 0; left > 0 && i < 400; i++ {
		n := int64(rng.IntN(3000))
		if rng.IntN(8) == 0 {
			n = int64(rng.IntN(300_000))
		}
		write(fmt.Sprintf("d%d/e%d/file-%d", rng.IntN(5), rng.IntN(7), i), min(n, left))
		left -= n
	}
	for i := range 300 {
		write(fmt.Sprintf("many/a file with a rather long name, number %d.text", i), int64(i%7))
	}
	write(strings.Repeat("deep/", 20)+"bottom", 100)
	write("empty", 0)
	if !slices.Contains(options, NoSparse) {
		write("sparse", 100)
		if err := os.Truncate(filepath.Join(dir, "sparse"), 50<<20); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(options, NoLinks) {
		for name, err := range map[string]error{
			"hard":     os.Link(filepath.Join(dir, "empty"), filepath.Join(dir, "hard")),
			"fast":     os.Symlink("huge.bin", filepath.Join(dir, "fast-link")),
			"slow":     os.Symlink(strings.Repeat("x", 200), filepath.Join(dir, "slow-link")),
			"nowhere":  os.Symlink("/nowhere", filepath.Join(dir, "d0/dangling")),
			"hardlink": os.Link(filepath.Join(dir, "huge.bin"), filepath.Join(dir, "huge-hard")),
		} {
			if err != nil {
				t.Fatal(name, err)
			}
		}
	}
}

// Sums returns for every file below dir its size and checksum, for every link its target, for every directory a mark.
func Sums(t testing.TB, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			sums[name] = "directory"
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			sums[name] = "-> " + to
			return err
		default:
			data, err := os.ReadFile(path)
			sums[name] = fmt.Sprintf("%d %x", len(data), sha256.Sum256(data))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(sums, ".")
	delete(sums, "lost+found")
	return sums
}

// SameTree fails the test when two results of Sums differ, naming some of the files.
func SameTree(t testing.TB, want, got map[string]string) {
	t.Helper()
	bad := 0
	names := maps.Clone(want)
	maps.Copy(names, got)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if want[name] != got[name] {
			if bad++; bad <= 5 {
				t.Errorf("%s: want %q, got %q", name, want[name], got[name])
			}
		}
	}
	if bad > 5 {
		t.Errorf("... %d files differ in all", bad)
	}
}
