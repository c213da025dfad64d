package site

import (
	"fmt"
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

func TestWiring(t *testing.T) {
	const head = `{"v":1,"server":"https://10.0.0.1:8443","pin":"` + pin + `"`
	for _, c := range []struct{ name, file, cmdline, want, warns, err string }{
		{"nothing", `}`, "", "0 <nil>   ", "", ""},
		{"the file", `,"vlan":120,"bond":"802.3ad","ip":"10.0.0.5/24"}`, "", "120 802.3ad 10.0.0.5/24  ", "", ""},
		{"ours win", `,"vlan":120,"bond":"802.3ad","ip":"10.0.0.5/24"}`,
			"diskcast.vlan=7 vlan=9 diskcast.bond=active-backup:eth0,eth1 diskcast.ip=dhcp",
			"7 active-backup:eth0,eth1  ", "", ""},
		{"taken away", `,"vlan":120,"bond":"802.3ad"}`, "diskcast.vlan=none diskcast.bond=none", "0 <nil>  ", "", ""},
		{"the kernel's and dracut's", `}`,
			"ip=10.0.0.5::10.0.0.1:255.255.255.0::eth1:none vlan=eth0.0120:eth0 " +
				"bond=bond0:eth0,eth1:miimon=1,mode=802.3ad",
			"120 802.3ad:eth0,eth1 10.0.0.5/24 eth1", "", ""},
		{"what a PXE loader writes", `}`, "ip=10.0.0.5:10.0.0.1:10.0.0.1:255.255.255.0", "0 <nil>  ", "IPAPPEND", ""},
		{"what is not understood", `}`, "ip=eth0:dhcp vlan=lan bond=bond0", "0 <nil>  ", "no IPv4 address", ""},
		{"a wrong VLAN in the file", `,"vlan":4095}`, "", "", "", "no number from 1 to 4094"},
		{"a wrong bond in the file", `,"bond":"lacp"}`, "", "", "", "none of the modes"},
		{"a wrong address", `}`, "diskcast.ip=10.0.0.300", "", "", "diskcast.ip= on the kernel's command line"},
		{"a wrong VLAN", `}`, "diskcast.vlan=x", "", "", "no number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "site.json")
			if err := os.WriteFile(path, []byte(head+c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Load(path, c.cmdline)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w := s.Wiring
			got := fmt.Sprint(w.VLAN, " ", w.Bond, " ")
			if w.Static != nil {
				got += w.Static.Addr.String()
			}
			got += " " + w.NIC
			if strings.TrimSpace(got) != strings.TrimSpace(c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if warns := strings.Join(s.Warnings, "\n"); (warns != "") != (c.warns != "") ||
				!strings.Contains(warns, c.warns) {
				t.Errorf("warnings %q, want %q", warns, c.warns)
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
		_ = s.wire(cmdline)
		_ = s.check("file")
	})
}
