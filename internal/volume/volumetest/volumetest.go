// Package volumetest is what the tests of the file system readers share: tools that may be missing, sparse disks, loop
// devices, a varied tree of files, and the restore that proves an allocation map.
package volumetest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/volume"
)

// Need skips the test unless it runs as root (when root is true) and all the tools are there. In CI a missing tool is a
// failure: a test that is skipped there proves nothing.
func Need(t testing.TB, root bool, tools ...string) {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s, which CI must have", what)
		}
		t.Skip(what)
	}
	for _, name := range tools {
		if _, err := exec.LookPath(name); err != nil {
			missing(name + " is not installed")
		}
	}
	if root && os.Getuid() != 0 {
		missing("not root")
	}
}

// Run runs a tool and returns what it printed on standard output; a failure of the tool ends the test.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	return RunIn(t, "", name, args...)
}

// RunIn is Run with stdin given to the tool.
func RunIn(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "LC_ALL=C", "MTOOLS_SKIP_CHECK=1")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, tail(out.String()), tail(errs.String()))
	}
	return out.String()
}

func tail(s string) string {
	if len(s) > 4000 {
		return "..." + s[len(s)-4000:]
	}
	return s
}

// Dir makes a directory that is gone after the test: in memory when there is plenty, because that takes a third of the time.
func Dir(t testing.TB) string {
	t.Helper()
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) != nil || int64(st.Bavail)*st.Bsize < 4<<30 {
		return t.TempDir()
	}
	d, err := os.MkdirTemp("/dev/shm", "dc-volume-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

// Sparse makes a file of size zero bytes that is gone after the test.
func Sparse(t testing.TB, name string, size int64) string {
	t.Helper()
	path := filepath.Join(Dir(t), name)
	f, err := os.Create(path)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Random makes a file of size bytes none of which is likely to be right by chance.
func Random(t testing.TB, name string, size int64) string {
	t.Helper()
	path := Sparse(t, name, 0)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, min(size, 1<<20))
	var seed [32]byte
	for at := int64(0); at < size; at += int64(len(buf)) {
		if at%(16<<20) == 0 {
			seed[0]++
			rand.NewChaCha8(seed).Read(buf)
		}
		if _, err := f.Write(buf[:min(int64(len(buf)), size-at)]); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Open opens a file for the length of the test and tells its size.
func Open(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	return f, size
}

// Loop attaches a file to a loop device with the given sector size until the test ends.
func Loop(t testing.TB, path string, sectorSize int, options ...string) string {
	t.Helper()
	Need(t, true, "losetup")
	args := append([]string{"--find", "--show", "--sector-size", strconv.Itoa(sectorSize)}, options...)
	dev := strings.TrimSpace(Run(t, "losetup", append(args, path)...))
	t.Cleanup(func() { exec.Command("losetup", "--detach", dev).Run() })
	return dev
}

// Restore copies only the extents of the file src to a new file that has random bytes everywhere else, which is what a
// disk looks like to which an image is restored. The file system's own checker must find nothing wrong there. Of a gap of
// more than 16 MiB only the first and the last 8 MiB are random: a block that is missing from the map is as wrong when
// it is zero.
func Restore(t testing.TB, src string, size int64, extents []volume.Extent) string {
	t.Helper()
	CheckExtents(t, size, extents)
	dst := Sparse(t, "restored", size)
	in, _ := Open(t, src)
	out, _ := Open(t, dst)
	buf := make([]byte, 1<<20)
	for _, e := range extents {
		w := io.NewOffsetWriter(out, e.Offset)
		if n, err := io.CopyBuffer(w, io.NewSectionReader(in, e.Offset, e.Length), buf); err != nil || n != e.Length {
			t.Fatalf("copying extent %+v: %d bytes, %v", e, n, err)
		}
	}
	const most = 8 << 20
	random := make([]byte, most)
	rand.NewChaCha8([32]byte{42}).Read(random)
	for _, gap := range volume.Invert(extents, size) {
		n := min(gap.Length, most)
		for _, off := range []int64{gap.Offset, max(gap.Offset+n, gap.End()-most)} {
			if n := min(n, gap.End()-off); n > 0 {
				if _, err := out.WriteAt(random[:n], off); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return dst
}

// CheckExtents fails the test when extents break their contract.
func CheckExtents(t testing.TB, size int64, extents []volume.Extent) {
	t.Helper()
	end := int64(-1)
	for _, e := range extents {
		if e.Length <= 0 || e.Offset <= end || e.End() > size {
			t.Fatalf("extent %+v of a partition of %d bytes; the one before ends at %d", e, size, end)
		}
		end = e.End()
	}
}

// Blkid returns what blkid finds in a file: TYPE, UUID, LABEL and so on.
func Blkid(t testing.TB, path string) map[string]string {
	t.Helper()
	Need(t, false, "blkid")
	facts := map[string]string{}
	for line := range strings.Lines(Run(t, "blkid", "-p", "-o", "export", path)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			facts[key] = strings.ReplaceAll(value, "\\ ", " ")
		}
	}
	return facts
}

// LikeBlkid fails the test when blkid calls the file system something else.
func LikeBlkid(t testing.TB, path string, fs volume.FileSystem) {
	t.Helper()
	want, info := Blkid(t, path), fs.Info()
	if fs.Type() != want["TYPE"] || info.UUID != want["UUID"] || info.Label != want["LABEL"] {
		t.Errorf("type %q, UUID %q, label %q; blkid says %v", fs.Type(), info.UUID, info.Label, want)
	}
}

// Mount mounts a file or device until the test ends, or until the returned function is called.
func Mount(t testing.TB, what string, options ...string) (dir string, unmount func()) {
	t.Helper()
	Need(t, true, "mount", "umount")
	dir = t.TempDir()
	Run(t, "mount", append(options, what, dir)...)
	done := false
	unmount = func() {
		if !done {
			done = true
			Run(t, "umount", dir)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}
