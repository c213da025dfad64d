package personalize

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// unitDirs are where systemd looks for what is to start, the operator's first (systemd.unit(5)).
var unitDirs = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
	"/lib/systemd/system"}

// enabled tells whether a service of the restored system starts by itself: with systemd, a target wants it and it is
// not masked; with OpenRC, a runlevel has it.
func (t *tree) enabled(service string) (bool, error) {
	levels, err := t.listIfThere("/etc/runlevels")
	if err != nil {
		return false, err
	}
	for _, level := range levels {
		if there, err := t.entry(path.Join("/etc/runlevels", level, service)); err != nil || there {
			return there, err
		}
	}
	unit := service + ".service"
	if to, err := t.readlink("/etc/systemd/system/" + unit); err == nil && to == "/dev/null" {
		return false, nil
	}
	for _, dir := range unitDirs {
		names, err := t.listIfThere(dir)
		if err != nil {
			return false, err
		}
		for _, n := range names {
			if !strings.HasSuffix(n, ".wants") && !strings.HasSuffix(n, ".requires") {
				continue
			}
			if there, err := t.entry(path.Join(dir, n, unit)); err != nil || there {
				return there, err
			}
		}
	}
	return false, nil
}

// entry tells whether there is anything of the name, wherever a link may lead.
func (t *tree) entry(name string) (bool, error) {
	_, err := t.stat(name)
	if err == nil {
		return true, nil
	}
	if notThere(err) {
		return false, nil
	}
	return false, err
}

// listIfThere lists a folder; one that is not there has nothing in it.
func (t *tree) listIfThere(name string) ([]string, error) {
	names, err := t.list(name)
	if notThere(err) {
		return nil, nil
	}
	return names, err
}

// readIfThere reads a file; one that is not there is empty.
func (t *tree) readIfThere(name string) ([]byte, error) {
	b, err := t.read(name)
	if notThere(err) {
		return nil, nil
	}
	return b, err
}

// firstOf is the first of the paths that is there; empty if none.
func (t *tree) firstOf(names ...string) (string, error) {
	for _, n := range names {
		if there, err := t.exists(n); err != nil || there {
			return n, err
		}
	}
	return "", nil
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }
