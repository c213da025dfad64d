package bootdir

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/diskcast/diskcast/internal/accel"
	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/mkimage/secureboot"
)

func TestScript(t *testing.T) {
	for _, c := range []struct {
		name         string
		content      Content
		kernel, rest string
	}{
		{
			"beside itself, serial console", Content{Release: "6.1", Site: Site{Console: "ttyS0,115200"}},
			"kernel vmlinuz initrd=initramfs.img BOOTIF=01-${netX/mac:hexhyp} console=tty0 console=ttyS0,115200 " +
				contract.Words + " || goto failed",
			"initrd initramfs.img || goto failed",
		},
		{
			"from elsewhere, more words",
			Content{Release: "6.1", BaseURL: "http://10.0.0.1:8080/boot/", Append: "diskcast.shell nomodeset"},
			"kernel http://10.0.0.1:8080/boot/vmlinuz initrd=initramfs.img BOOTIF=01-${netX/mac:hexhyp} console=tty0 " +
				contract.Words + " diskcast.shell nomodeset || goto failed",
			"initrd http://10.0.0.1:8080/boot/initramfs.img || goto failed",
		},
		{
			"by signed iPXE", Content{Release: "6.1", SignedIPXE: &secureboot.SignedIPXE{}},
			"kernel vmlinuz initrd=initramfs.img BOOTIF=01-${netX/mac:hexhyp} console=tty0 " +
				contract.Words + " || goto failed",
			"initrd initramfs.img || goto failed\niseq ${platform} efi || goto ready\nshim shimx64.efi || echo " +
				"diskcast: no shim for the kernel: with Secure Boot on, the firmware refuses it now\n:ready",
		},
		{
			"by signed iPXE, from elsewhere, on arm64", Content{Release: "6.1", Arch: "arm64",
				BaseURL: "http://10.0.0.1/x", SignedIPXE: &secureboot.SignedIPXE{}},
			"kernel http://10.0.0.1/x/vmlinuz initrd=initramfs.img BOOTIF=01-${netX/mac:hexhyp} console=tty0 " +
				contract.Words + " || goto failed",
			"shim http://10.0.0.1/x/shimaa64.efi || echo diskcast: no shim for the kernel: with Secure Boot on, the " +
				"firmware refuses it now",
		},
	} {
		text := Script(&c.content)
		if !strings.HasPrefix(text, "#!ipxe\n") {
			t.Errorf("%s: iPXE would not know it for a script", c.name)
		}
		for _, line := range []string{c.kernel, c.rest, "boot || goto failed"} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s: no line %q in\n%s", c.name, line, text)
			}
		}
		checkLabels(t, text)
	}
	checkLabels(t, Autoexec)
}

// checkLabels finds jumps to nowhere, which iPXE would only find when a node is in trouble.
func checkLabels(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		for i, w := range words {
			if w == "goto" && !strings.Contains(text, "\n:"+words[i+1]+"\n") {
				t.Errorf("no label for %q", strings.TrimSpace(line))
			}
		}
	}
}

// ipxeRefused are the words of command lines that iPXE does not hand on, and why.
var ipxeRefused = map[string]string{
	"a=1 # b": "comment", "#b": "comment", `a=" #b"`: "comment", "a ; b": "ends the command",
	"a && b": "ends the command", "a || b": "ends the command", `a=" ; b"`: "ends the command",
	"a=${netX/mac}": "a setting", "${": "a setting", "a\nboot": "end of a line", "a\rb": "end of a line",
	`a="x  y"`: "one blank", "a=\"x\ty\"": "one blank",
}

// ipxeTaken are command lines that Debian 12's iPXE hands on.
var ipxeTaken = []string{"a#b b=;c ;d x;y a||b &&c d&& $x $", `q="x y" 'one' back\slash \\ -- --help -h it's \`,
	"!x `x` <x >x |x | & $(x) %x *x ~", `\#c $#c "#c"`, "ä=ü €x", ""}

func TestCheckIPXE(t *testing.T) {
	for in, want := range ipxeRefused {
		if err := CheckIPXE(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", in, err, want)
		}
	}
	for _, in := range append(ipxeTaken, "  a  b ", "a\tb") { // between words, one blank or two are the same
		if err := CheckIPXE(in); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// TestIPXEItself: iPXE is the judge, which says of each file what words it was given for it.
func TestIPXEItself(t *testing.T) {
	tool := need.Tool(t, accel.QEMU)
	const ipxe = "/usr/lib/ipxe/ipxe.lkrn"
	if _, err := os.Stat(ipxe); err != nil {
		need.Skip(t, "%v: install the package ipxe", err)
	}
	dir := t.TempDir()
	script, said := filepath.Join(dir, "script"), filepath.Join(dir, "said")
	text := "#!ipxe\ndhcp\n"
	ask := func(words string) {
		text += "imgfree\nimgfetch --name k tftp://10.0.2.2/script " + words + " || echo failed\nimgstat\n"
	}
	for _, words := range ipxeTaken {
		ask(words)
	}
	for words := range ipxeRefused {
		ask(words)
	}
	if err := os.WriteFile(script, []byte(text+"reboot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, "-nodefaults", "-machine", "pc,graphics=off", "-accel", "tcg",
		"-display", "none", "-serial", "file:"+said, "-no-reboot", "-kernel", ipxe, "-initrd", script,
		"-netdev", "user,id=n,tftp="+dir, "-device", "virtio-net-pci,netdev=n,romfile=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	console := strings.NewReplacer("\r", "", "\n", "").Replace(string(data)) // lines end at the screen's edge too
	for _, words := range ipxeTaken {
		if strings.IndexFunc(words, func(r rune) bool { return r > unicode.MaxASCII }) < 0 && words != "" &&
			!strings.Contains(console, ` "`+words+`"`) {
			t.Errorf("iPXE does not hand on %q", words)
		}
	}
	for words := range ipxeRefused {
		if words != "${" && strings.Contains(console, ` "`+words+`"`) { // that has no end, and is nothing to iPXE
			t.Errorf("iPXE hands on %q", words)
		}
	}
	if t.Failed() {
		t.Logf("%q", data)
	}
}

func TestGRUBWords(t *testing.T) {
	for in, want := range map[string]string{
		"a b=1":                      "'a' 'b=1'",
		`dyndbg="file x.c +p" quiet`: "'dyndbg=file x.c +p' 'quiet'",
		"  a;b  $c ":                 "'a;b' '$c'",
		"it's":                       `'it'\''s'`,
		"":                           "",
	} {
		if got := GRUBWords(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestGRUBPath(t *testing.T) {
	for in, want := range map[string]string{
		"http://10.0.0.1:8080/boot/":        "(http,10.0.0.1:8080)/boot",
		"http://boot.example":               "(http,boot.example)",
		"https://boot.example/":             "",
		"http://${next-server}:8080/boot":   "",
		"http://10.0.0.1/${net0/mac}/boot/": "",
		"":                                  "",
	} {
		if got, ok := grubPath(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// GRUB's own checker of scripts is the judge.
func TestGRUBConfigSyntax(t *testing.T) {
	tool := need.Tool(t, "grub-script-check")
	text := GRUBConfig(&Content{Release: "6.1", Append: `a="b c" x=$y it's`, SecureBoot: &secureboot.Loaders{}})
	cmd := exec.Command(tool)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s in\n%s", err, out, text)
	}
}
