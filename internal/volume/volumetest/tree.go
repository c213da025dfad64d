package volumetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Fill writes a varied tree into dir: tiny, large, sparse, fragmented and deleted files, hard and symbolic links, many
// names. Features that the file system lacks are left out silently; megabytes bounds what is written.
func Fill(t testing.TB, dir string, megabytes int) {
	t.Helper()
	if err := fill(dir, megabytes); err != nil {
		t.Fatal(err)
	}
}

// Sync writes out the file system that dir is on, and no other.
func Sync(t testing.TB, dir string) {
	t.Helper()
	if err := syncFS(dir); err != nil {
		t.Fatal(err)
	}
}

// List is a full listing of dir with modes, sizes and checksums, one line a name.
func List(t testing.TB, dir string) string {
	t.Helper()
	out, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// filler remembers the first error, so that fill reads as the list of what it makes.
type filler struct {
	dir string
	rng *rand.Rand
	err error
}

func (f *filler) bytes(n int) []byte {
	p := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		v := f.rng.Uint64()
		for j := range 8 {
			p[i+j] = byte(v >> (8 * j))
		}
	}
	return p
}

func (f *filler) put(name string, p []byte) {
	if f.err != nil {
		return
	}
	path := filepath.Join(f.dir, name)
	if f.err = os.MkdirAll(filepath.Dir(path), 0o755); f.err == nil {
		f.err = os.WriteFile(path, p, 0o644)
	}
}

func (f *filler) remove(name string) {
	if f.err == nil {
		f.err = os.Remove(filepath.Join(f.dir, name))
	}
}

func fill(dir string, megabytes int) error {
	f := &filler{dir: dir, rng: rand.New(rand.NewPCG(7, uint64(megabytes)))}
	for i := range 150 {
		f.put(fmt.Sprintf("many/dir%d/file with a longer name %04d", i%7, i), f.bytes(f.rng.IntN(3000)))
	}
	f.put("empty", nil)
	f.put("tiny", []byte("x"))
	f.put("large", f.bytes(megabytes<<20/2))
	for i := range 40 { // every second one goes, so that what follows is written into holes
		f.put(fmt.Sprintf("hole%d", i), f.bytes(megabytes<<20/160))
	}
	for i := 0; i < 40; i += 2 {
		f.remove(fmt.Sprintf("hole%d", i))
	}
	if f.err == nil {
		f.err = removed(dir)
	}
	if f.err == nil {
		f.err = syncFS(dir)
	}
	f.put("fragmented", f.bytes(megabytes<<20/10))
	if f.err != nil {
		return f.err
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		return err
	}
	for i := range int64(5) {
		if _, err := sparse.WriteAt([]byte("island"), i*3<<20/2); err != nil {
			return err
		}
	}
	if err := sparse.Close(); err != nil {
		return err
	}
	_ = os.Link(filepath.Join(dir, "tiny"), filepath.Join(dir, "tiny-hard"))
	_ = os.Symlink("tiny", filepath.Join(dir, "tiny-soft"))
	_ = os.Symlink(strings.Repeat("a/long/target/", 60), filepath.Join(dir, "long-soft"))
	// too long for most inodes, short enough for a block of 1 KiB
	_ = unix.Setxattr(filepath.Join(dir, "large"), "user.colour", f.bytes(700), 0)
	_ = os.Chmod(filepath.Join(dir, "tiny"), 0o4711)
	return nil
}

// removed waits until what was removed is gone. A FUSE program hears of the last close of a file later than its closer
// goes on; what is removed in between is given a hidden name until then.
func removed(dir string) error {
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		hidden, err := filepath.Glob(filepath.Join(dir, ".fuse_hidden*"))
		if err != nil || len(hidden) == 0 {
			return err
		}
		select {
		case <-deadline:
			return fmt.Errorf("%s is still there 30 s after it was removed", hidden[0])
		case <-tick.C:
		}
	}
}

func syncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", dir, err)
	}
	return nil
}

func list(dir string) (string, error) {
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s %v", rel, info.Mode())
		switch {
		case info.Mode().IsRegular():
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			h := sha256.New()
			_, err = io.Copy(h, f)
			f.Close()
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			fmt.Fprintf(&out, " %d %s", info.Size(), hex.EncodeToString(h.Sum(nil)[:8]))
			var value [4096]byte
			if n, err := unix.Getxattr(path, "user.colour", value[:]); err == nil {
				sum := sha256.Sum256(value[:n])
				fmt.Fprintf(&out, " xattr %d %x", n, sum[:8])
			}
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " -> %s", target)
		}
		fmt.Fprintln(&out)
		return nil
	})
	return out.String(), err
}
