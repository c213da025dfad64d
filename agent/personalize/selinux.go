package personalize

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// labelOf is the extended attribute that SELinux keeps a file's label in.
const labelOf = "security.selinux"

// hasSELinux tells whether the restored system uses labels.
func (t *tree) hasSELinux() (bool, error) {
	b, err := t.read("/etc/selinux/config")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(b)) {
		if mode, ok := strings.CutPrefix(strings.TrimSpace(line), "SELINUX="); ok {
			return strings.TrimSpace(mode) != "disabled", nil
		}
	}
	return true, nil
}

// copyLabel gives f the label of like, if that has one.
func copyLabel(f, like *os.File) error {
	b := make([]byte, 4096)
	n, err := unix.Fgetxattr(int(like.Fd()), labelOf, b)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	return unix.Fsetxattr(int(f.Fd()), labelOf, b[:n], 0)
}

// relabel asks a system with SELinux to label itself at its first start, where files are new: their labels are those of
// their folders, and the policy may want others, which only the system itself can tell.
func (t *tree) relabel() (string, error) {
	if !t.selinux || len(t.made) == 0 {
		return "", nil
	}
	if err := t.write("/.autorelabel", nil, attributes{mode: 0o644}); err != nil {
		return "", err
	}
	return "SELinux: the system labels its files anew at its first start, and restarts once", nil
}
