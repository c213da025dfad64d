package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/cast/sock"
	"github.com/diskcast/diskcast/server/netboot/udpport"
)

// leastFiles is how many files a server of a large lab has open.
const leastFiles = 4096

// lookLimits looks at what the running server may have.
func lookLimits(_ context.Context, s *Subject, l *Look) {
	if s.Server == nil {
		l.not("the limits of the server: it does not run")
		return
	}
	pids := udpport.PIDsTCP(int(s.API.Port()))
	if len(pids) == 0 {
		l.not("the limits of the server: which process it is cannot be seen; run this as root")
		return
	}
	proc := filepath.Join("/proc", strconv.Itoa(pids[0]))
	files(proc, l)
	buffers(proc, l)
}

func files(proc string, l *Look) {
	text, err := os.ReadFile(filepath.Join(proc, "limits"))
	if err != nil {
		l.not("how many files the server may open: %v", err)
		return
	}
	n, ok := hardLimit(string(text))
	switch {
	case !ok:
		l.not("how many files the server may open: %s/limits has no such line", proc)
	case n < leastFiles:
		l.find(OpenFiles, fmt.Sprintf("the server may have no more than %d files open", n),
			"each node takes some connections, and what is above the limit is refused",
			fmt.Sprintf("LimitNOFILE=%d in `systemctl edit diskcast`, or `ulimit -Hn %d` before diskcast serve", 65536,
				65536))
	default:
		l.well("the server may have %d files open", n)
	}
}

// hardLimit reads proc_pid_limits(5): the row's third column.
func hardLimit(text string) (uint64, bool) {
	for line := range strings.SplitSeq(text, "\n") {
		rest, ok := strings.CutPrefix(line, "Max open files")
		if f := strings.Fields(rest); ok && len(f) >= 2 {
			if f[1] == "unlimited" {
				return 1 << 62, true
			}
			n, err := strconv.ParseUint(f[1], 10, 63)
			return n, err == nil
		}
	}
	return 0, false
}

// buffers looks whether the server's sockets get the buffers that they ask for: past the system's limits with
// CAP_NET_ADMIN, else as far as these go.
func buffers(proc string, l *Look) {
	text, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		l.not("whether the server may have large socket buffers: %v", err)
		return
	}
	if may(string(text), unix.CAP_NET_ADMIN) {
		l.well("the server may have socket buffers of any size")
		return
	}
	for _, x := range []struct {
		file string
		want uint64
	}{{"rmem_max", cast.ReportBuffer}, {"wmem_max", sock.SendBuffer}} {
		text, err := os.ReadFile(filepath.Join("/proc/sys/net/core", x.file))
		n, perr := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
		switch {
		case err != nil:
			l.not("net.core.%s: %v", x.file, err)
		case perr != nil:
			l.not("net.core.%s: %v", x.file, perr)
		case n < x.want:
			l.find(Buffers, fmt.Sprintf("net.core.%s is %d, the server asks for %d, and has no CAP_NET_ADMIN to go "+
				"past it",
				x.file, n, x.want), "packets are lost in this machine while it is busy, and casts go slower",
				fmt.Sprintf("sysctl -w net.core.%s=%d", x.file, x.want))
		default:
			l.well("net.core.%s is %d", x.file, n)
		}
	}
}

// may reports whether a process whose proc_pid_status(5) is given has a capability.
func may(status string, capability uint) bool {
	for line := range strings.SplitSeq(status, "\n") {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && n>>capability&1 == 1
		}
	}
	return false
}
