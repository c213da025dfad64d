package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// used is what a process took of the machine so far.
type used struct {
	CPU  float64 // seconds, the kernel's on its behalf included
	Most int64   // bytes of memory, at most
	Now  int64   // bytes of memory
}

// hertz is the unit of the times in /proc/PID/stat, of every Linux that Go runs on.
const hertz = 100

// usedBy reads what a process took.
func usedBy(pid int) (u used, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest) // begins with the third field
	if len(f) < 13 {
		return u, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	for _, s := range f[11:13] { // utime, stime
		ticks, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return u, err
		}
		u.CPU += ticks / hertz
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmHWM:":
			u.Most = n << 10
		case "VmRSS:":
			u.Now = n << 10
		}
	}
	return u, nil
}
