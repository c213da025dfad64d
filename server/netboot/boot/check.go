package boot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// Finding is something in the boot directory with which machines cannot come to this server.
type Finding struct {
	Words string // what is wrong, and which command mends it
	Fails Fails
}

// Fails says which machines cannot come to the agent because of a Finding.
type Fails string

// Who fails.
const (
	FailsAll  Fails = "every machine"
	FailsBIOS Fails = "BIOS machines"
	FailsUEFI Fails = "UEFI machines"
)

// Fits reports whether a machine of the firmware kind ("bios", "uefi" or empty when not known) is among them.
func (f Fails) Fits(firmware string) bool {
	switch f {
	case FailsBIOS:
		return firmware != "uefi"
	case FailsUEFI:
		return firmware != "bios"
	}
	return true
}

// Self is what the boot directory must lead machines to.
type Self struct {
	Addr netip.AddrPort // of the API
	Pin  string         // of the server's key
	// Lookup resolves a host name; nil is the resolver of this machine.
	Lookup func(host string) ([]string, error)
}

// Manifest reads the directory's manifest.
func (d *Dir) Manifest() (*bootdir.Manifest, error) {
	f, _, err := d.Open(bootdir.ManifestFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := bootdir.ReadManifest(f)
	if err != nil {
		return nil, fmt.Errorf("boot directory %s: %w", d.path, err)
	}
	return m, nil
}

// Check compares the directory with the server that hands it out: the server and the pin that are built into it, and
// its files with its manifest. An error means that there is no boot directory that could be looked at.
func (d *Dir) Check(self Self) ([]Finding, error) {
	m, err := d.Manifest()
	if err != nil {
		return nil, err
	}
	var out []Finding
	all := func(format string, a ...any) { out = append(out, Finding{fmt.Sprintf(format, a...), FailsAll}) }
	if arch := m.Arch.OrDefault(); arch != d.arch {
		all("%s; no machine is sent to it until then", d.misplacedWords(arch))
	}
	server, pin := settings(m)
	again := fmt.Sprintf("make it again with `mkimage --server https://%v --pin %s ... --out %s`", self.Addr, self.Pin,
		d.path)
	switch why := self.elsewhere(server); {
	case server == "":
		all("no server is named in it, so nodes do not know where to ask: %s", again)
	case why != "":
		all("nodes are told to ask %s, %s: %s", server, why, again)
	}
	switch {
	case pin == "":
		all("no pin is in it, so nodes trust no server: %s", again)
	case pin != self.Pin:
		all("its pin is %s, and this server's key has %s: nodes will take this server for another one; %s", pin,
			self.Pin, again)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if err := d.same(name, m.Files[name]); err != nil {
			all("%v: somebody changed it by hand, or it is half copied; %s", err, again)
		}
	}
	return append(out, missing(m)...), nil
}

// settings are those that a node goes by: its command line comes before site.json.
func settings(m *bootdir.Manifest) (server, pin string) {
	server, pin = m.Site.Server, m.Site.Pin
	for _, w := range strings.Fields(m.Cmdline) {
		if v, ok := strings.CutPrefix(w, "diskcast.server="); ok {
			server = v
		}
		if v, ok := strings.CutPrefix(w, "diskcast.pin="); ok {
			pin = v
		}
	}
	return server, pin
}

// elsewhere says why a URL does not lead to this server; empty when it does.
func (s *Self) elsewhere(server string) string {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return "which is no address of a server"
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	if port != fmt.Sprint(s.Addr.Port()) {
		return fmt.Sprintf("and this server listens on port %d", s.Addr.Port())
	}
	addrs := []string{u.Hostname()}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		lookup := s.Lookup
		if lookup == nil {
			lookup = net.LookupHost
		}
		if addrs, err = lookup(u.Hostname()); err != nil {
			return "" // only the nodes' own resolver knows
		}
	}
	for _, a := range addrs {
		if ip, err := netip.ParseAddr(a); err == nil && ip.Unmap() == s.Addr.Addr().Unmap() {
			return ""
		}
	}
	return fmt.Sprintf("and this server is %v", s.Addr.Addr())
}

// same compares a file with what the manifest says of it.
func (d *Dir) same(name string, want bootdir.File) error {
	f, st, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there", name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if st.Size() != want.Size {
		return fmt.Errorf("%s has %d bytes instead of %d", name, st.Size(), want.Size)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if hex.EncodeToString(h.Sum(nil)) != want.SHA256 {
		return fmt.Errorf("%s is not the file of the manifest", name)
	}
	return nil
}

// missing names first stages that no manifest promised.
func missing(m *bootdir.Manifest) []Finding {
	var out []Finding
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, ok := m.Files[n]; return ok })
	}
	arch := m.Arch.OrDefault()
	if !has("undionly.kpxe") && arch == bootdir.AMD64 {
		out = append(out, Finding{"there is no undionly.kpxe in it, with which BIOS machines start: " +
			"give mkimage the folder of iPXE with --ipxe", FailsBIOS})
	}
	if !has("snponly.efi", "ipxe.efi", arch.Shim(), "node.efi") {
		out = append(out, Finding{"there is neither iPXE nor shim for UEFI in it: give mkimage --ipxe, or --shim and " +
			"--grub", FailsUEFI})
	}
	return out
}
