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

// control does something to the file's descriptor.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var ctl error
	if err := raw.Control(func(fd uintptr) { ctl = do(int(fd)) }); err != nil {
		return err
	}
	return ctl
}

// raw has a terminal pass on every byte as it is, both ways, until the function that is returned is called.
func raw(f *os.File) (plain func(), err error) {
	var before unix.Termios
	err = control(f, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		before = *t
		t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL |
			unix.IXON
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		return unix.IoctlSetTermios(fd, unix.TCSETS, t)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: its terminal's settings: %w", f.Name(), err)
	}
	return func() {
		// A console that is gone needs none.
		_ = control(f, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &before) })
	}, nil
}

// sameSize gives one terminal the size of another, where that knows its own.
func sameSize(to, from *os.File) error {
	var size *unix.Winsize
	err := control(from, func(fd int) (err error) {
		size, err = unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		return err
	})
	if err != nil || size.Col == 0 || size.Row == 0 {
		return err
	}
	return control(to, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
}

// otherEnd opens the terminal whose master it is.
func otherEnd(master *os.File) (*os.File, error) {
	var n int
	err := control(master, func(fd int) (err error) {
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
	return control(master, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
}
