package rescue

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/terminal"
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
