package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/mkimage/bootdir"
)

// sayVariable is what emulator says on the console; a node then says hello, unless it is a panic.
const sayVariable = "DISKCAST_TEST_CONSOLE"

// emulator is a program in QEMU's place, until it is killed.
func emulator(args []string) {
	words := os.Getenv(sayVariable)
	fmt.Println(words)
	if !strings.Contains(words, "panic") {
		url := regexp.MustCompile(`https://10\.0\.2\.2(:\d+)`).FindStringSubmatch(strings.Join(args, " "))
		for err := errors.New("not asked yet"); err != nil; { // until the server serves
			err = say("https://127.0.0.1"+url[1], 1, `,"disks":[{"path":"/dev/vda"}]`)
		}
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}

// emulated has this program be QEMU and diskcast, and temporary folders be below a folder of the test's own.
func emulated(t *testing.T, words string) (temp string) {
	t.Helper()
	program := diskcastInPath(t)
	if err := os.Symlink(program, filepath.Join(filepath.Dir(program), accel.QEMU)); err != nil {
		t.Fatal(err)
	}
	temp = t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("DISKCAST_ACCEL", "tcg")
	t.Setenv(sayVariable, words)
	return temp
}

// TestSerial: a console that cannot be written, or a serial file that would be waited for or lost, ends the test with
// the reason, and leaves nothing behind.
func TestSerial(t *testing.T) {
	boot := made(t)
	dir := t.TempDir()
	pipe, read := filepath.Join(dir, "pipe"), filepath.Join(dir, "read")
	if err := errors.Join(unix.Mkfifo(pipe, 0o600), unix.Mkfifo(read, 0o600)); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(read, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	kernel := filepath.Join(boot, bootdir.KernelFile)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(kernel, link); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(kernel)
	if err != nil {
		t.Fatal(err)
	}
	const panicked = "Kernel panic - not syncing"
	for name, c := range map[string]struct {
		serial, words, want string
		code                int
		came                bool
	}{
		"whole":             {filepath.Join(dir, "console"), "hello", "", 0, true},
		"full":              {"/dev/full", "hello", "not all there", 1, true},
		"full, and a panic": {"/dev/full", panicked, "the node's kernel panicked", 1, false},
		"unread pipe":       {pipe, "hello", "nobody reads", 1, false},
		"pipe":              {read, "hello", "", 0, true},
		"a folder":          {dir, "hello", "is a directory", 1, false},
		"the kernel":        {link, "hello", "vmlinuz, which would be overwritten", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			temp := emulated(t, c.words)
			var stdout bytes.Buffer
			var err error
			done := make(chan struct{})
			go func() {
				defer close(done)
				err = run(t.Context(), []string{"test", boot, "--json", "--serial", c.serial}, nil, &stdout, io.Discard)
			}()
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Fatal("it still runs after a minute")
			}
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) ||
				exitCode(err) != c.code) {
				t.Errorf("error %v, want %q and code %d", err, c.want, c.code)
			}
			if r := document(t, &stdout); !strings.Contains(r.Error, c.want) || (len(r.Steps) > 0) != c.came {
				t.Errorf("it says %+v, want %q", r, c.want)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
	if after, err := os.ReadFile(kernel); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the kernel is another: %v", err)
	}
}

// document is the one that --json has on standard output.
func document(t *testing.T, stdout *bytes.Buffer) (r tried) {
	t.Helper()
	d := json.NewDecoder(stdout)
	if err := d.Decode(&r); err != nil {
		t.Errorf("no document: %v", err)
	}
	if err := d.Decode(&r); !errors.Is(err, io.EOF) {
		t.Errorf("something is behind the document: %v", err)
	}
	return r
}

// TestTestJSON: with --json what is wrong with a directory is in a document, too.
func TestTestJSON(t *testing.T) {
	boot, missing := made(t), made(t)
	name := filepath.Join(boot, bootdir.KernelFile)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := errors.Join(os.WriteFile(name, data, 0o644),
		os.Remove(filepath.Join(missing, bootdir.ArchiveFile))); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{boot: "vmlinuz is not the file of the manifest",
		missing: "initramfs.img is missing", t.TempDir(): "not a boot directory", "/nowhere": "no such file"} {
		for _, asJSON := range []bool{true, false} {
			args := []string{"test", dir, "--json"}
			if !asJSON {
				args = slices.Delete(args, 2, 3)
			}
			var stdout bytes.Buffer
			err := run(t.Context(), args, nil, &stdout, io.Discard)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %v, want %q", args, err, want)
			}
			if asJSON && document(t, &stdout).Error != err.Error() || !asJSON && stdout.Len() > 0 {
				t.Errorf("%q: printed %s", args, stdout.String())
			}
		}
	}
}
