package bootdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/mkimage/scratch"
	"golang.org/x/sys/unix"
)

// Publish puts the files into the directory out in one step. A directory that is there already must be a boot
// directory, or empty; what is in it and not in files is gone afterwards.
func Publish(out string, files map[string][]byte) (err error) {
	// A link stays a link, and what it leads to is replaced.
	if real, err := filepath.EvalSymlinks(out); err == nil {
		out = real
	}
	out, err = filepath.Abs(out)
	if err != nil {
		return err
	}
	exists, err := replaceable(out)
	if err != nil {
		return err
	}
	inPlace := staysPut(out)
	parent := filepath.Dir(out)
	if inPlace {
		parent = out
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	// In the same folder, because a rename does not cross file systems.
	d, err := scratch.Make(parent, newPrefix(out))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Remove()) }()
	temp := d.Path
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(temp, name)
		if dir := filepath.Dir(path); dir != temp {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := writeSynced(path, data); err != nil {
			return err
		}
	}
	switch {
	case inPlace:
		err = replaceFiles(temp, out, files)
	case !exists:
		err = os.Rename(temp, out)
	default:
		// The old one then is in temp, and is removed there.
		err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, out, unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			err = replaceFiles(temp, out, files)
		}
	}
	if err != nil {
		return fmt.Errorf("put %s into place: %w", out, err)
	}
	return syncDir(parent)
}

// newPrefix is how the names of folders begin in which a new directory is made.
func newPrefix(out string) string { return "." + filepath.Base(out) + ".new-" }

// staysPut tells whether the directory cannot be put somewhere else: something is mounted on it, or whoever calls is in
// it and would be left in a folder that is gone. Its files are replaced then, each in one step.
func staysPut(out string) bool {
	is, err := os.Stat(out)
	if at, err2 := os.Stat("."); err == nil && err2 == nil && os.SameFile(at, is) {
		return true
	}
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, out, 0, unix.STATX_BASIC_STATS, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// CheckOut tells at once whether Publish could put a directory there: what is wrong after minutes of work is wrong now.
func CheckOut(out string) error {
	if out == "" {
		return errors.New("no directory is named")
	}
	if real, err := filepath.EvalSymlinks(out); err == nil {
		out = real
	} else if to, is := os.Readlink(out); is == nil {
		return fmt.Errorf("%s is a symbolic link to %s, which leads nowhere (%w): make that folder, or remove the link",
			out, to, err)
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	st, err := os.Stat(out)
	switch {
	case err == nil && !st.IsDir():
		return fmt.Errorf("%s is a file: name a folder, which is made, or a boot directory, which is replaced", out)
	case err == nil:
		if _, err := replaceable(out); err != nil {
			return err
		}
	}
	// The new one is made beside the old one, in the nearest folder that is there.
	first := filepath.Dir(out)
	if staysPut(out) {
		first = out
	}
	for at := first; ; at = filepath.Dir(at) {
		st, err := os.Stat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, unix.ENOTDIR), err == nil && !st.IsDir():
			return fmt.Errorf("%s cannot be made: %s is not a folder", out, at)
		case err != nil:
			return err
		}
		// Trying is the only way to know: root may write everywhere, but for file systems that take nothing.
		temp, err := os.MkdirTemp(at, ".mkimage-")
		if err != nil {
			return fmt.Errorf("%s cannot be made: writing to %s: %w", out, at, err)
		}
		return os.Remove(temp)
	}
}

func replaceable(out string) (exists bool, err error) {
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { // what was killed in the middle
		return strings.HasPrefix(e.Name(), newPrefix(out))
	})
	if len(entries) == 0 {
		return true, nil
	}
	if _, err := os.Stat(filepath.Join(out, ManifestFile)); err != nil {
		return false, fmt.Errorf("%s holds files and is not a boot directory (no %s in it): it would be replaced as "+
			"a whole; name a new folder", out, ManifestFile)
	}
	return true, nil
}

// replaceFiles is for file systems that cannot exchange two directories. Each file changes in one step; the scripts
// come after what they name, and what is left over goes last.
func replaceFiles(temp, out string, files map[string][]byte) error {
	last := []string{GRUBConfigFile, ScriptFile, ManifestFile}
	order := []string{}
	keep := map[string]bool{} // the files, and the folders that they are in
	for name := range files {
		if !slices.Contains(last, name) {
			order = append(order, name)
		}
		for ; name != "."; name = filepath.Dir(name) {
			keep[name] = true
		}
	}
	for _, name := range append(order, last...) {
		if _, ok := files[name]; !ok {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(out, name)), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(temp, name), filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return fs.WalkDir(os.DirFS(out), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." || keep[name] {
			return err
		}
		if err := os.RemoveAll(filepath.Join(out, name)); err != nil {
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// WriteFile puts one file into place in one step.
func WriteFile(name string, data []byte) (err error) {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	dir := filepath.Dir(name)
	temp, err := scratch.Make(dir, newPrefix(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, temp.Remove()) }()
	file := filepath.Join(temp.Path, "file")
	if err := writeSynced(file, data); err != nil {
		return err
	}
	if err := os.Rename(file, name); err != nil {
		return fmt.Errorf("put %s into place: %w", name, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some file systems refuse this on a directory; the rename is atomic all the same.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
