package personalize

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of the restored system, in bytes a file.
const maxFile = 8 << 20

// tree is the restored system. Its paths are absolute and begin at its root; symbolic links never lead out of it
// (openat2(2), RESOLVE_IN_ROOT).
type tree struct {
	dir     *os.File
	below   []string // other file systems' places
	selinux bool
	made    []string // files that were not there before: their labels are a guess
	// boot are file systems that the system mounts and a boot loader's files are on, by where; nil: none of its are.
	boot map[string]*tree
}

func openTree(dir string, below []string) (*tree, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	t := &tree{dir: f, below: below, boot: map[string]*tree{}}
	if t.selinux, err = t.hasSELinux(); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

// close has all on the disk.
func (t *tree) close() error {
	err := unix.Syncfs(int(t.dir.Fd()))
	for _, b := range t.boot {
		if b != nil {
			err = errors.Join(err, b.close())
		}
	}
	if cerr := t.dir.Close(); err == nil {
		err = cerr
	}
	return err
}

// open opens a path inside the tree.
func (t *tree) open(name string, flags int, mode uint32) (*os.File, error) {
	if err := t.here(name); err != nil {
		return nil, err
	}
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(t.dir.Fd()), name, how)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// here refuses a path where the system mounts another file system: what is written there would be hidden by it.
func (t *tree) here(name string) error {
	for _, b := range t.below {
		if name == b || strings.HasPrefix(name, b+"/") {
			return fmt.Errorf("%s is on another file system than the root (%s in fstab), which is not personalized",
				name, b)
		}
	}
	return nil
}

// real is a path with the links of its last element followed, which need not be there.
func (t *tree) real(name string) (string, error) {
	for range 40 {
		to, err := t.readlink(name)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(name), to)
		}
		name = path.Clean(to)
	}
	return "", fmt.Errorf("%s: too many symbolic links", name)
}

func (t *tree) readlink(name string) (string, error) {
	f, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", b)
	return string(b[:max(n, 0)]), err
}

// stat is lstat(2).
func (t *tree) stat(name string) (*unix.Stat_t, error) {
	f, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st := &unix.Stat_t{}
	return st, unix.Fstat(int(f.Fd()), st)
}

// exists follows links.
func (t *tree) exists(name string) (bool, error) {
	f, err := t.open(name, unix.O_PATH, 0)
	if notThere(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

func (t *tree) read(name string) ([]byte, error) {
	f, err := t.open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", name))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return b, err
}

// list returns the names in a folder.
func (t *tree) list(name string) ([]string, error) {
	f, err := t.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// attributes are what a file that is new has; one that was there keeps its own unless they are said.
type attributes struct {
	mode     uint32
	uid, gid int
	force    bool // also where the file was there
}

// mkdir makes a folder with its attributes, where there is none, below one that is there.
func (t *tree) mkdir(name string, a attributes) error {
	if there, err := t.exists(name); err != nil || there {
		return err
	}
	parent, err := t.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	fd := int(parent.Fd())
	if err := unix.Mkdirat(fd, path.Base(name), 0o700); err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	f, err := t.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.dress(f, parent, nil, a); err != nil {
		return err
	}
	t.made = append(t.made, name)
	return errors.Join(f.Sync(), parent.Sync())
}

// mkdirs makes folders down to name.
func (t *tree) mkdirs(name string, a attributes) error {
	at := ""
	for e := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		at += "/" + e
		if err := t.mkdir(at, a); err != nil {
			return err
		}
	}
	return nil
}

// write puts a file in its place as a whole. Owner, mode and label of one that was there stay, unless a says others.
func (t *tree) write(name string, content []byte, a attributes) (err error) {
	if name, err = t.real(name); err != nil {
		return err
	}
	return t.place(name, a, func(parent *os.File, tmp string) (*os.File, error) {
		fd, err := unix.Openat(int(parent.Fd()), tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|
			unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), tmp)
		_, err = f.Write(content)
		return f, err
	})
}

// place renames what make made into its place.
func (t *tree) place(name string, a attributes, make func(parent *os.File, tmp string) (*os.File, error)) (err error) {
	parent, err := t.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	old, err := t.open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case err == nil:
		defer old.Close()
		if fi, err := old.Stat(); err != nil || !fi.Mode().IsRegular() {
			return errors.Join(err, fmt.Errorf("%s is there and is not a regular file", name))
		}
	case errors.Is(err, fs.ErrNotExist):
	default:
		return err
	}
	tmp := ".diskcast-" + rand.Text()
	f, err := make(parent, tmp)
	if f != nil {
		defer f.Close()
	}
	if err == nil {
		err = t.dress(f, parent, old, a)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = unix.Renameat(int(parent.Fd()), tmp, int(parent.Fd()), path.Base(name))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, errors.Join(err, removeIn(parent, tmp)))
	}
	if old == nil {
		t.made = append(t.made, name)
	}
	return parent.Sync()
}

// removeIn takes away what was not finished.
func removeIn(parent *os.File, name string) error {
	err := unix.Unlinkat(int(parent.Fd()), name, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// dress gives a new file owner, mode and label: those of the old one, or those of a and the folder's label.
func (t *tree) dress(f, parent, old *os.File, a attributes) error {
	like := parent
	if old != nil {
		like = old
		if !a.force {
			var st unix.Stat_t
			if err := unix.Fstat(int(old.Fd()), &st); err != nil {
				return err
			}
			a.mode, a.uid, a.gid = st.Mode&0o7777, int(st.Uid), int(st.Gid)
		}
	}
	if err := f.Chown(a.uid, a.gid); err != nil {
		return err
	}
	if err := unix.Fchmod(int(f.Fd()), a.mode); err != nil {
		return err
	}
	return copyLabel(f, like)
}

// link puts a symbolic link in the place of whatever file or link is there.
func (t *tree) link(name, to string) error {
	parent, err := t.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	tmp := ".diskcast-" + rand.Text()
	err = unix.Symlinkat(to, int(parent.Fd()), tmp)
	if err == nil {
		err = unix.Renameat(int(parent.Fd()), tmp, int(parent.Fd()), path.Base(name))
	}
	if err != nil {
		return fmt.Errorf("linking %s: %w", name, errors.Join(err, removeIn(parent, tmp)))
	}
	t.made = append(t.made, name)
	return parent.Sync()
}

// remove takes a file or link away, if it is there.
func (t *tree) remove(name string) error {
	parent, err := t.open(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := removeIn(parent, path.Base(name)); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return parent.Sync()
}
