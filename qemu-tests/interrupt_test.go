package qemutests

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/osimage"
)

// TestDemoInterrupted ends the demo at different moments and in different ways: no process, no mount, no named
// namespace and no disk of a machine is left.
func TestDemoInterrupted(t *testing.T) {
	ready(t)
	demo := filepath.Join(osimage.ModuleRoot(), "build/bin/demo")
	cases := []struct {
		name   string
		fresh  bool   // the Debian image is not in the cache
		moment string // what the demo says
		child  string // and the name of a process that runs by then
		signal syscall.Signal
	}{
		{"Ctrl-C while mmdebstrap runs", true, "made once", "dpkg", syscall.SIGINT},
		{"killed while mmdebstrap runs", true, "made once", "apt-get", syscall.SIGKILL},
		{"terminated while machines boot", false, "session create", "qemu-system-x86", syscall.SIGTERM},
		{"killed while machines boot", false, "session create", "qemu-system-x86", syscall.SIGKILL},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			mark := fmt.Sprintf("DISKCAST_INTERRUPT=%d-%d", os.Getpid(), i)
			env := append(os.Environ(), mark)
			if c.fresh {
				dir := filepath.Join(scratch, "fresh-cache")
				defer os.RemoveAll(dir)
				env = append(env, "DISKCAST_CACHE="+dir)
			}
			mounts, spaces := read(t, "/proc/self/mounts"), names(t, "/run/netns")
			cmd := exec.Command(demo)
			cmd.Env = env
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			said := waitFor(t, out, c.moment)
			go io.Copy(io.Discard, out) // ends with the demo
			deadline := time.Now().Add(patience(3 * time.Minute))
			eventually(t, deadline, func() string {
				if strings.Contains(marked(mark)+";", "("+c.child+");") {
					return ""
				}
				return c.child + " does not run; the demo said:\n" + said
			})
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			eventually(t, deadline, func() string {
				if left := marked(mark); left != "" {
					return "still running: " + left
				}
				return ""
			})
			if after := read(t, "/proc/self/mounts"); after != mounts {
				t.Errorf("mounts before:\n%s\nand after:\n%s", mounts, after)
			}
			if after := names(t, "/run/netns"); after != spaces {
				t.Errorf("network namespaces %q before, %q after", spaces, after)
			}
			dir := filepath.Join(osimage.ModuleRoot(), "build/demo", fmt.Sprint(cmd.Process.Pid))
			if _, err := os.Stat(dir); c.signal != syscall.SIGKILL && err == nil {
				t.Errorf("%s is left", dir)
			}
			_ = os.RemoveAll(dir)
		})
	}
}

// waitFor reads lines until one has the text.
func waitFor(t *testing.T, r io.Reader, text string) string {
	t.Helper()
	var all strings.Builder
	for s := bufio.NewScanner(r); s.Scan(); {
		all.WriteString(s.Text() + "\n")
		if strings.Contains(s.Text(), text) {
			return all.String()
		}
	}
	t.Fatalf("the demo ended without %q:\n%s", text, all.String())
	return ""
}

// eventually waits until check returns nothing.
func eventually(t *testing.T, deadline time.Time, check func() string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(problem)
		}
		<-tick.C
	}
}

// marked lists the processes that have the mark in their environment: the demo and what it started.
func marked(mark string) string {
	var out []string
	procs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range procs {
		env, err := os.ReadFile(p)
		if err != nil || !bytes.Contains(env, []byte(mark)) {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "comm"))
		out = append(out, filepath.Base(filepath.Dir(p))+" ("+strings.TrimSpace(string(name))+")")
	}
	return strings.Join(out, "; ")
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}
