package up

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/identity"
)

// leastRoom is what state and boot directory take at first, in bytes: archive and kernel twice, for a directory is made
// beside the one that it replaces.
const leastRoom = 512 << 20

// owner is whom the state belongs to when the service manager serves.
type owner struct {
	name     string
	uid, gid int
}

func lookOwner(name string) (*owner, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("the user %s, whom the unit %s runs as: %w (`systemd-sysusers` makes it)", name, unit,
			err)
	}
	o := &owner{name: name}
	if o.uid, err = strconv.Atoi(u.Uid); err == nil {
		o.gid, err = strconv.Atoi(u.Gid)
	}
	return o, err
}

// give makes everything below a folder the owner's.
func (w *work) give(dir string) error {
	if w.owner == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, w.owner.uid, w.owner.gid)
	})
}

// state looks at the state directory.
func (w *work) state(context.Context) error {
	dir := w.set.State
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return room(dir, w.needs())
	case err != nil:
		return fmt.Errorf("state directory: %w", err)
	case !st.IsDir():
		return fmt.Errorf("state directory %s is a file: name a folder with --state", dir)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 && (w.owner == nil || int(sys.Uid) != w.owner.uid) {
		return fmt.Errorf("state directory %s belongs to %s: %s", dir, userName(sys.Uid), w.notOurs())
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if len(list) > 0 && !known(list) {
		return fmt.Errorf("state directory %s holds %s and nothing of diskcast's: name an empty folder with --state",
			dir, list[0].Name())
	}
	return room(dir, w.needs())
}

// needs is how much room is wanted, in bytes.
func (w *work) needs() uint64 {
	if w.KernelARM64 != "" {
		return 2 * leastRoom
	}
	return leastRoom
}

func (w *work) notOurs() string {
	if w.Alone {
		return "the service manager's server has it; leave --foreground out, or name another with --state"
	}
	return "name another with --state, or run this as that user's administrator would"
}

// known says whether a folder has something that a server or mkimage puts into a state directory.
func known(list []fs.DirEntry) bool {
	for _, e := range list {
		switch e.Name() {
		case identity.KeyFile, identity.TokenFile, "state.db", "images", "boot", "boot-arm64":
			return true
		}
	}
	return false
}

func userName(uid uint32) string {
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(int(uid))
}

// room looks whether the file system of a folder, which need not be there yet, has room.
func room(dir string, need uint64) error {
	at := dir
	for {
		var st unix.Statfs_t
		err := unix.Statfs(at, &st)
		if errors.Is(err, unix.ENOENT) && at != filepath.Dir(at) {
			at = filepath.Dir(at)
			continue
		}
		if err != nil {
			return fmt.Errorf("room in %s: %w", at, err)
		}
		if free := st.Bavail * uint64(st.Bsize); free < need {
			return fmt.Errorf("the disk of %s is full: %d MiB are free, and boot directories take up to %d MiB, "+
				"images not counted: make room, or name another folder with --state", at, free>>20, need>>20)
		}
		return nil
	}
}

// server asks whether this state's server answers already.
func (w *work) server(ctx context.Context) error {
	for _, f := range []string{identity.KeyFile, identity.TokenFile} {
		if _, err := os.Stat(filepath.Join(w.set.State, f)); err != nil {
			return nil // there is no identity to ask for
		}
	}
	id, err := identity.Load(w.set.State)
	if err != nil {
		return err
	}
	w.Pin = id.Pin
	_, port, err := net.SplitHostPort(w.set.Listen)
	if err != nil {
		return err
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: identity.PinnedTLS(id.Pin)}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(w.lan.Addr().String(), port))
	if err == nil {
		w.ours = true
		return c.Close()
	}
	return nil // nobody, or another program, which the look at the ports names
}
