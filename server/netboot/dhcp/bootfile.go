package dhcp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/server/netboot"
)

// Files says which boot files there are.
type Files interface {
	Has(name string) bool
	// GRUBCan reports whether the GRUB behind shim has a feature.
	GRUBCan(feature string) bool
}

// Features of GRUB that mkimage looks for, as the boot directory's manifest names them.
const (
	GRUBHTTP  = "http"       // it loads by HTTP too
	GRUBProxy = "proxy_dhcp" // it finds its server where a proxy DHCP server named it
)

// Loader is what machines with UEFI start with. Nothing in their requests says whether Secure Boot is on.
type Loader string

// Loaders.
const (
	Auto     Loader = "auto" // shim where the boot directory has it and its GRUB gets on with this server, else iPXE
	WithIPXE Loader = "ipxe" // refused by firmware with Secure Boot on
	WithShim Loader = "shim" // shim and GRUB: works with Secure Boot on and off
	// WithUKI is the unified kernel image: one file, of which the site's own key may be all that firmware knows.
	WithUKI Loader = "uki"
)

// First-stage files by preference. snponly.efi drives the NIC through the firmware that has just used it, so it works
// with every NIC; ipxe.efi carries drivers of its own, which miss new NICs. undionly.kpxe is the same idea for BIOS.
var (
	biosFiles = []string{"undionly.kpxe", "pxelinux.0"}
	ipxeFiles = []string{"snponly.efi", "ipxe.efi"}
	// shim loads grubx64.efi from where it came itself.
	shimFiles  = []string{"shimx64.efi", "grubx64.efi"}
	otherFiles = []string{"bootx64.efi"}
	ukiFiles   = []string{"node.efi"}
)

// ScriptPath is the path, below the HTTP root, of the script that iPXE is sent to.
const ScriptPath = "/boot/boot.ipxe"

// OwnDisk is the file that a UEFI machine is sent to whose own disk its firmware is to start. There is no such file:
// firmware goes on at once with its next boot device, where an answer without a file makes it ask again for a minute.
// That next device is mostly the network again, by another protocol, for minutes; so GRUB starts the disk where it can,
// and tells the server where it cannot.
const OwnDisk = "own-disk"

// bootFile returns what the client is to load: a TFTP name for PXE, a URL for the others.
func bootFile(c Client, cfg *Config) (string, error) {
	what := cfg.Decide.Of(c.MAC.String())
	if !slices.Contains([]netboot.What{netboot.Agent, netboot.OwnDisk, netboot.Menu, netboot.Memtest}, what) {
		return "", fmt.Errorf("it is to boot %q, of which this server's DHCP knows nothing: nothing is offered to it",
			what)
	}
	base := "http://" + cfg.HTTP.String()
	if c.Kind == IPXE {
		// iPXE also expands ${net0/mac}, but a machine may boot from another NIC than net0.
		return base + ScriptPath + "?mac=" + strings.ReplaceAll(c.MAC.String(), ":", "-"), nil
	}
	var candidates []string
	switch c.Arch {
	case iana.INTEL_X86PC:
		candidates = biosFiles
	// RFC 4578 numbers x86-64 as 9 and byte code as 7; firmware says 7 and means x86-64 (the RFC's erratum 1793).
	case iana.EFI_X86_64, iana.EFI_BC, iana.EFI_X86_64_HTTP:
		var err error
		if candidates, err = uefiFiles(c, what, cfg); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("no boot file for architecture %d (%s): diskcast boots x86-64 machines only", c.Arch,
			c.Arch)
	}
	for _, name := range candidates {
		if !cfg.Files.Has(name) {
			continue
		}
		if c.UEFI() && what == netboot.OwnDisk { // BIOS has no word for it; what iPXE asks next tells it
			name = ownDisk(c, cfg)
		}
		if c.Kind == HTTP {
			return base + "/boot/" + name, nil
		}
		return name, nil
	}
	return "", fmt.Errorf("the boot directory has none of %s: lay it out with mkimage", strings.Join(candidates, ", "))
}

// ownDisk is what a UEFI machine is given that is to boot its own disk: shim and GRUB, whatever the operator chose for
// the way to the agent, where they get on with this server and it is asked what GRUB is to do. Firmware that goes on
// with the disk at once needs no GRUB: it is quicker, and starts the disk in its own way.
func ownDisk(c Client, cfg *Config) string {
	switch starts := cfg.Starts.Of(c.MAC.String()); {
	case cfg.UEFILoader == WithUKI: // shim is nobody's word to firmware that knows the site's key alone
		return OwnDisk
	case starts.AfterPXE && c.Kind == PXE, starts.AfterHTTP && c.Kind == HTTP:
		return OwnDisk
	case starts.Firmware != "", !grubWorks(c, cfg), c.Kind != HTTP && !cfg.TFTP:
		return OwnDisk
	}
	return shimFiles[0]
}

// grubWorks reports whether shim and GRUB are there, and GRUB can go on by the protocol that it came by: without a way
// to its configuration it waits at its prompt for ever.
func grubWorks(c Client, cfg *Config) bool {
	switch {
	case !cfg.Files.Has(shimFiles[0]) || !cfg.Files.Has(shimFiles[1]):
		return false
	case c.Kind == HTTP:
		return cfg.Files.GRUBCan(GRUBHTTP)
	}
	return cfg.Mode != Proxy || cfg.Files.GRUBCan(GRUBProxy)
}

// uefiFiles lists what a UEFI machine may be given.
func uefiFiles(c Client, what netboot.What, cfg *Config) ([]string, error) {
	if cfg.UEFILoader == WithUKI {
		switch {
		case what == netboot.Memtest:
			return nil, errors.New("it is to test its memory, and with --uefi-loader uki UEFI machines start " +
				"nothing but node.efi")
		case !cfg.Files.Has(ukiFiles[0]):
			return nil, errors.New("the boot directory has no node.efi: make it with mkimage --boot-uki")
		}
		return ukiFiles, nil
	}
	if cfg.UEFILoader == WithIPXE {
		return ipxeFiles, nil
	}
	if cfg.UEFILoader == Auto {
		if grubWorks(c, cfg) { // no machine must wait at GRUB's prompt that iPXE could start
			return shimFiles[:1], nil
		}
		return slices.Concat(ipxeFiles, otherFiles), nil
	}
	// In proxy mode an old GRUB does work if the site's DHCP server names this server, which only the operator can
	// know.
	switch {
	case !cfg.Files.Has(shimFiles[0]) || !cfg.Files.Has(shimFiles[1]):
		return nil, fmt.Errorf("the boot directory lacks one of %s: give mkimage --shim and --grub",
			strings.Join(shimFiles, ", "))
	case c.Kind == HTTP && !cfg.Files.GRUBCan(GRUBHTTP): // GRUB goes on by the protocol that it came by
		return nil, errors.New("the boot directory's GRUB cannot load by HTTP: have the machine boot by PXE over " +
			"IPv4, or give mkimage the GRUB of Debian 13 or later with --grub")
	}
	return shimFiles[:1], nil
}
