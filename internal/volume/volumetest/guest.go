package volumetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The host's kernel lacks many file systems. User-mode Linux (Debian's package user-mode-linux) has them: a Linux kernel that
// runs as a process, here with the host's files as its root and the test's own binary as its init. It starts in two seconds.

// What a guest does.
const (
	GuestFill  = "fill"  // fills, unmounts
	GuestCrash = "crash" // fills, syncs, writes and syncs some more, and goes down without unmounting
	GuestList  = "list"  // lists, unmounts
	// GuestReadOnly lists what is mounted read-only.
	GuestReadOnly = "list-ro"
)

const (
	envDo, envFS, envOptions, envMB, envOut = "VOLUMETEST_DO", "VOLUMETEST_FS", "VOLUMETEST_OPTIONS", "VOLUMETEST_MB", "VOLUMETEST_OUT"
	guestDisk                               = "/dev/ubda"
)

// callPrefix is before the name of a function of the test's own.
const callPrefix = "call:"

func init() {
	if do := os.Getenv(envDo); os.Getpid() == 1 && do != "" && !strings.HasPrefix(do, callPrefix) {
		guest(guestWork)
	}
}

// InGuest is for a test's init function: it makes f what Guest("call:"+name, ...) does with its disk inside of the guest, where
// it is root with all capabilities on a kernel of its own.
func InGuest(name string, f func(device, fstype string) (string, error)) {
	if os.Getpid() == 1 && os.Getenv(envDo) == callPrefix+name {
		guest(func() (string, error) {
			if err := guestKernel(); err != nil {
				return "", err
			}
			return f(guestDisk, os.Getenv(envFS))
		})
	}
}

// Guest runs a guest with the image as its disk and returns the listing it made.
func Guest(t testing.TB, do, image, fstype, options string, megabytes int) string {
	t.Helper()
	Need(t, "linux.uml")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "listing")
	tmp, err := os.MkdirTemp("", "guest") // not t.TempDir: a comma or a colon in its name would mean something to the guest
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	disk := filepath.Join(tmp, "disk")
	if err := os.Symlink(image, disk); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, find("linux.uml"), "mem=192M", "root=/dev/root", "rootfstype=hostfs", "rw", "quiet",
		"init="+self, "ubd0="+disk, "con=null", "con0=null,fd:1", "panic=-1",
		envDo+"="+do, envFS+"="+fstype, envOptions+"="+options, envMB+"="+strconv.Itoa(megabytes), envOut+"="+out)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp) // where it keeps its memory
	cmd.WaitDelay = 5 * time.Second
	console, err := cmd.CombinedOutput()
	p, readErr := os.ReadFile(out)
	if readErr != nil {
		t.Fatalf("guest to %s %s: %v\n%s", do, fstype, err, console)
	}
	status, listing, _ := strings.Cut(string(p), "\n")
	switch {
	case strings.HasPrefix(status, "absent"):
		Skip(t, "%s", status)
	case status != "ok":
		t.Fatalf("guest to %s %s: %s\n%s", do, fstype, status, console)
	}
	return listing
}

// guest is what runs as process 1 inside.
func guest(work func() (string, error)) {
	listing, err := work()
	text := "ok\n" + listing
	if err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
	}
	if err := os.WriteFile(os.Getenv(envOut), []byte(text), 0o644); err != nil {
		fmt.Println(err)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func guestWork() (string, error) {
	do, fstype := os.Getenv(envDo), os.Getenv(envFS)
	if err := guestKernel(); err != nil {
		return "", err
	}
	if err := unix.Mount("tmpfs", "/mnt", "tmpfs", 0, ""); err != nil {
		return "", fmt.Errorf("mount /mnt: %w", err)
	}
	const dir = "/mnt/fs"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	var flags uintptr
	if do == GuestReadOnly {
		flags = unix.MS_RDONLY
	}
	if err := unix.Mount(guestDisk, dir, fstype, flags, os.Getenv(envOptions)); err != nil {
		return "", fmt.Errorf("mount %s: %w", fstype, err)
	}
	if do == GuestFill || do == GuestCrash {
		megabytes, err := strconv.Atoi(os.Getenv(envMB))
		if err != nil {
			return "", err
		}
		if err := fill(dir, megabytes); err != nil {
			return "", err
		}
	}
	if do == GuestCrash {
		if err := late(dir); err != nil {
			return "", err
		}
	}
	listing, err := list(dir)
	if err != nil || do == GuestCrash {
		return listing, err
	}
	if err := unix.Unmount(dir, 0); err != nil {
		return "", fmt.Errorf("umount: %w", err)
	}
	unix.Sync()
	return listing, nil
}

// guestKernel makes the kernel ready for the file system.
func guestKernel() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return guestModule(os.Getenv(envFS))
}

// late writes what a journal then holds: some files come, some go, everything synced.
func late(dir string) error {
	if err := syncFS(dir); err != nil {
		return err
	}
	for i := range 5 {
		f, err := os.Create(filepath.Join(dir, "late"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		_, err = f.WriteString(strings.Repeat("written last", 40_000))
		err = errors.Join(err, f.Sync(), f.Close())
		if err != nil {
			return err
		}
	}
	return syncFS(dir)
}

// guestModule loads the module of a file system that is not built in.
func guestModule(fstype string) error {
	known := func() bool {
		p, _ := os.ReadFile("/proc/filesystems")
		return strings.Contains(string(p), "\t"+fstype+"\n")
	}
	if known() {
		return nil
	}
	for _, need := range []string{"crypto/crc32_generic", "drivers/cdrom/cdrom", "fs/nls/nls_utf8", "fs/" + fstype + "/" + fstype} {
		paths, _ := filepath.Glob("/usr/lib/uml/modules/*/kernel/" + need + ".ko")
		for _, path := range paths {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			err = unix.FinitModule(int(f.Fd()), "", 0)
			f.Close()
			if err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("load %s: %w", path, err)
			}
		}
	}
	if !known() {
		return fmt.Errorf("absent: the guest's kernel has no %s", fstype)
	}
	return nil
}
