package inuse

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// writers names the processes that have one of the files or devices open for writing, as far as this process may see.
func writers(root string, files []os.FileInfo) (users []string) {
	opened, _ := filepath.Glob(filepath.Join(root, "proc/[0-9]*/fd")) // the pattern is sound
	for _, dir := range opened {
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended, or belongs to somebody else
		}
		for _, fd := range fds {
			path := filepath.Join(dir, fd.Name())
			link, err := os.Lstat(path)
			if err != nil || link.Mode().Perm()&0o200 == 0 { // proc(5): the bits of the link are those of the open
				continue
			}
			st, err := os.Stat(path)
			if err == nil && slices.ContainsFunc(files, func(f os.FileInfo) bool { return same(f, st) }) {
				users = append(users, fmt.Sprintf("%s has %s open for writing", process(filepath.Dir(dir)),
					target(path)))
				break
			}
		}
	}
	return users
}

// same reports whether both are one file, or nodes of one device.
func same(a, b os.FileInfo) bool {
	if a.Mode()&os.ModeDevice == 0 {
		return os.SameFile(a, b)
	}
	return b.Mode().Type() == a.Mode().Type() && a.Sys().(*syscall.Stat_t).Rdev == b.Sys().(*syscall.Stat_t).Rdev
}

func target(link string) string {
	to, err := os.Readlink(link)
	if err != nil {
		return "it"
	}
	return to
}

// loops names the loop devices that can write the file or device, and what uses them. The kernel knows the backing file
// by its device and inode; the name in sysfs may be one of another namespace.
func loops(root string, file os.FileInfo) (users []string, err error) {
	active, _ := filepath.Glob(filepath.Join(root, "sys/block/loop*/loop/backing_file")) // the pattern is sound
	for _, a := range active {
		dir := filepath.Dir(filepath.Dir(a))
		if ro, err := os.ReadFile(filepath.Join(dir, "ro")); err == nil && strings.TrimSpace(string(ro)) == "1" {
			continue
		}
		name := filepath.Base(dir)
		if !backs(name, a, file) {
			continue
		}
		users = append(users, "loop device "+name+" is on it")
		over, err := Device(root, "/dev/"+name)
		if err != nil {
			return nil, err
		}
		users = append(users, over...)
	}
	return users, nil
}

// backs reports whether the file is that of a loop device.
func backs(loop, backing string, file os.FileInfo) bool {
	if f, err := os.Open("/dev/" + loop); err == nil {
		defer f.Close()
		if info, err := unix.IoctlLoopGetStatus64(int(f.Fd())); err == nil {
			st := file.Sys().(*syscall.Stat_t)
			if file.Mode()&os.ModeDevice != 0 {
				return info.Rdevice == st.Rdev
			}
			return info.Device == st.Dev && info.Inode == st.Ino
		}
	}
	// Not root: the name must do.
	b, err := os.ReadFile(backing)
	if err != nil {
		return false
	}
	st, err := os.Stat(strings.TrimSpace(string(b)))
	return err == nil && same(file, st)
}
