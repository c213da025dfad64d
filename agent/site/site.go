// Package site reads what the operator's site told the node before it had a network: the settings that mkimage put
// into the initramfs, and the kernel command line that overrides them.
package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/internal/wiring"
)

// File is where mkimage puts the settings.
const File = "/etc/diskcast/site.json"

// maxFile bounds, in bytes, a settings file: a few short strings.
const maxFile = 64 << 10

// Version of the settings file that this program reads.
const Version = 1

// Settings of the site.
type Settings struct {
	V       int    `json:"v"`
	Server  string `json:"server"`  // https://10.0.0.1:8443
	Pin     string `json:"pin"`     // sha256: and hex of the server key's SPKI
	Console string `json:"console"` // ttyS0,115200: for messages only, the kernel has its own
	Debug   bool   `json:"debug"`

	// How the node is wired, in the words of internal/wiring; Wiring is what comes of them and the command line.
	VLAN   int             `json:"vlan"`
	Bond   string          `json:"bond"`
	IP     string          `json:"ip"`
	Wiring wiring.Settings `json:"-"`
	// Warnings are words of the command line that were left out.
	Warnings []string `json:"-"`

	// BootMAC is the NIC that the firmware or iPXE booted from, nil when it did not say.
	BootMAC net.HardwareAddr `json:"-"`
}

// Load reads the settings file, which may be absent, and applies the kernel command line to it.
// It refuses settings with which no server could be reached and trusted.
func Load(file, cmdline string) (*Settings, error) {
	s := &Settings{V: Version}
	raw, err := readLimited(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("site settings: %w", err)
	default:
		if err := s.parse(raw); err != nil {
			return nil, fmt.Errorf("site settings %s: %w", file, err)
		}
	}
	s.override(cmdline)
	if err := s.wire(cmdline); err != nil {
		return s, err
	}
	return s, s.check(file)
}

func readLimited(file string) ([]byte, error) {
	fi, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than settings need", file, fi.Size())
	}
	return os.ReadFile(file)
}

func (s *Settings) parse(raw []byte) error {
	if err := json.Unmarshal(raw, s); err != nil {
		return fmt.Errorf("not valid JSON: %w", err)
	}
	if s.V != Version {
		return fmt.Errorf("version %d, this agent reads version %d: build the boot directory with a mkimage of the "+
			"same release", s.V, Version)
	}
	return nil
}

// override applies diskcast.server=, diskcast.pin=, diskcast.debug and BOOTIF= of a kernel command line.
func (s *Settings) override(cmdline string) {
	for _, word := range Words(cmdline) {
		key, value, given := strings.Cut(word, "=")
		switch key {
		case "diskcast.server":
			s.Server = value
		case "diskcast.pin":
			s.Pin = value
		case "diskcast.debug":
			s.Debug = !given || (value != "0" && value != "no" && value != "off")
		case "BOOTIF":
			s.BootMAC = ParseBOOTIF(value)
		}
	}
}

func (s *Settings) check(file string) error {
	if s.Server == "" {
		return fmt.Errorf("no server is known: neither %s nor diskcast.server= on the kernel command line names one; "+
			"make the boot directory again with mkimage --server", file)
	}
	u, err := url.Parse(s.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("server %q is not of the form https://host:port", s.Server)
	}
	if _, err := client.ParsePin(s.Pin); err != nil {
		return fmt.Errorf("the key of server %s cannot be checked: %w; mkimage takes the pin that 'diskcast serve' "+
			"prints at its start", s.Server, err)
	}
	return nil
}

// ParseBOOTIF reads the value of BOOTIF=: a MAC with hyphens or colons, with or without the hardware type 01
// in front as PXELINUX writes it. GRUB gives a mixture: "01-" and a MAC with colons. Anything else is nil.
func ParseBOOTIF(v string) net.HardwareAddr {
	v = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(v)), "-", ":")
	if len(v) == len("01:")+17 && strings.HasPrefix(v, "01:") {
		v = v[3:]
	}
	mac, err := net.ParseMAC(v)
	if err != nil || len(mac) != 6 {
		return nil
	}
	return mac
}

// Words cuts a kernel command line as the kernel does: at blanks outside double quotes, which are dropped.
func Words(cmdline string) []string {
	var words []string
	var word strings.Builder
	quoted, any := false, false
	for _, r := range cmdline {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case !quoted && (r == ' ' || r == '\t' || r == '\n'):
			if any {
				words = append(words, word.String())
				word.Reset()
				any = false
			}
		default:
			word.WriteRune(r)
			any = true
		}
	}
	if any {
		words = append(words, word.String())
	}
	return words
}
