// Package bootdir is what mkimage, which makes a boot directory, and the server, which hands it out, agree on: the
// manifest and the settings in it.
package bootdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ManifestFile is the name of the manifest in a boot directory.
const ManifestFile = "manifest.json"

// UKIFile is the name of the unified kernel image in a boot directory, which UEFI firmware loads itself.
const UKIFile = "node.efi"

// SignedDir is the folder, in a boot directory, of an iPXE that its makers signed, with the shim that starts it.
const SignedDir = "sb"

// SignedIPXE are the files that firmware with Secure Boot starts such an iPXE by, the best first.
var SignedIPXE = []string{SignedDir + "/snponly-shim.efi", SignedDir + "/ipxe-shim.efi"}

// AutoexecFile is what such an iPXE looks for beside itself before it asks DHCP.
const AutoexecFile = SignedDir + "/autoexec.ipxe"

// Memory tests that menus offer where a boot directory has them: Memtest86+, for BIOS and for UEFI.
const (
	MemtestBIOS = "memtest.bin"
	MemtestUEFI = "memtest.efi"
)

// MaxManifest bounds, in bytes, a manifest; the names of all modules of a kernel take 100 KB.
const MaxManifest = 16 << 20

// Site is /etc/diskcast/site.json of the node.
type Site struct {
	V       int    `json:"v"`
	Server  string `json:"server,omitempty"`  // https://10.0.0.1:8443
	Pin     string `json:"pin,omitempty"`     // sha256: and hex: the server's key
	Console string `json:"console,omitempty"` // ttyS0,115200
	VLAN    int    `json:"vlan,omitempty"`    // 1 to 4094
	Bond    string `json:"bond,omitempty"`    // 802.3ad, or MODE:NIC,NIC: internal/wiring
	IP      string `json:"ip,omitempty"`      // as the kernel's ip=
}

// Manifest lists a boot directory: manifest.json.
type Manifest struct {
	V        int      `json:"v"`
	Arch     Arch     `json:"arch,omitempty"` // empty: amd64
	Kernel   string   `json:"kernel"`         // release
	Cmdline  string   `json:"cmdline"`        // what every node is started with, beside what only it has
	Site     Site     `json:"site"`
	Userland string   `json:"userland"` // sha256 of the embedded archive
	Modules  []string `json:"modules"`
	Firmware []string `json:"firmware,omitempty"`
	// For names the machines for whose hardware the modules were picked; others may lack a driver. Empty: for all.
	For []string `json:"for,omitempty"`
	// Sources are the packages that parts of the directory came from; parts from plain files have none.
	Sources []Source `json:"sources,omitempty"`
	// what the server must know of the GRUB behind shim; nil without one
	GRUB      *GRUB           `json:"grub,omitempty"`
	Files     map[string]File `json:"files"`
	Unpacked  int64           `json:"unpacked"`  // bytes of memory that the archive takes on a node
	Generator string          `json:"generator"` // mkimage and its release
}

// Words are the kernel's words of every node, whoever made the directory; consoles are before them.
const Words = earlierWords + " cryptomgr.notests init_on_alloc=0"

// earlierWords are those of releases before.
const earlierWords = "panic=60 quiet mitigations=off"

// Added are the words that who made the directory added for his machines (mkimage --append). They cannot be told, and
// ok is false, where a release with other words made it.
func (m *Manifest) Added() (words string, ok bool) {
	before, after, ok := strings.Cut(m.Cmdline+" ", Words+" ")
	if !ok {
		before, after, ok = strings.Cut(m.Cmdline+" ", earlierWords+" ")
	}
	for _, w := range strings.Fields(before) {
		ok = ok && strings.HasPrefix(w, "console=")
	}
	if !ok {
		return "", false
	}
	return strings.TrimSpace(after), true
}

// Source is a package of a distribution, of which the directory has a part.
type Source struct {
	Part    string `json:"part"`   // what was taken from it: kernel, modules, firmware, shim or grub
	Format  string `json:"format"` // of the package: deb, rpm, arch or apk
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Arch    string `json:"arch,omitempty"`
}

// GRUB is what the manifest says of GRUB.
type GRUB struct {
	Version   string `json:"version,omitempty"`
	HTTP      bool   `json:"http"`       // it can load by HTTP, so that a machine can start it by UEFI HTTP boot
	ProxyDHCP bool   `json:"proxy_dhcp"` // it finds its server beside the site's DHCP server
}

// File is one file of the directory.
type File struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// ReadManifest reads a manifest of at most MaxManifest bytes.
func ReadManifest(r io.Reader) (*Manifest, error) {
	var m Manifest
	d := json.NewDecoder(io.LimitReader(r, MaxManifest))
	err := d.Decode(&m)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%s is cut off: make the directory again with mkimage", ManifestFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no manifest of a boot directory: %w: make the directory again with mkimage",
			ManifestFile, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is something behind its end: it is damaged", ManifestFile)
	}
	if m.V == 0 {
		return nil, fmt.Errorf("%s is no manifest of a boot directory, it has no version: make the directory again "+
			"with mkimage", ManifestFile)
	}
	if m.V != 1 {
		return nil, fmt.Errorf("%s has version %d; this program reads version 1", ManifestFile, m.V)
	}
	return &m, nil
}
