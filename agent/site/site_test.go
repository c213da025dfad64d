package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const pin = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
const otherPin = "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

func TestLoad(t *testing.T) {
	file := `{"v":1,"server":"https://10.0.0.1:8443","pin":"` + pin + `","console":"ttyS0,115200","later":true}`
	tests := []struct {
		name, file, cmdline string
		want                Settings
		err                 string
	}{
		{"the file alone", file, "quiet BOOTIF=nonsense",
			Settings{V: 1, Server: "https://10.0.0.1:8443", Pin: pin, Console: "ttyS0,115200"}, ""},
		{"the command line wins", file, "diskcast.server=https://[fd00::1]:1 diskcast.pin=" + otherPin +
			" diskcast.debug",
			Settings{V: 1, Server: "https://[fd00::1]:1", Pin: otherPin, Console: "ttyS0,115200", Debug: true}, ""},
		{"the command line alone", "", "diskcast.server=https://s:1 diskcast.pin=" + pin + " diskcast.debug=0",
			Settings{V: 1, Server: "https://s:1", Pin: pin}, ""},
		{"nothing", "", "quiet", Settings{}, "no server is known"},
		{"plain http", "", "diskcast.server=http://s:1 diskcast.pin=" + pin, Settings{}, "not of the form https://"},
		{"no pin", "", "diskcast.server=https://s:1", Settings{}, "no pin is set"},
		{"short pin", "", "diskcast.server=https://s:1 diskcast.pin=sha256:00", Settings{}, "64 hex digits"},
		{"another version", `{"v":2}`, "", Settings{}, "version 2"},
		{"no JSON", `{`, "", Settings{}, "not valid JSON"},
		{"too large", strings.Repeat(" ", maxFile+1), "", Settings{}, "more than settings need"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "site.json")
			if tt.file != "" {
				if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Load(path, tt.cmdline)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestParseBOOTIF(t *testing.T) {
	for in, want := range map[string]string{
		"01-52-54-00-AA-bb-cc": "52:54:00:aa:bb:cc", // PXELINUX, iPXE's ${net0/mac:hexhyp} with 01-
		"52-54-00-aa-bb-cc":    "52:54:00:aa:bb:cc",
		"52:54:00:aa:bb:cc":    "52:54:00:aa:bb:cc", // iPXE's ${net0/mac}
		"01-52:54:00:aa:bb:cc": "52:54:00:aa:bb:cc", // GRUB's 01-$net_default_mac
		"":                     "",
		"20-52-54-00-aa-bb-cc": "", // InfiniBand
		"eth0":                 "",
	} {
		if got := ParseBOOTIF(in).String(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	got := Words("a  b=\"c d\"\te=\"\" \"\" f\n")
	if diff := cmp.Diff([]string{"a", "b=c d", "e=", "", "f"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"v":1,"server":"https://a:1","pin":"`+pin+`"}`),
		"BOOTIF=01-52-54-00-aa-bb-cc diskcast.debug=\"x y\"")
	f.Fuzz(func(t *testing.T, raw []byte, cmdline string) {
		s := &Settings{V: Version}
		if s.parse(raw) != nil {
			return
		}
		s.override(cmdline)
		_ = s.check("file")
	})
}
