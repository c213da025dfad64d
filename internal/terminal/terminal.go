// Package terminal sets how a terminal treats what is typed and printed, and puts it back; and how large it is.
package terminal

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mode is a change of a terminal's settings.
type Mode func(*unix.Termios)

// Keys has each key come at once, as it is, and be shown by nobody. What is printed is treated as before: a new line
// goes to the line's begin.
func Keys(t *unix.Termios) {
	t.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG | unix.IEXTEN
	t.Iflag &^= unix.ICRNL | unix.INLCR | unix.IGNCR
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}

// Bytes passes on every byte as it is, both ways.
func Bytes(t *unix.Termios) {
	Keys(t)
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHONL
}

// Set gives a terminal a mode until the function that is returned is called. With drop, what was typed before is lost.
func Set(f *os.File, mode Mode, drop bool) (plain func() error, err error) {
	var before unix.Termios
	request := uint(unix.TCSETS)
	if drop {
		request = unix.TCSETSF
	}
	err = Control(f, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		before = *t
		mode(t)
		return unix.IoctlSetTermios(fd, request, t)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: its terminal's settings: %w", f.Name(), err)
	}
	return func() error {
		return Control(f, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &before) })
	}, nil
}

// Size is how many characters a terminal shows, as the kernel knows; 0 where it does not, as of a serial line.
func Size(f *os.File) (columns, rows int, err error) {
	err = Control(f, func(fd int) error {
		w, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			columns, rows = int(w.Col), int(w.Row)
		}
		return err
	})
	return columns, rows, err
}

// SetSize tells a terminal its size in characters, at most 32,768 each. Where one of them is 0 it is that of a VT100,
// 80 and 24: with a size of nothing, the shell's line editor leaves the editing to the kernel, and loses what is typed
// or pasted before it asks.
func SetSize(f *os.File, columns, rows int) error {
	if columns <= 0 || rows <= 0 {
		columns, rows = 80, 24
	}
	size := &unix.Winsize{Col: uint16(min(columns, 1<<15)), Row: uint16(min(rows, 1<<15))}
	return Control(f, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
}

// CopySize tells a terminal the size of another, or of itself, by SetSize.
func CopySize(to, from *os.File) error {
	columns, rows, err := Size(from)
	if err != nil {
		return err
	}
	return SetSize(to, columns, rows)
}

// Control does something to a file's descriptor, without making it one that blocks.
func Control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}
