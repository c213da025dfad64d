package boot

import (
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pin/tftp/v3"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/netboot"
)

// two makes boot directories for both architectures, in which every file says whose it is.
func two(t *testing.T, arches ...bootdir.Arch) *Dir {
	t.Helper()
	d := NewDir(filepath.Join(t.TempDir(), "boot"))
	for _, arch := range arches {
		for name, text := range map[string]string{Script: "#!ipxe\n# ", GRUBConfig: "# ", arch.Shim(): "shim of ",
			bootdir.ManifestFile: `{"v":1,"arch":"` + string(arch) + `","grub":{"http":true}}`} {
			path := filepath.Join(arch.Beside(d.Path()), name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if name != bootdir.ManifestFile {
				text += string(arch) + "\n"
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return d
}

// TestArches asks by HTTP and by TFTP for files of both architectures.
func TestArches(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	both := []bootdir.Arch{bootdir.AMD64, bootdir.ARM64}
	for _, c := range []struct {
		name string
		has  []bootdir.Arch
		want map[string]string // nothing: not there
	}{
		{"both", both, map[string]string{
			"shimx64.efi": "shim of amd64\n", "arm64/shimaa64.efi": "shim of arm64\n", "arm64/shimx64.efi": "",
			`\arm64\shimaa64.efi`: "shim of arm64\n", "shimaa64.efi": "", "arm64/../boot.ipxe": "",
			"arm64/arm64/shimaa64.efi": "",
			GRUBConfig:                 grubOther + "# amd64\n", "arm64/" + GRUBConfig: "# arm64\n",
			"arm64/boot.ipxe":                 "#!ipxe\n# arm64\n",
			"arm64/grub/node-" + mac + ".cfg": NewDir("").Of(bootdir.ARM64).grubDisk(mac, netboot.Start{}) + grubLocal,
			"grub/node-" + mac + ".cfg":       NewDir("").grubDisk(mac, netboot.Start{}) + grubLocal,
		}},
		{"amd64 alone", both[:1], map[string]string{GRUBConfig: "# amd64\n", "arm64/shimaa64.efi": ""}},
		{"arm64 alone", both[1:], map[string]string{GRUBConfig: grubOther + grubNone, "shimx64.efi": "",
			"arm64/" + GRUBConfig: "# arm64\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := two(t, c.has...)
			h := &Handler{Dir: d, Log: slog.New(slog.DiscardHandler), Decide: decide}
			client := tftpClient(t, d)
			for name, want := range c.want {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/boot/"+strings.ReplaceAll(name, `\`, "/"), nil))
				if got := w.Body.String(); w.Code == 200 && got != want || w.Code != 200 && want != "" {
					t.Errorf("%s by HTTP: %d %q, not %q", name, w.Code, got, want)
				}
				var got strings.Builder
				from, err := client.Receive(name, "octet")
				if err == nil {
					_, err = from.WriteTo(&got)
				}
				if (err == nil) != (want != "") || got.String() != want {
					t.Errorf("%s by TFTP: %q, %v, not %q", name, got.String(), err, want)
				}
			}
			for _, arch := range both {
				want := strings.Contains(c.name, string(arch)) || len(c.has) == 2
				if got := d.GRUBCan(arch, "http"); got != want {
					t.Errorf("GRUB of %s loads by HTTP: %v", arch, got)
				}
			}
		})
	}
}

func tftpClient(t *testing.T, d *Dir) *tftp.Client {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := NewTFTP(d, func() (*net.UDPConn, error) { return conn, nil }, 0, decide, nil, nil,
		slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	<-s.Ready()
	t.Cleanup(func() { // after the test's context has ended
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err := tftp.NewClient(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestARM64 holds that what is said to a GRUB of arm64 names no program of amd64, and that GRUB can read it.
func TestARM64(t *testing.T) {
	text := NewDir("").Of(bootdir.ARM64).grubDisk("52:54:00:00:00:01", netboot.Start{})
	if strings.Contains(strings.ToLower(text), "x64") || !strings.Contains(text, "/EFI/*/shimaa64.efi") ||
		!strings.Contains(text, "/EFI/BOOT/BOOTAA64.EFI") {
		t.Errorf("GRUB of arm64 is told\n%s", text)
	}
	check := need.Tool(t, "grub-script-check")
	for _, script := range []string{text + grubLocal, grubOther, grubOther + grubNone} {
		cmd := exec.Command(check)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("grub-script-check: %v\n%s%s", err, out, script)
		}
	}
}

// TestMisplaced has a directory whose manifest is of the other architecture count as not there, and say so, until it is
// laid out anew.
func TestMisplaced(t *testing.T) {
	d := two(t, bootdir.AMD64, bootdir.ARM64)
	for _, arch := range []bootdir.Arch{bootdir.AMD64, bootdir.ARM64} {
		other, shim := bootdir.ARM64, arch.Prefix()+arch.Shim()
		if arch == other {
			other = bootdir.AMD64
		}
		manifest := filepath.Join(arch.Beside(d.Path()), bootdir.ManifestFile)
		for _, c := range []struct {
			is   bootdir.Arch
			text string
			well bool
		}{
			{arch, "", true}, {other, "", false}, {"", "", arch == bootdir.AMD64}, {"", "not read", true},
			{arch, "", true},
		} {
			text := c.text
			if text == "" {
				text = `{"v":1,"arch":"` + string(c.is) + `","grub":{"http":true}}`
			}
			if err := os.WriteFile(manifest+".new", []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(manifest+".new", manifest); err != nil {
				t.Fatal(err)
			}
			why := d.Misplaced(arch)
			if d.Has(shim) != c.well || (why == "") != c.well || !c.well && !strings.Contains(why, "mkimage") {
				t.Errorf("%s says %q %s: it has its shim: %v, and %q", manifest, c.is, c.text, d.Has(shim), why)
			}
			if c.text == "" && d.GRUBCan(arch, "http") != c.well {
				t.Errorf("%s says %q: GRUB can: %v", manifest, c.is, !c.well)
			}
			found, err := d.Of(arch).Check(Self{})
			told := len(found) > 0 && strings.Contains(found[0].Words, "was made from a kernel for")
			if c.text == "" && (err != nil || told == c.well) {
				t.Errorf("%s says %q: found are %v, %v", manifest, c.is, found, err)
			}
		}
	}
}
