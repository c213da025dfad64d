package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// pause in the words of bootDisk is half a second.
const pause = '\x00'

// bootDisk is a disk whose boot sector says words on the serial line and then switches the machine off, or stays.
func bootDisk(t *testing.T, words string, off bool) string {
	t.Helper()
	code := []byte{0xba, 0xf8, 0x03} // mov dx, 0x3f8
	for _, c := range []byte(words) {
		if c == pause { // mov ah, 0x86; mov cx, 7; mov dx, 0xa120; int 0x15; mov dx, 0x3f8
			code = append(code, 0xb4, 0x86, 0xb9, 0x07, 0x00, 0xba, 0x20, 0xa1, 0xcd, 0x15, 0xba, 0xf8, 0x03)
			continue
		}
		code = append(code, 0xb0, c, 0xee) // mov al, c; out dx, al
	}
	if off {
		code = append(code, 0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef) // PIIX4's ACPI: mov dx, 0x604; out dx, 0x2000
	}
	code = append(code, 0xf4, 0xeb, 0xfd) // hlt; again
	disk := make([]byte, 2<<20)           // SeaBIOS takes none of 64 KiB
	copy(disk, code)
	disk[510], disk[511] = 0x55, 0xaa
	name := filepath.Join(t.TempDir(), "a,b.raw") // a comma is QEMU's own
	if err := os.WriteFile(name, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRun(t *testing.T) {
	need.Tool(t, accel.QEMU)
	ran := errors.New("the command ran")
	then := func(context.Context) error { return ran }
	long := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, c := range []struct {
		name        string
		words       string
		off         bool
		until, fail string
		then        func(context.Context) error
		limit       time.Duration
		want        error
	}{
		{"it says what is waited for", "\r\n\x1b[1mready\x1b[0m\r\n", false, `^ready$`, "", nil, time.Minute, nil},
		{"a command then", "ready", false, "ready", "panic", then, time.Minute, ran},
		{"it fails", "panic", false, "ready", "panic", nil, time.Minute, ErrFailed},
		{"both at once", "panic ready", false, "panic ready", "panic", nil, time.Minute, ErrFailed},
		{"it fails while the command runs", "ready\x00panic", false, "ready", "panic", long, time.Minute, ErrFailed},
		{"it ends while the command runs", "ready\x00", true, "ready", "", long, time.Minute, ErrOff},
		{"the time ends while the command runs", "ready", false, "ready", "", long, 6 * time.Second, ErrTime},
		{"it is switched off", "bye", true, "", "", nil, time.Minute, nil},
		{"it is switched off, and never said it", "bye", true, "ready", "", nil, time.Minute, ErrOff},
		{"it says nothing", "x", false, "ready", "", nil, 3 * time.Second, ErrTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Disk: bootDisk(t, c.words, c.off), Format: "raw", Memory: 32, CPUs: 1, Accel: accel.TCG,
				Console: &bytes.Buffer{}, Forward: []Forward{}}
			for _, x := range []struct {
				text string
				into **regexp.Regexp
			}{{c.until, &o.Until}, {c.fail, &o.Fail}} {
				if x.text != "" {
					*x.into = regexp.MustCompile("(?m)" + x.text)
				}
			}
			before, err := os.ReadFile(o.Disk)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := Deadline(t.Context(), c.limit)
			defer cancel()
			if err := Run(ctx, o, c.then); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v; the console said %q", err, c.want, o.Console)
			}
			if after, err := os.ReadFile(o.Disk); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the disk is another: %v", err)
			}
		})
	}
}

// TestRunRefused: QEMU's own words are in the error.
func TestRunRefused(t *testing.T) {
	need.Tool(t, accel.QEMU)
	o := Options{Disk: "/nowhere", Format: "raw", Memory: 32, CPUs: 1, Accel: accel.TCG, Console: &bytes.Buffer{}}
	if err := Run(t.Context(), o, nil); err == nil || !bytes.Contains([]byte(err.Error()), []byte("/nowhere")) {
		t.Errorf("a disk that is not there: %v", err)
	}
}

// full takes nothing.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

// TestRunLog: a console that cannot be written is told at once, and is the error where nothing else is.
func TestRunLog(t *testing.T) {
	need.Tool(t, accel.QEMU)
	var warned []error
	o := Options{Disk: bootDisk(t, "ready\r\n", false), Format: "raw", Memory: 32, CPUs: 1, Accel: accel.TCG,
		Console: full{}, Warn: func(err error) { warned = append(warned, err) }, Until: regexp.MustCompile("ready")}
	ctx, cancel := Deadline(t.Context(), time.Minute)
	defer cancel()
	log, ok := errors.AsType[*LogError](Run(ctx, o, nil))
	if !ok || !errors.Is(log, errFull) || len(warned) != 1 || !errors.Is(warned[0], errFull) {
		t.Errorf("got %v, warned %v", log, warned)
	}
}

// TestRunUnread: nobody reads the console, and the time is kept all the same.
func TestRunUnread(t *testing.T) {
	need.Tool(t, accel.QEMU)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	filled := 0
	for ; ; filled++ { // until the pipe takes no more
		if err := w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte{'.'}); err != nil {
			break
		}
	}
	if err := w.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	o := Options{Disk: bootDisk(t, "words", false), Format: "raw", Memory: 32, CPUs: 1, Accel: accel.TCG, Console: w,
		Until: regexp.MustCompile("never")}
	ctx, cancel := Deadline(t.Context(), 4*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o, nil) }()
	select {
	case err := <-done:
		if !errors.Is(err, ErrTime) {
			t.Errorf("got %v, want %v (%d bytes were in the pipe)", err, ErrTime, filled)
		}
	case <-time.After(time.Minute):
		t.Error("it still runs after a minute, of which it had 4 s")
	}
}

// atWord calls a function when the console says something.
type atWord func()

func (f atWord) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

// TestRunSignaled: a QEMU that somebody ends is no machine that switched itself off.
func TestRunSignaled(t *testing.T) {
	tool, dir := need.Tool(t, accel.QEMU), t.TempDir()
	number := filepath.Join(dir, "pid")
	script := fmt.Sprintf("#!/bin/sh\necho $$ >%s\nexec %s \"$@\"\n", number, tool)
	if err := os.WriteFile(filepath.Join(dir, accel.QEMU), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, until := range []*regexp.Regexp{nil, regexp.MustCompile("never")} {
		end := sync.OnceFunc(func() {
			text, err := os.ReadFile(number)
			var pid int
			if err == nil {
				_, err = fmt.Sscan(string(text), &pid)
			}
			if err == nil {
				err = syscall.Kill(pid, syscall.SIGTERM)
			}
			if err != nil {
				t.Error(err)
			}
		})
		o := Options{Disk: bootDisk(t, "x", false), Format: "raw", Memory: 32, CPUs: 1, Accel: accel.TCG,
			Console: atWord(end), Until: until}
		ctx, cancel := Deadline(t.Context(), time.Minute)
		defer cancel()
		err := Run(ctx, o, nil)
		if !errors.Is(err, ErrSignal) || !strings.Contains(err.Error(), "signal 15 from pid") {
			t.Errorf("until %v: %v, want %v", until, err, ErrSignal)
		}
	}
}
