// Package kernellog reads what the machine's kernel said: now, from its ring buffer, and before it crashed, from
// pstore, where firmware or memory that keeps its content holds the last words of a kernel that died.
package kernellog

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/plain"
)

// Line is one record of the kernel's log.
type Line struct {
	Level int    // 0 emergency to 7 debug, as syslog(3)
	Seq   uint64 // of the record
	Text  string // "[   12.345678] text", harmless
}

// Warning is the least urgent level of what is worth telling about a failure.
const Warning = 4

// maxRecord is the longest record of /dev/kmsg: PRINTK_MESSAGE_MAX of kernel/printk/printk.c since Linux 6.3.
const maxRecord = 8 << 10

// Ring is the kernel's ring buffer. It remembers what it has told.
type Ring struct {
	Path string // /dev/kmsg
	next uint64 // the first record that was not told
}

// Read returns the records since the last call that are at least as urgent as level, of them the last that fit into
// max bytes, and how many did not.
func (r *Ring) Read(level, max int) (lines []Line, left int, err error) {
	fd, err := unix.Open(r.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("the kernel's log: %w", err)
	}
	f := os.NewFile(uintptr(fd), r.Path)
	defer f.Close()
	buf := make([]byte, maxRecord+1)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR): // records were overwritten meanwhile
			continue
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			lines, left = last(lines, max)
			return lines, left, nil
		case err != nil:
			return nil, 0, fmt.Errorf("the kernel's log: %w", err)
		}
		l, ok := parse(string(buf[:n]))
		if !ok || l.Seq < r.next {
			continue
		}
		r.next = l.Seq + 1
		if l.Level <= level {
			lines = append(lines, l)
		}
	}
}

// parse reads a record: "priority,sequence,microseconds,flags[,more];text", and lines of keys behind it
// (Documentation/ABI/testing/dev-kmsg).
func parse(record string) (Line, bool) {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return Line{}, false
	}
	prio, err := strconv.Atoi(fields[0])
	seq, err2 := strconv.ParseUint(fields[1], 10, 64)
	micro, err3 := strconv.ParseUint(fields[2], 10, 63)
	if err != nil || err2 != nil || err3 != nil || prio < 0 || prio>>3 != 0 {
		return Line{}, false // of a program, not the kernel's own
	}
	text, _, _ = strings.Cut(text, "\n")
	return Line{Level: prio, Seq: seq, Text: fmt.Sprintf("[%5d.%06d] %s", micro/1e6, micro%1e6,
		plain.Line(text, maxRecord))}, true
}

// last are the last lines that fit into max bytes.
func last(lines []Line, max int) ([]Line, int) {
	first := len(lines)
	for first > 0 && len(lines[first-1].Text)+1 <= max {
		first--
		max -= len(lines[first].Text) + 1
	}
	return lines[first:], first
}
