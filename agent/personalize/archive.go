package personalize

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/personal"
)

// archive unpacks a tar. Folders that are there keep their attributes; files have those of the archive.
func archive(a *personal.Archive) thing {
	var members []personal.Member
	return thing{name: "archive",
		may: func(t *tree) (err error) {
			if members, err = a.Members(); err != nil {
				return err
			}
			for i := range members {
				if err := t.mayUnpack(&members[i]); err != nil {
					return err
				}
			}
			return nil
		},
		do: func(t *tree) (string, error) {
			files, size := 0, 0
			for i := range members {
				m := &members[i]
				if err := t.unpack(m); err != nil {
					return "", err
				}
				if !m.Dir {
					files, size = files+1, size+len(m.Content)
				}
			}
			return fmt.Sprintf("%d files of %d bytes unpacked into %s", files, size, path.Join("/", a.Into)), nil
		}}
}

// mayUnpack refuses what would be in the place of something of another kind.
func (t *tree) mayUnpack(m *personal.Member) error {
	if err := t.here(m.Name); err != nil {
		return err
	}
	if m.Link == "" { // a file is written where a link leads
		f, err := t.open(m.Name, unix.O_PATH, 0)
		if notThere(err) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		fi, err := f.Stat()
		if err == nil && (fi.IsDir() != m.Dir || !m.Dir && !fi.Mode().IsRegular()) {
			err = fmt.Errorf("%s is there, and is of another kind than in the archive", m.Name)
		}
		return err
	}
	st, err := t.stat(m.Name)
	if notThere(err) {
		return nil
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fmt.Errorf("%s is there, and is neither a file nor a link, as in the archive", m.Name)
	}
	return err
}

func (t *tree) unpack(m *personal.Member) error {
	if err := t.mkdirs(path.Dir(m.Name), attributes{mode: 0o755}); err != nil {
		return err
	}
	a := attributes{mode: m.Mode, uid: m.UID, gid: m.GID, force: true}
	switch {
	case m.Dir:
		return t.mkdir(m.Name, a)
	case m.Link != "":
		return t.link(m.Name, m.Link)
	}
	return t.write(m.Name, m.Content, a)
}
