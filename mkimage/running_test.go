package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/internal/testenv/awaited"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/mkimage/machine"
)

func runMachine(t *testing.T, args ...string) (code int, text string) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCommand(testUserland)
	cmd.SetArgs(append([]string{"run"}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	if err == nil {
		return 0, out.String()
	}
	return exitCode(err), out.String() + err.Error()
}

func TestRunRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"--image '' is empty":          {"--disk", "b", "--image", ""},
		"give --image or --disk":       {},
		"--image or --disk":            {"--image", "a", "--disk", "b"},
		"are for --image":              {"--disk", "b", "--store", "s"},
		"neither bios nor uefi":        {"--disk", "b", "--firmware", "efi"},
		"--memory is":                  {"--disk", "b", "--memory", "1"},
		"more than nothing":            {"--disk", "b", "--time", "0s"},
		"a command needs --until":      {"--disk", "b", "--", "true"},
		"stands behind --":             {"--disk", "b", "--until", "login", "extra"},
		"--until: error parsing":       {"--disk", "b", "--until", "("},
		"fits a console that says not": {"--disk", "b", "--fail", "a*"},
		`--forward "80" is not`:        {"--disk", "b", "--forward", "80"},
		`--forward "1:0" is not`:       {"--disk", "b", "--forward", "1:0"},
	} {
		if code, text := runMachine(t, args...); code != 2 || !strings.Contains(text, want) {
			t.Errorf("%v: code %d, %s; want %q", args, code, text, want)
		}
	}
}

// TestRunDisks: what is no disk is refused, and not waited for.
func TestRunDisks(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for disk, want := range map[string]string{pipe: "neither a file nor a block device", "/nowhere": "no such file",
		"/dev/zero": "neither a file nor a block device", t.TempDir(): "neither a file nor a block device",
		file("short", make([]byte, 300)):                                      "too short for a disk",
		file("vmdk", append([]byte("KDMV"), make([]byte, 4096)...)):           "qemu-img convert",
		file("gz", append([]byte("\x1f\x8b\x08\x00"), make([]byte, 4096)...)): "neither a raw disk nor a qcow2 file",
		file("cut", qcow2(0)[:512]):                                           "qcow2",
		file("backed", qcow2(0x200)):                                          "it has a backing file"} {
		if code, text := runMachine(t, "--disk", disk); code != 1 || !strings.Contains(text, want) {
			t.Errorf("%s: code %d, %s; want %q", disk, code, text, want)
		}
	}
}

// qcow2 is an empty file of that format, version 2, for a disk of 1 MiB (QEMU's docs/interop/qcow2.txt): the offset and
// the length of a backing file's name, clusters of 64 KiB, the first table at 128 KiB.
func qcow2(backing uint64) []byte {
	f := make([]byte, 3<<16)
	copy(f, "QFI\xfb")
	be := binary.BigEndian
	be.PutUint32(f[4:], 2)
	be.PutUint64(f[8:], backing)
	if backing != 0 {
		be.PutUint32(f[16:], uint32(copy(f[backing:], "/etc/passwd")))
	}
	be.PutUint32(f[20:], 16)
	be.PutUint64(f[24:], 1<<20)
	be.PutUint32(f[36:], 1)
	be.PutUint64(f[40:], 2<<16)
	be.PutUint64(f[48:], 1<<16) // the reference counts
	be.PutUint32(f[56:], 1)
	return f
}

// TestRunFirmware: without a word of the operator's the disk's table chooses.
func TestRunFirmware(t *testing.T) {
	need.Tools(t, "sfdisk")
	for want, script := range map[string]string{
		"uefi": "label: gpt\nsize=4M, type=uefi\n",
		"":     "label: gpt\nsize=1M, type=21686148-6449-6E6F-744E-656564454649\nsize=4M, type=uefi\n",
	} {
		disk := filepath.Join(t.TempDir(), "disk")
		if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 16<<20)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sfdisk", "-q", disk)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sfdisk: %v: %s", err, out)
		}
		o, m := runOptions{disk: disk}, &machine.Options{}
		if err := o.look(m); err != nil || o.firmware != want || m.Format != "raw" {
			t.Errorf("%q: %q, %q, %v", script, o.firmware, m.Format, err)
		}
		if err := os.Truncate(disk, 8<<20); err != nil {
			t.Fatal(err)
		}
		if err := o.look(m); err == nil || !strings.Contains(err.Error(), "truncate -s 16777216 "+disk) {
			t.Errorf("%q, cut off: %v", script, err)
		}
	}
}

// TestScreen: what only terminals are told is left out, however the console's words come in pieces.
func TestScreen(t *testing.T) {
	const said, want = "\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\r\n\x1b(B[  \x1b[0;32mOK\x1b[0m  ] up \xe2\x9c\x93\r\n\x07",
		"SeaBIOS\n[  OK  ] up ✓\n"
	for n := 1; n < len(said); n++ {
		var out bytes.Buffer
		s := newScreen(&out)
		for rest := said; rest != ""; {
			k := min(n, len(rest))
			if _, err := s.Write([]byte(rest[:k])); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		if out.String() != want {
			t.Fatalf("in pieces of %d: %q, want %q", n, out.String(), want)
		}
	}
}

// TestRunChildren: when the time is over nothing of the command is left.
func TestRunChildren(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("over")
	ended := make(chan error, 1)
	go func() {
		ended <- runBeside(ctx, []string{"sh", "-c", "sleep 600 & echo $! >" + name + "; wait"}, os.Stdout, os.Stderr)
	}()
	var pid int
	err = pipe.SetReadDeadline(time.Now().Add(time.Minute))
	if err == nil {
		_, err = fmt.Fscanln(pipe, &pid)
	}
	if err != nil {
		t.Fatal(err)
	}
	child := awaited.Find(t, pid)
	cancel(over)
	if err := <-ended; !errors.Is(err, over) {
		t.Errorf("got %v, want %v", err, over)
	}
	child.Ends(time.Minute)
}

// TestRunSerialFull: a console's file that takes no more is heard of, and the machine does not count as gone well.
func TestRunSerialFull(t *testing.T) {
	need.Tool(t, accel.QEMU)
	t.Setenv("DISKCAST_ACCEL", "tcg")
	disk := saying(t)
	code, text := runMachine(t, "--disk", disk, "--memory", "32", "--serial", "/dev/full", "--until", "#")
	if code != 1 || strings.Count(text, "no space left") != 2 || !strings.Contains(text, "is not all there") {
		t.Errorf("code %d: %s", code, text)
	}
}

// saying is a disk whose boot sector says "#" on the serial line and stays: mov dx, 0x3f8; mov al, '#'; out dx, al;
// hlt; again.
func saying(t *testing.T) string {
	t.Helper()
	sector := make([]byte, 2<<20)
	copy(sector, "\xba\xf8\x03\xb0#\xee\xf4\xeb\xfd")
	sector[510], sector[511] = 0x55, 0xaa
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, sector, 0o600); err != nil {
		t.Fatal(err)
	}
	return disk
}

// TestRunCodes: what was waited for, a command's own code, and the end of the time each have theirs.
func TestRunCodes(t *testing.T) {
	need.Tool(t, accel.QEMU)
	t.Setenv("DISKCAST_ACCEL", "tcg")
	disk, serial := saying(t), filepath.Join(t.TempDir(), "console.log")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, busy, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{0, "the console said it", []string{"--until", "#"}},
		{0, "the command succeeded", []string{"--until", "#", "--", "true"}},
		{7, "exit status 7", []string{"--until", "#", "--", "sh", "-c", "exit 7"}},
		{1, "--fail waits for", []string{"--fail", "#"}},
		{1, "no machine was started", []string{"--until", "#", "--", "/nowhere/program"}},
		{4, "the time is over: 2s", []string{"--until", "never", "--time", "2s"}},
		{4, "the time is over", []string{"--until", "#", "--time", "6s", "--", "sleep", "60"}},
		{1, "--ovmf: ", []string{"--firmware", "uefi", "--ovmf", "/nowhere,/nowhere"}},
		{1, "--ovmf: ", []string{"--ovmf", "/nowhere,/nowhere"}},
		{2, "--ovmf is for", []string{"--firmware", "bios", "--ovmf", "/nowhere,/nowhere"}},
		{2, "names port 9 of this machine twice", []string{"--forward", "9:80", "--forward", "9:81"}},
		{1, "name another port", []string{"--forward", busy + ":80"}},
	} {
		args := append([]string{"--disk", disk, "--memory", "32", "--serial", serial}, c.args...)
		code, text := runMachine(t, args...)
		if code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%v: code %d, %s; want %d, %q", c.args, code, text, c.code, c.want)
		}
	}
	if said, err := os.ReadFile(serial); err != nil || strings.Contains(string(said), "\x00") {
		t.Errorf("the console's file: %v", err)
	}
	code, text := runMachine(t, "--disk", "/nowhere")
	if code != 1 || !strings.Contains(text, "--disk: stat /nowhere") {
		t.Errorf("no disk: code %d, %s", code, text)
	}
}

// TestRunOverwrites: what the machine is made of is not the console's file, and without a machine none is written.
func TestRunOverwrites(t *testing.T) {
	need.Tool(t, accel.QEMU)
	t.Setenv("DISKCAST_ACCEL", "tcg")
	disk := saying(t)
	dir := t.TempDir()
	hard, soft, log, pipe := filepath.Join(dir, "hard"), filepath.Join(dir, "soft"), filepath.Join(dir, "log"),
		filepath.Join(dir, "pipe")
	was, err := os.ReadFile(disk)
	err = errors.Join(err, os.Link(disk, hard), os.Symlink(disk, soft), unix.Mkfifo(pipe, 0o600),
		os.WriteFile(log, []byte("of yesterday"), 0o600))
	two := filepath.Join(dir, "two")
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, "one"), []byte("kept"), 0o600),
		os.Link(filepath.Join(dir, "one"), two)); err != nil {
		t.Fatal(err)
	}
	if code, text := runMachine(t, "--disk", disk, "--serial", two, "--until", "#"); code != 2 ||
		!strings.Contains(text, "has other names") {
		t.Errorf("a file with two names: code %d, %s", code, text)
	}
	for _, name := range []string{disk, hard, soft} {
		code, text := runMachine(t, "--disk", disk, "--serial", name, "--until", "#", "--time", "1m")
		if code != 2 || !strings.Contains(text, "would be overwritten") {
			t.Errorf("--serial %s: code %d, %s", name, code, text)
		}
	}
	if is, err := os.ReadFile(disk); err != nil || !bytes.Equal(is, was) {
		t.Errorf("the disk is not as it was: %v", err)
	}
	if code, text := runMachine(t, "--disk", disk, "--serial", pipe, "--until", "#"); code != 1 ||
		!strings.Contains(text, "is a pipe that nobody reads") {
		t.Errorf("a pipe: code %d, %s", code, text)
	}
	if code, text := runMachine(t, "--disk", "/nowhere", "--serial", log); code != 1 {
		t.Errorf("no disk: code %d, %s", code, text)
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "of yesterday" {
		t.Errorf("without a machine the last log is %q, %v", text, err)
	}
}

// TestRunReaderGone: who reads the console goes away; the machine runs on, that is told, and nothing is left.
func TestRunReaderGone(t *testing.T) {
	need.Tool(t, accel.QEMU)
	temp := t.TempDir()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out.Close()
	program := filepath.Join(temp, "program")
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, program)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "run", "--disk", saying(t), "--memory", "32", "--until", "#", "--time", "1m")
	cmd.Env = append(os.Environ(), "DISKCAST_ACCEL=tcg", "TMPDIR="+temp)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = in, &said
	err = cmd.Run()
	in.Close()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "the machine runs on: ") {
		t.Errorf("%v: %s", err, &said)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestTestRefuses: what is wrong with the words is said before a server is started.
func TestTestRefuses(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	out := filepath.Join(t.TempDir(), "boot")
	if text, err := mkimage(t, "--kernel", kernel, "--ipxe", ipxe, "--out", out); err != nil {
		t.Fatal(err, text)
	}
	for want, args := range map[string][]string{
		"more than nothing":         {"test", out, "--time", "0s"},
		`--disk "sata" is none of`:  {"test", out, "--disk", "sata"},
		`--card "token-ring" is no`: {"test", out, "--card", "token-ring"},
		"accepts 1 arg":             {"test"},
	} {
		if text, err := command(t, args...); err == nil || exitCode(err) != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, %s; want %q", args, err, text, want)
		}
	}
	archive := filepath.Join(out, "initramfs.img")
	if err := os.Truncate(archive, 1000); err != nil {
		t.Fatal(err)
	}
	if text, err := command(t, "test", out); err == nil ||
		!strings.Contains(err.Error(), "initramfs.img has 1000 bytes") {
		t.Errorf("a cut archive: %v, %s", err, text)
	}
	if _, err := command(t, "test", t.TempDir()); err == nil {
		t.Error("a folder that is no boot directory was tried")
	}
}
