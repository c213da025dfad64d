package bootdir

import (
	"os/exec"
	"strings"
	"testing"

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
