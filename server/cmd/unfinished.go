package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// unfinished is a file or folder beside the target of an export that is not whole yet. Its flock says that its program
// lives.
type unfinished struct {
	path string
	lock *os.File
}

// begin makes an unfinished file, or folder, beside the target, and removes what exports to the target left there that
// were killed. Remove must be called.
func (e *env) begin(target string, folder bool) (*unfinished, error) {
	e.sweep(target)
	dir, pattern := unfinishedNames(target)
	for {
		var path string
		if folder {
			var err error
			if path, err = os.MkdirTemp(dir, pattern+"*"); err != nil {
				return nil, err
			}
		} else {
			f, err := os.CreateTemp(dir, pattern+"*")
			if err != nil {
				return nil, err
			}
			path = f.Name()
			f.Close()
		}
		lock, alive, err := hold(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && alive:
			continue // another export took it for one that was left, before it was held
		case err != nil:
			return nil, errors.Join(err, os.RemoveAll(path))
		}
		return &unfinished{path, lock}, nil
	}
}

// unfinishedNames are the folder of a target's unfinished files, and how their names begin; digits follow.
func unfinishedNames(target string) (dir, prefix string) {
	return filepath.Dir(target), "." + filepath.Base(target) + ".part"
}

// remove removes what is there, and lets go.
func (u *unfinished) remove() error { return errors.Join(os.RemoveAll(u.path), u.lock.Close()) }

// hold opens what is at the path and holds it, or says that a program that lives does. That it is gone, or was before
// it was held, is fs.ErrNotExist.
func hold(path string) (f *os.File, alive bool, err error) {
	if f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0); err != nil {
		return nil, false, err
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == unix.EWOULDBLOCK:
		f.Close()
		return nil, true, nil
	case err != nil:
		f.Close()
		return nil, false, fmt.Errorf("locking %s: %w", path, err)
	}
	mine, err := f.Stat()
	if err == nil {
		var now fs.FileInfo
		if now, err = os.Lstat(path); err == nil && !os.SameFile(mine, now) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		f.Close()
		return nil, false, err
	}
	return f, false, nil
}

// sweep removes what exports to the target left beside it that were killed, if it is this user's. It takes much room.
func (e *env) sweep(target string) {
	dir, prefix := unfinishedNames(target)
	names, _ := os.ReadDir(dir) // who makes a file there says why it cannot
	for _, n := range names {
		number, ok := strings.CutPrefix(n.Name(), prefix)
		if !ok || number == "" || strings.Trim(number, "0123456789") != "" || !ours(n) {
			continue
		}
		path := filepath.Join(dir, n.Name())
		f, alive, err := hold(path)
		if err != nil || alive {
			continue
		}
		err = os.RemoveAll(path)
		f.Close()
		if err != nil {
			e.Warn(fmt.Sprintf("%s was left by an export that was killed, and cannot be removed: %v", path, err))
			continue
		}
		e.Note(path + ", which an export that was killed had left, is removed")
	}
}

// ours reports whether it is a file or folder of this user.
func ours(n os.DirEntry) bool {
	info, err := n.Info()
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return false
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid()
}
