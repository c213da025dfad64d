package udpport

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holders names the programs that have a UDP port open, such as "dnsmasq (pid 812)"; empty where none can be seen.
func holders(port int) string { return of(port, "udp") }

// HoldersTCP names the programs that have a TCP port open.
func HoldersTCP(port int) string { return of(port, "tcp", "tcp6") }

func of(port int, tables ...string) string {
	wanted := map[string]bool{}
	for _, table := range tables {
		b, err := os.ReadFile("/proc/thread-self/net/" + table)
		if err != nil {
			continue // no IPv6
		}
		for _, inode := range inodes(string(b), port) {
			wanted["socket:["+inode+"]"] = true
		}
	}
	if len(wanted) == 0 {
		return ""
	}
	var out []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		if !hasOpen(p, wanted) {
			continue
		}
		name, err := os.ReadFile(filepath.Join(p, "comm"))
		if err != nil {
			continue // it ended
		}
		out = append(out, fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), filepath.Base(p)))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// inodes finds the sockets of a port in the text of /proc/net/udp (proc_pid_net(5)): the second column is address:port
// in hexadecimal, the tenth the inode.
func inodes(text string, port int) []string {
	var out []string
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		f := strings.Fields(sc.Text())
		if len(f) < 10 {
			continue
		}
		_, hex, ok := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); ok && err == nil && int(n) == port {
			out = append(out, f[9])
		}
	}
	return out
}

func hasOpen(process string, sockets map[string]bool) bool {
	fds, err := os.ReadDir(filepath.Join(process, "fd"))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(process, "fd", fd.Name())); err == nil && sockets[to] {
			return true
		}
	}
	return false
}
