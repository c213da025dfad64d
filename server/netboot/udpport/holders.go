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

// HoldersTCP names the programs that have a TCP port open.
func HoldersTCP(port int) string { return of(port, "tcp", "tcp6") }

// PIDsTCP are the processes that have a TCP port open, as far as they can be seen.
func PIDsTCP(port int) []int { return processes(port, "tcp", "tcp6") }

// of names the programs that have a port open, such as "dnsmasq (pid 812)" or "another diskcast server (pid 9)"; empty
// where none can be seen. The tables are those of /proc/net.
func of(port int, tables ...string) string {
	var out []string
	for _, pid := range processes(port, tables...) {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			continue // it ended
		}
		args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		out = append(out, fmt.Sprintf("%s (pid %d)", called(strings.TrimSpace(string(name)), string(args)), pid))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// called is a program in words; args are its command line, with a zero behind each word.
func called(name, args string) string {
	if name != "diskcast" {
		return name
	}
	for i, word := range strings.Split(args, "\x00") {
		if i > 0 && (word == "serve" || word == "up") {
			return "another diskcast server"
		}
	}
	return name
}

func processes(port int, tables ...string) []int {
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
		return nil
	}
	var out []int
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil && hasOpen(p, wanted) {
			out = append(out, pid)
		}
	}
	return out
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
