package inuse_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/inuse"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// refused wants an error that names a user with all the words, and that Live opens it all the same and names the same.
func refused(t *testing.T, path string, words ...string) {
	t.Helper()
	h, err := inuse.Open(path)
	var used *inuse.Error
	if !errors.As(err, &used) {
		if err == nil {
			h.Close()
		}
		t.Fatalf("%s: error %v, want one that says that it is in use", path, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q says nothing of %q", path, err, w)
		}
	}
	h, err = inuse.Live(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if len(h.Users) == 0 {
		t.Errorf("%s: Live knows no user", path)
	}
}

func free(t *testing.T, path string) {
	t.Helper()
	h, err := inuse.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if len(h.Users) != 0 {
		t.Errorf("%s: used by %v", path, h.Users)
	}
}

// disk is a loop device with two partitions, and its file.
func disk(t *testing.T) (dev, file string) {
	t.Helper()
	need.Root(t)
	need.Tools(t, "losetup", "addpart", "delpart", "mkfs.ext4", "mount", "umount")
	file = volumetest.Sparse(t, 64<<20)
	dev, _ = volumetest.Loop(t, file, 512, "--partscan")
	for _, p := range [][3]string{{"1", "2048", "32768"}, {"2", "40960", "32768"}} {
		volumetest.Run(t, "addpart", dev, p[0], p[1], p[2])
		t.Cleanup(func() { exec.Command("delpart", dev, p[0]).Run() })
	}
	return dev, file
}

// elsewhere runs a command in a mount namespace of its own, until stop is called.
func elsewhere(t *testing.T, script string) (stop func()) {
	t.Helper()
	need.Tools(t, "unshare")
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script+"; echo ready; read line")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%s: %q %v", script, line, err)
	}
	done := false
	stop = func() {
		if !done {
			done = true
			in.Close()
			_ = cmd.Wait() // read ends with 1
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestMountElsewhere(t *testing.T) {
	dev, file := disk(t)
	mnt := t.TempDir()
	free(t, dev)
	volumetest.Run(t, "mkfs.ext4", "-q", dev+"p2")
	stop := elsewhere(t, "mount "+dev+"p2 "+mnt)
	name := filepath.Base(dev)
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(b), dev) {
		t.Fatalf("the mount can be seen here: %v", err)
	}
	refused(t, dev, name+"p2 is mounted at "+mnt, "in the mount namespace of process")
	refused(t, dev+"p2", name+"p2 is mounted at")
	refused(t, file, "loop device "+name+" is on it", name+"p2 is mounted at")
	free(t, dev+"p1")
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(dev, link); err != nil {
		t.Fatal(err)
	}
	refused(t, link, name+"p2 is mounted at")
	stop()
	free(t, dev)
}

func TestDeviceStaysFree(t *testing.T) {
	dev, _ := disk(t)
	volumetest.Run(t, "mkfs.ext4", "-q", dev+"p1")
	h, err := inuse.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if out, err := exec.Command("mount", dev+"p1", t.TempDir()).CombinedOutput(); err == nil {
		t.Errorf("a partition of a disk that is held was mounted: %s", out)
	}
	refused(t, dev, "busy")
}

func TestLoopOverDevice(t *testing.T) {
	dev, _ := disk(t)
	over, detach := volumetest.Loop(t, dev+"p1", 512)
	refused(t, dev, "loop device "+filepath.Base(over)+" is on it")
	detach()
	volumetest.Loop(t, dev+"p1", 512, "--read-only") // cannot write
	free(t, dev)
}

func TestSwap(t *testing.T) {
	dev, _ := disk(t)
	need.Tools(t, "mkswap", "swapon", "swapoff")
	volumetest.Run(t, "mkswap", dev+"p1")
	if out, err := exec.Command("swapon", dev+"p1").CombinedOutput(); err != nil {
		if _, none := os.Stat("/proc/swaps"); none != nil {
			t.Skip("this kernel has no swap")
		}
		need.Skip(t, "no swap here: %v %s", err, out)
	}
	off := func() { exec.Command("swapoff", dev+"p1").Run() }
	defer off()
	refused(t, dev, filepath.Base(dev)+"p1 is swap in use")
	off()
	free(t, dev)
}

func TestMapped(t *testing.T) {
	dev, _ := disk(t)
	need.Tools(t, "dmsetup")
	if out, err := exec.Command("dmsetup", "targets").CombinedOutput(); err != nil {
		t.Skipf("no device mapper in this kernel: %s", out)
	}
	volumetest.Run(t, "dmsetup", "create", "inuse-test", "--table", "0 1000 linear "+dev+"p1 0")
	remove := func() { exec.Command("dmsetup", "remove", "inuse-test").Run() }
	defer remove()
	refused(t, dev, filepath.Base(dev)+"p1 is part of dm-", "(inuse-test)")
	remove()
	free(t, dev)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	free(t, path)
	if _, err := inuse.Open(filepath.Dir(path)); err == nil {
		t.Error("a directory was opened")
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, path, "process", "has "+path+" open for writing")
	w.Close()
	free(t, path)
	l, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "another program has locked it")
}

// TestChanged writes a file after it was opened.
func TestChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour) // the clock of a file system may be coarse
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	h, err := inuse.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := io.Copy(io.Discard, h); err != nil {
		t.Fatal(err)
	}
	if err := h.Changed(); err != nil {
		t.Error(err)
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt([]byte{1}, 4096); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := h.Changed(); err == nil {
		t.Error("a file that was written has not changed")
	}
}
