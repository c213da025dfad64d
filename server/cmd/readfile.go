package cmd

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/units"
)

// pipePatience is how long somebody is waited for who writes to a pipe that is read.
var pipePatience = 10 * time.Second

// readWhole reads a file of at most so many bytes: a regular one, a pipe such as <(age -d own.age) makes, or a device
// that ends, such as /dev/stdin. What is something else is refused in words, and a pipe to which nobody writes is.
func readWhole(file string, most int64) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	flags := os.O_RDONLY
	switch mode := st.Mode(); {
	case mode.IsDir():
		return nil, fmt.Errorf("%s is a folder: name the file in it", file)
	case mode&os.ModeSocket != 0:
		return nil, fmt.Errorf("%s is a socket: name a file", file)
	case mode.IsRegular() && st.Size() > most:
		return nil, fmt.Errorf("%s has %s, and %s are the most: is it the right file?", file, units.Bytes(st.Size()),
			units.Bytes(most))
	case mode&os.ModeNamedPipe != 0:
		flags |= unix.O_NONBLOCK // else opening it waits for who writes to it, for ever
	}
	f, err := os.OpenFile(file, flags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	if flags&unix.O_NONBLOCK != 0 {
		if err := written(f); err != nil {
			return nil, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %s, which are the most: is it the right file?", file, units.Bytes(most))
	}
	return b, err
}

// written waits until somebody has written to the pipe, or closed it.
func written(f *os.File) error {
	end := time.Now().Add(pipePatience)
	for {
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, max(0, int(time.Until(end).Milliseconds())))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", f.Name(), err)
		case n == 0:
			return fmt.Errorf("%s is a pipe, and nobody wrote to it within %v", f.Name(), pipePatience)
		}
		return nil
	}
}
