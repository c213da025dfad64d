package hooks

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

func TestParse(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "p")
	open := filepath.Join(dir, "open")
	text := filepath.Join(dir, "text")
	for path, mode := range map[string]os.FileMode{program: 0o755, open: 0o777, text: 0o644} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ setting, want string }{
		{"dns=" + program + " --zone lab", ""},
		{program, "is not NAME="},
		{"dns=p", "no whole path"},
		{"dns=", "no whole path"},
		{"Dns=" + program, "small letters"},
		{"../x=" + program, "small letters"},
		{"dns=" + filepath.Join(dir, "none"), "no such file"},
		{"dns=" + dir, "is no program"},
		{"dns=" + text, "is no program"},
		{"dns=" + open, "others can write"},
	} {
		all, err := ParseAll([]string{c.setting})
		if c.want == "" {
			if err != nil || len(all) != 1 || strings.Join(all[0].Argv, "|") != program+"|--zone|lab" {
				t.Errorf("%s: %+v, %v", c.setting, all, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.setting, err, c.want)
		}
	}
	if _, err := ParseAll([]string{"a=" + program, "a=" + program}); err == nil {
		t.Error("one name twice is taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("dns=/usr/local/sbin/update-dns --zone lab")
	f.Add("=")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Parse(s)
		if err == nil && (doc.CheckHookName(h.Name) != nil || !filepath.IsAbs(h.Argv[0])) {
			t.Errorf("%q is taken as %+v", s, h)
		}
	})
}

// ran has hooks run, and gives the end of each that is told.
func ran(t *testing.T, limit time.Duration, script string) (*Runner, chan doc.HookRun) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := ParseAll([]string{"hook=" + path + " one two"})
	if err != nil {
		t.Fatal(err)
	}
	r := New(all, limit, slog.New(slog.DiscardHandler))
	ended := make(chan doc.HookRun, 10)
	// Asked for before the runner runs, and twice: a server that starts does so.
	s := &doc.Session{ID: "s7", State: doc.Waiting, Reason: "two\nlines"}
	for range 2 {
		r.Start("s7/before", "hook", s, func(context.Context) error { return nil }, func(h doc.HookRun) { ended <- h })
	}
	return r, ended
}

func runs(t *testing.T, r *Runner) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	<-r.Ready()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRun(t *testing.T) {
	t.Setenv("DISKCAST_TOKEN", "SECRET")
	for _, c := range []struct{ name, script, state, words, output string }{
		{"well", `echo "$1 $2 $DISKCAST_SESSION $DISKCAST_REASON $DISKCAST_TOKEN."; cat`, doc.Done, "",
			"one two s7 two"},
		{"fails", `echo begin; echo "no zone lab" >&2; exit 3`, doc.Failed, "exit status 3: no zone lab",
			"begin\nno zone lab"},
		{"silent", `exit 1`, doc.Failed, "exit status 1: it printed nothing", ""},
		{"leaves one behind", `sleep 20 & echo well`, doc.Done, "", "well"},
		{"prints escapes", `printf '\033[2Jhello\n'`, doc.Done, "", "hello"},
		{"prints much", `yes line | head -n 100000; echo last`, doc.Done, "", "last"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, ended := ran(t, time.Minute, c.script)
			runs(t, r)
			h := <-ended
			if h.State != c.state || h.Words != c.words || !strings.Contains(h.Output, c.output) ||
				len(h.Output) > maxOutput || strings.Contains(h.Output, "\x1b") ||
				strings.Contains(h.Output, "SECRET") {
				t.Errorf("%+v", h)
			}
			if c.name == "well" {
				_, input, _ := strings.Cut(h.Output, "\n")
				var s doc.Session
				if err := json.Unmarshal([]byte(input), &s); err != nil || s.ID != "s7" {
					t.Errorf("its input: %s, %v", input, err)
				}
			}
			if len(ended) > 0 {
				t.Errorf("told twice: %+v", <-ended)
			}
		})
	}
}

// TestBound has a hook that does not end be ended, with what it started.
func TestBound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	r, ended := ran(t, 3*time.Second, "sleep 1000 & echo $! > "+file+"; echo waits; wait")
	runs(t, r)
	h := <-ended
	if h.State != doc.Failed || !strings.Contains(h.Words, "longer than 3s") || h.Output != "waits\n" {
		t.Errorf("%+v", h)
	}
	dead(t, file)
}

// TestStop ends a hook that nobody wants any more, and tells nobody.
func TestStop(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	r, ended := ran(t, time.Minute, "echo begun > "+file+"; sleep 1000")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if b, err := os.ReadFile(file); err != nil || string(b) != "begun\n" {
		t.Fatalf("%s, %v", b, err)
	}
	r.Stop("s7/before")
	stop()
	if err := <-done; err != nil || len(ended) != 0 {
		t.Errorf("%v, and %d ends were told", err, len(ended))
	}
}

// dead waits until the process of the file is gone.
func dead(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(b)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond) // it ends when init has seen it
	}
	t.Errorf("process %s lives on", b)
}
