package uml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Handle is for an init function: it makes f what a guest does that is started with this name. Inside, f finds /proc
// mounted, its kernel knows the task's file system, and Mounts is an empty directory.
func Handle(name string, f func(t Task) (string, error)) {
	dir := os.Getenv(envDir)
	if os.Getpid() != 1 || dir == "" {
		return
	}
	var t Task
	err := load(filepath.Join(dir, taskFile), &t)
	if err == nil && t.Name != name {
		return
	}
	r := result{}
	if err == nil {
		err = prepare(t.FS)
	}
	if err == nil {
		var out string
		out, err = f(t)
		r.Out = []byte(out)
	}
	if err != nil {
		r.Error, r.Absent = err.Error(), errors.Is(err, ErrAbsent)
	}
	if err := save(filepath.Join(dir, resultFile), r); err != nil {
		fmt.Println(err)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// prepare makes the kernel ready for the task.
func prepare(fstype string) error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", filepath.Dir(Mounts), "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", filepath.Dir(Mounts), err)
	}
	if err := os.Mkdir(Mounts, 0o755); err != nil {
		return err
	}
	return module(fstype)
}

// module loads the module of a file system that is not built in.
func module(fstype string) error {
	known := func() bool {
		p, _ := os.ReadFile("/proc/filesystems")
		return strings.Contains(string(p), "\t"+fstype+"\n")
	}
	if known() {
		return nil
	}
	for _, need := range []string{"crypto/crc32_generic", "drivers/cdrom/cdrom", "fs/nls/nls_utf8", "fs/" + fstype +
		"/" + fstype} {
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
		return ErrAbsent
	}
	return nil
}
