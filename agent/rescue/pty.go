package rescue

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openPTY returns the two ends of a new pseudo-terminal.
func openPTY() (master, terminal *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if terminal, err = otherEnd(master); err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, terminal, nil
}

// otherEnd opens the terminal whose master it is.
func otherEnd(master *os.File) (*os.File, error) {
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	var n int
	var ctl error
	if err = raw.Control(func(fd uintptr) {
		if ctl = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ctl == nil {
			n, ctl = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err == nil {
		err = ctl
	}
	if err != nil {
		return nil, fmt.Errorf("/dev/ptmx: %w", err)
	}
	return os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

// resize tells the terminal its size, in characters.
func resize(master *os.File, columns, rows uint32) error {
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	size := &unix.Winsize{Col: uint16(min(columns, 1<<15)), Row: uint16(min(rows, 1<<15))}
	var ctl error
	if err := raw.Control(func(fd uintptr) { ctl = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) }); err != nil {
		return err
	}
	return ctl
}
