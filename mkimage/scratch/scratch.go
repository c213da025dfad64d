// Package scratch makes temporary folders that do not outlive their maker for long: where it was killed, the next one
// takes them away.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is a temporary folder.
type Dir struct {
	Path string
	held *os.File
}

// settled is the age of a folder that its maker has surely taken hold of, if it lives.
const settled = time.Minute

// Make makes a folder in another one (empty: that of TMPDIR), called by the prefix and something random. It removes
// those of the same prefix that nobody holds.
func Make(in, prefix string) (*Dir, error) {
	what := ""
	if in == "" {
		in, what = os.TempDir(), ", which TMPDIR may name elsewhere"
	}
	sweep(in, prefix)
	dir, err := os.MkdirTemp(in, prefix)
	if err != nil {
		return nil, fmt.Errorf("no temporary folder can be made in %s%s: %w", in, what, err)
	}
	held, err := hold(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Dir{dir, held}, nil
}

// Remove removes the folder.
func (d *Dir) Remove() error { return errors.Join(os.RemoveAll(d.Path), d.held.Close()) }

// hold takes the lock of a folder, which ends with the process.
func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("hold %s: %w", dir, err)
	}
	return f, nil
}

// sweep removes what killed makers left. That it cannot is no reason not to go on.
func sweep(in, prefix string) {
	entries, err := os.ReadDir(in)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !e.IsDir() {
			continue
		}
		st, err := e.Info()
		if err != nil || time.Since(st.ModTime()) < settled {
			continue
		}
		if owner, ok := st.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
			continue
		}
		dir := filepath.Join(in, e.Name())
		if f, err := hold(dir); err == nil {
			_ = os.RemoveAll(dir) // it stays then, as before
			f.Close()
		}
	}
}
