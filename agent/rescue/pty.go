package rescue

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/terminal"
)

// openPTY returns the two ends of a new pseudo-terminal.
func openPTY() (master, tty *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if tty, err = otherEnd(master); err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, tty, nil
}

// sameSize gives one terminal the size of another, where that knows its own.
func sameSize(to, from *os.File) error {
	var size *unix.Winsize
	err := terminal.Control(from, func(fd int) (err error) {
		size, err = unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		return err
	})
	if err != nil || size.Col == 0 || size.Row == 0 {
		return err
	}
	return terminal.Control(to, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
}

// otherEnd opens the terminal whose master it is.
func otherEnd(master *os.File) (*os.File, error) {
	var n int
	err := terminal.Control(master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("/dev/ptmx: %w", err)
	}
	return os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

// resize tells the terminal its size, in characters.
func resize(master *os.File, columns, rows uint32) error {
	size := &unix.Winsize{Col: uint16(min(columns, 1<<15)), Row: uint16(min(rows, 1<<15))}
	return terminal.Control(master, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
}
