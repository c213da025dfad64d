package up

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// locks is where programs of root's say that they are at work; it is empty after each start of the machine.
const locks = "run"

// alone keeps a second up with the same state or settings file from beginning, before anything is looked at: what the
// first one makes would be half of what the second one finds. The locks end with the process.
func (w *work) alone() (unlock func(), err error) {
	var held []*os.File
	unlock = func() {
		for _, f := range held {
			f.Close()
		}
	}
	dir := filepath.Join(w.Host.Root(), locks)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, what := range []string{w.State, w.Options.File} {
		name, err := filepath.Abs(what)
		if err != nil {
			unlock()
			return nil, err
		}
		sum := sha256.Sum256([]byte(name))
		f, err := lock(filepath.Join(dir, fmt.Sprintf("diskcast-up-%x.lock", sum[:8])), name)
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, f)
	}
	return unlock, nil
}

// lock takes the lock file, and leaves this process's number in it. The file stays: who removed it could take it from
// under another.
func lock(file, of string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("to see that no other `diskcast up` is at work: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		who, rerr := io.ReadAll(io.LimitReader(f, 20))
		number := strings.TrimSpace(string(who))
		if rerr != nil || number == "" {
			number = "unknown"
		}
		f.Close()
		return nil, fmt.Errorf("another `diskcast up` (process %s) is at work with %s: let it come to its end, and "+
			"run this again. Nothing was done", number, of)
	}
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("to see that no other `diskcast up` is at work: %s: %w", file, err)
	}
	return f, nil
}
