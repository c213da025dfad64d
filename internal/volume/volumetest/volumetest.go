// Package volumetest judges allocation maps with independent tools: the real mkfs makes the file system, the host's
// kernel or a FUSE program fills it, only the extents of the map are copied onto a file full of random bytes, and the
// file system's own checker, a listing with checksums and partclone's bitmap say whether that was enough.
package volumetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// MayResize says whether this process has CAP_SYS_RESOURCE (24), which the ext4 driver wants to see of who resizes.
func MayResize(t testing.TB) bool {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "CapEff:")
	var caps uint64
	if _, err := fmt.Sscanf(strings.TrimSpace(rest), "%x", &caps); err != nil {
		t.Fatal(err)
	}
	return caps>>24&1 == 1
}

// Try runs a tool for at most two minutes and returns what it printed on both streams.
func Try(t testing.TB, tool string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := start(t, "", &out, &out, tool, args)
	return out.String(), err
}

// Run runs a tool that must succeed, for at most two minutes, and returns its standard output.
func Run(t testing.TB, tool string, args ...string) string {
	t.Helper()
	return RunIn(t, "", tool, args...)
}

// RunIn is Run with stdin given to the tool.
func RunIn(t testing.TB, stdin, tool string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if err := start(t, stdin, &out, &errs, tool, args); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", tool, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

func start(t testing.TB, stdin string, out, errs *bytes.Buffer, tool string, args []string) error {
	t.Helper()
	path := need.Tool(t, tool)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute) // also in a cleanup
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), out, errs
	return cmd.Run()
}

// Dir makes a directory that is gone after the test: in memory when there is plenty, because that takes a third of the
// time.
func Dir(t testing.TB) string {
	t.Helper()
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) != nil || int64(st.Bavail)*st.Bsize < 4<<30 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "dc-volume-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Sparse makes an empty file of the given size that is gone after the test, and returns its path.
func Sparse(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(Dir(t), "disk.img")
	if err := sparse.Create(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// Copy makes a copy of a file, holes included, that is gone after the test.
func Copy(t testing.TB, path string) string {
	t.Helper()
	to := filepath.Join(Dir(t), "copy.img")
	if err := sparse.Copy(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// Open opens a file or a block device for reading and writing and tells its size; it is closed with the test.
func Open(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f, size
}

// Mount mounts an image or a block device with the host's kernel and returns the directory. The mount ends with the
// test, or earlier with the function returned.
func Mount(t testing.TB, image, fstype, options string) (dir string, unmount func()) {
	t.Helper()
	need.Root(t)
	if list, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(list), "\t"+fstype+"\n") {
		if _, err := Try(t, "modprobe", fstype); err != nil {
			t.Skipf("this kernel has no %s", fstype) // not a missing tool: no CI can install it
		}
	}
	dir = t.TempDir()
	if info, err := os.Stat(image); err == nil && info.Mode().IsRegular() {
		options = strings.TrimSuffix("loop,"+options, ",")
	}
	args := []string{"-t", fstype, image, dir}
	if options != "" {
		args = append(args, "-o", options)
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

// detach unmounts dir. Another test's child process may hold one of our files for the moment between its fork and its
// exec, so a busy mount is tried again.
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

// FUSE mounts an image with a FUSE program that takes the image and the directory as its last arguments.
func FUSE(t testing.TB, image string, program ...string) (dir string, unmount func()) {
	t.Helper()
	need.Root(t)
	if _, err := os.Stat("/dev/fuse"); err != nil {
		need.Skip(t, "this machine has no FUSE: %v", err)
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

// released waits until no other process has the image open: umount returns before the FUSE program has written its last
// bytes.
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

// Loop gives an image a block device with sectors of sectorSize, until the test ends or detach is called. The options
// are losetup's.
func Loop(t testing.TB, image string, sectorSize int, options ...string) (device string, detach func()) {
	t.Helper()
	need.Root(t)
	args := append([]string{"--find", "--show", "--sector-size", strconv.Itoa(sectorSize)}, options...)
	device = strings.TrimSpace(Run(t, "losetup", append(args, image)...))
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
