package dhcp

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/iana"
)

// Files says which boot files there are.
type Files interface {
	Has(name string) bool
}

// First-stage files by preference. snponly.efi drives the NIC through the firmware that has just used it, so it works
// with every NIC; ipxe.efi carries drivers of its own, which miss new NICs. undionly.kpxe is the same idea for BIOS.
var (
	biosFiles = []string{"undionly.kpxe", "pxelinux.0"}
	uefiFiles = []string{"snponly.efi", "ipxe.efi", "shimx64.efi", "bootx64.efi"}
)

// ScriptPath is the path, below the HTTP root, of the script that iPXE is sent to.
const ScriptPath = "/boot/boot.ipxe"

// bootFile returns what the client is to load: a TFTP name for PXE, a URL for the others.
func bootFile(c Client, files Files, http netip.AddrPort) (string, error) {
	base := "http://" + http.String()
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
		candidates = uefiFiles
	default:
		return "", fmt.Errorf("no boot file for architecture %d (%s): diskcast boots x86-64 machines only", c.Arch, c.Arch)
	}
	for _, name := range candidates {
		if !files.Has(name) {
			continue
		}
		if c.Kind == HTTP {
			return base + "/boot/" + name, nil
		}
		return name, nil
	}
	return "", fmt.Errorf("the boot directory has none of %s: lay it out with mkimage", strings.Join(candidates, ", "))
}
