package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/internal/testenv/need"
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
	for disk, want := range map[string]string{pipe: "neither a file nor a block device", "/nowhere": "no such file",
		"/dev/zero": "neither a file nor a block device", t.TempDir(): "too short"} {
		if code, text := runMachine(t, "--disk", disk); code != 1 || !strings.Contains(text, want) {
			t.Errorf("%s: code %d, %s; want %q", disk, code, text, want)
		}
	}
}

// TestRunCodes: what was waited for, a command's own code, and the end of the time each have theirs.
func TestRunCodes(t *testing.T) {
	need.Tool(t, accel.QEMU)
	t.Setenv("DISKCAST_ACCEL", "tcg")
	// A boot sector that says "#" on the serial line and stays: mov dx, 0x3f8; mov al, '#'; out dx, al; hlt; again.
	sector := make([]byte, 2<<20)
	copy(sector, "\xba\xf8\x03\xb0#\xee\xf4\xeb\xfd")
	sector[510], sector[511] = 0x55, 0xaa
	disk, serial := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "console.log")
	if err := os.WriteFile(disk, sector, 0o600); err != nil {
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
	if code != 1 || !strings.Contains(text, "--disk: open /nowhere") {
		t.Errorf("no disk: code %d, %s", code, text)
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
	if _, err := command(t, "test", t.TempDir()); err == nil {
		t.Error("a folder that is no boot directory was tried")
	}
}
