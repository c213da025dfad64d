package boot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
)

const ourPin = "sha256:aaaa"

// layOut makes a boot directory, sound but for what change does to its manifest.
func layOut(t *testing.T, change func(*bootdir.Manifest)) string {
	t.Helper()
	dir := t.TempDir()
	m := &bootdir.Manifest{V: 1, Kernel: "6.1.0", Cmdline: "quiet", Files: map[string]bootdir.File{},
		Site: bootdir.Site{V: 1, Server: "https://10.0.0.1:8443", Pin: ourPin}}
	for _, name := range []string{"vmlinuz", "initramfs.img", "undionly.kpxe", "snponly.efi"} {
		s := sha256.Sum256([]byte(name))
		m.Files[name] = bootdir.File{Size: int64(len(name)), SHA256: hex.EncodeToString(s[:])}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(m)
	}
	b, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, bootdir.ManifestFile), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bootdir.Manifest)
		after  func(dir string) error
		want   string // part of the one finding's words; empty: none
		fails  Fails
	}{
		"sound":             {},
		"a name that is us": {change: func(m *bootdir.Manifest) { m.Site.Server = "https://boot.lab:8443" }},
		"a name that only nodes can resolve": {change: func(m *bootdir.Manifest) {
			m.Site.Server = "https://elsewhere.lab:8443"
		}},
		"a name that is another": {change: func(m *bootdir.Manifest) { m.Site.Server = "https://other.lab:8443" },
			want: "this server is 10.0.0.1", fails: FailsAll},
		"another server": {change: func(m *bootdir.Manifest) { m.Site.Server = "https://10.0.0.9:8443" },
			want: "told to ask https://10.0.0.9:8443", fails: FailsAll},
		"another port": {change: func(m *bootdir.Manifest) { m.Site.Server = "https://10.0.0.1:9443" },
			want: "listens on port 8443", fails: FailsAll},
		"no server": {change: func(m *bootdir.Manifest) { m.Site.Server = "" }, want: "no server is named",
			fails: FailsAll},
		"no URL": {change: func(m *bootdir.Manifest) { m.Site.Server = "10.0.0.1" }, want: "no address of a server",
			fails: FailsAll},
		"another key": {change: func(m *bootdir.Manifest) { m.Site.Pin = "sha256:bbbb" },
			want: "mkimage --server https://10.0.0.1:8443 --pin sha256:aaaa", fails: FailsAll},
		"the command line comes first": {change: func(m *bootdir.Manifest) {
			m.Cmdline = "quiet diskcast.pin=sha256:cc"
		}, want: "its pin is sha256:cc", fails: FailsAll},
		"and mends": {change: func(m *bootdir.Manifest) {
			m.Site = bootdir.Site{V: 1}
			m.Cmdline = "diskcast.server=https://10.0.0.1:8443 diskcast.pin=" + ourPin
		}},
		"another kernel": {after: func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "vmlinuz"),
				[]byte("vmlinux"), 0o644)
		},
			want: "vmlinuz is not the file", fails: FailsAll},
		"half an archive": {after: func(dir string) error {
			return os.Truncate(filepath.Join(dir, "initramfs.img"),
				3)
		},
			want: "initramfs.img has 3 bytes instead of 13", fails: FailsAll},
		"a file is gone": {after: func(dir string) error { return os.Remove(filepath.Join(dir, "snponly.efi")) },
			want: "snponly.efi is not there", fails: FailsAll},
		"nothing for BIOS": {change: func(m *bootdir.Manifest) { delete(m.Files, "undionly.kpxe") }, want: "BIOS",
			fails: FailsBIOS},
		"nothing for UEFI": {change: func(m *bootdir.Manifest) { delete(m.Files, "snponly.efi") }, want: "UEFI",
			fails: FailsUEFI},
		"a unified kernel image for UEFI": {change: func(m *bootdir.Manifest) {
			m.Files["node.efi"] = m.Files["snponly.efi"]
			delete(m.Files, "snponly.efi")
		}, after: func(dir string) error {
			return os.Rename(filepath.Join(dir, "snponly.efi"), filepath.Join(dir, "node.efi"))
		}},
		"arm64 has no BIOS": {change: func(m *bootdir.Manifest) {
			m.Arch = bootdir.ARM64
			delete(m.Files, "undionly.kpxe")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := layOut(t, c.change)
			if c.after != nil {
				if err := c.after(dir); err != nil {
					t.Fatal(err)
				}
			}
			lookup := func(host string) ([]string, error) {
				switch host {
				case "boot.lab":
					return []string{"10.0.0.7", "10.0.0.1"}, nil
				case "other.lab":
					return []string{"10.0.0.7"}, nil
				}
				return nil, errors.New("no such host")
			}
			d := NewDir(dir)
			if m, err := d.Manifest(); err == nil {
				d.arch = m.Arch.OrDefault()
			}
			got, err := d.Check(Self{Addr: netip.MustParseAddrPort("10.0.0.1:8443"), Pin: ourPin,
				Lookup: lookup})
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if len(got) != 0 {
					t.Errorf("got %v", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(got[0].Words, c.want) || got[0].Fails != c.fails {
				t.Errorf("got %v, want %q for %s", got, c.want, c.fails)
			}
		})
	}
}

func TestCheckNothingThere(t *testing.T) {
	if _, err := NewDir(filepath.Join(t.TempDir(), "x")).Check(Self{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, bootdir.ManifestFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDir(dir).Check(Self{}); err == nil {
		t.Error("half a manifest was read")
	}
}
