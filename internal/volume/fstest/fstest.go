// Package fstest judges allocation maps with independent tools: the real mkfs makes the file system, the host's kernel or
// a FUSE program fills it, only the extents of the map are copied onto a file full of random bytes, and the file
// system's own checker, a listing with checksums and partclone's bitmap say whether that was enough.
package fstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/volume"
)

// Skip skips the test for a reason of this machine. Where CI=true the machine is meant to have everything, and it fails.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI must not skip: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Need skips unless all the tools are installed.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if find(tool) == "" {
			Skip(t, "%s is not installed", tool)
		}
	}
}

func find(tool string) string {
	if p, err := exec.LookPath(tool); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		p := filepath.Join(dir, tool)
		if info, err := os.Stat(p); err == nil && info.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// Try runs a tool for at most two minutes and returns what it printed on both streams.
func Try(t testing.TB, tool string, args ...string) (string, error) {
	t.Helper()
	path := find(tool)
	if path == "" {
		Skip(t, "%s is not installed", tool)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Run is Try for a tool that must succeed.
func Run(t testing.TB, tool string, args ...string) string {
	t.Helper()
	out, err := Try(t, tool, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return out
}

// Sparse makes an empty file of the given size and returns its path.
func Sparse(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// Open opens a file for reading and tells its size; it is closed with the test.
func Open(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, info.Size()
}

// Mount mounts an image with the host's kernel and returns the directory. The mount ends with the test, or earlier with
// the function returned.
func Mount(t testing.TB, image, fstype, options string) (dir string, unmount func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "mounting needs root")
	}
	if list, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(list), "\t"+fstype+"\n") {
		if _, err := Try(t, "modprobe", fstype); err != nil {
			t.Skipf("this kernel has no %s", fstype) // not a missing tool: no CI can install it
		}
	}
	dir = t.TempDir()
	args := []string{"-t", fstype, "-o", "loop", image, dir}
	if options != "" {
		args[3] += "," + options
	}
	Run(t, "mount", args...)
	done := false
	unmount = func() {
		if done {
			return
		}
		done = true
		detach(t, dir)
	}
	t.Cleanup(unmount)
	return dir, unmount
}

// detach unmounts dir. Another test's child process may hold one of our files for the moment between its fork and its exec, so
// a busy mount is tried again.
func detach(t testing.TB, dir string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for try := 1; ; try++ {
		out, err := exec.Command("umount", dir).CombinedOutput()
		if err == nil {
			return
		}
		if try == 100 || !strings.Contains(string(out), "busy") {
			t.Errorf("umount %s: %v %s", dir, err, out)
			return
		}
		<-tick.C
	}
}

// Check fails the test unless the extents are sorted, merged and within size.
func Check(t testing.TB, extents []volume.Extent, size int64) {
	t.Helper()
	at := int64(-1)
	for i, e := range extents {
		if e.Length <= 0 || e.Offset <= at || e.End() > size {
			t.Fatalf("extent %d of %d is %+v, after %d, in %d bytes", i, len(extents), e, at, size)
		}
		at = e.End()
	}
}

// Restore copies nothing but the extents of image onto a new file full of random bytes, and returns its path.
func Restore(t testing.TB, image string, extents []volume.Extent) string {
	t.Helper()
	src, size := Open(t, image)
	Check(t, extents, size)
	path := filepath.Join(t.TempDir(), "restored.img")
	dst, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	junk := make([]byte, 1<<20)
	noise := rand.NewChaCha8([32]byte{1})
	if _, err := noise.Read(junk); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < size; at += int64(len(junk)) {
		if _, err := dst.WriteAt(junk[:min(int64(len(junk)), size-at)], at); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range extents {
		if _, err := io.Copy(io.NewOffsetWriter(dst, e.Offset), io.NewSectionReader(src, e.Offset, e.Length)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Same fails the test when two listings differ, and shows the first differing lines.
func Same(t testing.TB, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			t.Fatalf("listing differs in line %d:\nwant %s\n got %s", i+1, w[i], g[i])
		}
	}
	t.Fatalf("listing has %d lines, want %d", len(g), len(w))
}

// Zeroes tells whether the bytes of an image in e are all zero.
func Zeroes(t testing.TB, image string, e volume.Extent) bool {
	t.Helper()
	f, _ := Open(t, image)
	p := make([]byte, 1<<16)
	for at := e.Offset; at < e.End(); at += int64(len(p)) {
		n := min(int64(len(p)), e.End()-at)
		if _, err := f.ReadAt(p[:n], at); err != nil {
			t.Fatal(err)
		}
		if len(bytes.Trim(p[:n], "\x00")) != 0 {
			return false
		}
	}
	return true
}

// FUSE mounts an image with a FUSE program that takes the image and the directory as its last arguments.
func FUSE(t testing.TB, image string, program ...string) (dir string, unmount func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "mounting needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		Skip(t, "this machine has no FUSE: %v", err)
	}
	dir = t.TempDir()
	Run(t, program[0], append(program[1:len(program):len(program)], image, dir)...)
	done := false
	unmount = func() {
		if done {
			return
		}
		done = true
		detach(t, dir)
		released(t, image)
	}
	t.Cleanup(unmount)
	return dir, unmount
}

// released waits until no other process has the image open: umount returns before the FUSE program has written its last bytes.
func released(t testing.TB, image string) {
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if !openElsewhere(image) {
			return
		}
		select {
		case <-deadline:
			t.Errorf("%s is still open 30 s after umount", image)
			return
		case <-tick.C:
		}
	}
}

func openElsewhere(image string) bool {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return false
	}
	self := fmt.Sprintf("/proc/%d/", os.Getpid())
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == image && !strings.HasPrefix(link, self) {
			return true
		}
	}
	return false
}

// Loop gives an image a block device, until the test ends or detach is called.
func Loop(t testing.TB, image string) (device string, detach func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "loop devices need root")
	}
	device = strings.TrimSpace(Run(t, "losetup", "--find", "--show", image))
	done := false
	detach = func() {
		if done {
			return
		}
		done = true
		if out, err := exec.Command("losetup", "-d", device).CombinedOutput(); err != nil {
			t.Errorf("losetup -d %s: %v %s", device, err, out)
		}
	}
	t.Cleanup(detach)
	return device, detach
}
