package dhcp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot"
)

// Files says which boot files there are.
type Files interface {
	Has(name string) bool
	// GRUBCan reports whether the GRUB behind an architecture's shim has a feature.
	GRUBCan(arch bootdir.Arch, feature string) bool
	// Misplaced says why the boot files of an architecture are none for its machines; empty where they are.
	Misplaced(arch bootdir.Arch) string
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
	// WithIPXEShim is an iPXE that its makers signed, with their shim; the distribution's shim knows the kernel.
	WithIPXEShim Loader = "ipxe-shim"
	// WithUKI is the unified kernel image: one file, of which the site's own key may be all that firmware knows.
	WithUKI Loader = "uki"
)

// First-stage files by preference. snponly.efi drives the NIC through the firmware that has just used it, so it works
// with every NIC; ipxe.efi carries drivers of its own, which miss new NICs. undionly.kpxe is the same idea for BIOS.
var (
	biosFiles = []string{"undionly.kpxe", "pxelinux.0"}
	ipxeFiles = []string{"snponly.efi", "ipxe.efi"}
	ukiFiles  = []string{"node.efi"}
)

// shimFiles are shim and GRUB: shim loads GRUB from where it came itself.
func shimFiles(arch bootdir.Arch) []string { return []string{arch.Shim(), arch.GRUB()} }

// ScriptPath is the path, below the HTTP root, of the script that iPXE on an architecture is sent to.
func ScriptPath(arch bootdir.Arch) string { return "/boot/" + arch.Prefix() + "boot.ipxe" }

// archOf is the architecture of a client; empty for one of which there are no boot files at all.
func archOf(c Client) bootdir.Arch {
	switch c.Arch {
	// RFC 4578 numbers x86-64 as 9 and byte code as 7; firmware says 7 and means x86-64 (the RFC's erratum 1793).
	case iana.INTEL_X86PC, iana.EFI_X86_64, iana.EFI_BC, iana.EFI_X86_64_HTTP:
		return bootdir.AMD64
	case iana.EFI_ARM64, iana.EFI_ARM64_HTTP:
		return bootdir.ARM64
	}
	return ""
}

// OwnDisk is the file that a UEFI machine is sent to whose own disk its firmware is to start. There is no such file:
// firmware goes on at once with its next boot device, where an answer without a file makes it ask again for a minute.
// That next device is mostly the network again, by another protocol, for minutes; so GRUB starts the disk where it can,
// and tells the server where it cannot.
const OwnDisk = "own-disk"

// BootFile returns what the client is to load: a TFTP name for PXE, a URL for the others.
func BootFile(c Client, cfg *Config) (string, error) {
	what := cfg.Decide.Of(c.MAC.String())
	if !slices.Contains([]netboot.What{netboot.Agent, netboot.OwnDisk, netboot.Menu, netboot.Memtest}, what) {
		return "", fmt.Errorf("it is to boot %q, of which this server's DHCP knows nothing: nothing is offered to it",
			what)
	}
	base := "http://" + cfg.HTTP.String()
	arch := archOf(c)
	if why := cfg.Files.Misplaced(arch); why != "" && arch != "" && (c.Kind != IPXE || what != netboot.OwnDisk) {
		return "", errors.New(why)
	}
	if c.Kind == IPXE {
		// iPXE also expands ${net0/mac}, but a machine may boot from another NIC than net0.
		return base + ScriptPath(arch) + "?mac=" + strings.ReplaceAll(c.MAC.String(), ":", "-"), nil
	}
	candidates := biosFiles
	switch {
	case arch == "":
		return "", fmt.Errorf("no boot file for architecture %d (%s): diskcast boots machines of amd64 and arm64 only",
			c.Arch, c.Arch)
	case c.UEFI():
		var err error
		if candidates, err = uefiFiles(c, arch, what, cfg); err != nil {
			return "", err
		}
	}
	for _, name := range candidates {
		name = arch.Prefix() + name
		if !cfg.Files.Has(name) {
			continue
		}
		if c.UEFI() && what == netboot.OwnDisk { // BIOS has no word for it; what iPXE asks next tells it
			name = ownDisk(c, arch, cfg)
		}
		if c.Kind == HTTP {
			if cfg.HTTPS.IsValid() {
				base = "https://" + cfg.HTTPS.String()
			}
			return base + "/boot/" + name, nil
		}
		return name, nil
	}
	if arch != bootdir.AMD64 {
		return "", fmt.Errorf("there is no boot directory for machines of %s with one of %s: `diskcast up "+
			"--kernel-%[1]s auto` makes it, or mkimage from a kernel for %[1]s, beside the other and with -%[1]s at "+
			"the end of its name", arch, strings.Join(candidates, ", "))
	}
	return "", fmt.Errorf("the boot directory has none of %s: lay it out with mkimage", strings.Join(candidates, ", "))
}

// ownDisk is what a UEFI machine is given that is to boot its own disk: shim and GRUB, whatever the operator chose for
// the way to the agent, where they get on with this server and it is asked what GRUB is to do. Firmware that goes on
// with the disk at once needs no GRUB: it is quicker, and starts the disk in its own way.
func ownDisk(c Client, arch bootdir.Arch, cfg *Config) string {
	switch starts := cfg.Starts.Of(c.MAC.String()); {
	case cfg.UEFILoader == WithUKI: // shim is nobody's word to firmware that knows the site's key alone
		return OwnDisk
	case starts.AfterPXE && c.Kind == PXE, starts.AfterHTTP && c.Kind == HTTP:
		return OwnDisk
	case starts.Firmware != "", !grubWorks(c, arch, cfg), c.Kind != HTTP && !cfg.TFTP:
		return OwnDisk
	}
	return arch.Prefix() + arch.Shim()
}

// grubWorks reports whether shim and GRUB are there, and GRUB can go on by the protocol that it came by: without a way
// to its configuration it waits at its prompt for ever.
func grubWorks(c Client, arch bootdir.Arch, cfg *Config) bool {
	return grubRefused(c, arch, cfg) == nil &&
		(c.Kind == HTTP || cfg.Mode != Proxy || cfg.Files.GRUBCan(arch, GRUBProxy))
}

// grubRefused is why a machine is not given shim and GRUB, whatever the operator chose; nil where it may be.
func grubRefused(c Client, arch bootdir.Arch, cfg *Config) error {
	switch {
	case !bothThere(arch, cfg):
		return fmt.Errorf("the boot directory for %s lacks one of %s: give mkimage --shim and --grub", arch,
			strings.Join(shimFiles(arch), ", "))
	case cfg.Server.Addr().Is6(): // GRUB by IPv6 was never seen to get on
		return errors.New("shim and GRUB are not given by IPv6, where GRUB was never seen to get on: choose " +
			"--uefi-loader uki (mkimage --boot-uki) where Secure Boot is on, or ipxe where it is off")
	case c.Kind == HTTP && cfg.HTTPS.IsValid(): // GRUB has no TLS
		return errors.New("it boots by HTTPS, of which GRUB knows nothing: choose --uefi-loader uki (mkimage " +
			"--boot-uki), or ipxe where Secure Boot is off, or have it boot by PXE")
	case c.Kind == HTTP && !cfg.Files.GRUBCan(arch, GRUBHTTP): // GRUB goes on by the protocol that it came by
		return errors.New("the boot directory's GRUB cannot load by HTTP: have the machine boot by PXE over " +
			"IPv4, or give mkimage the GRUB of Debian 13 or later with --grub")
	}
	return nil
}

// noFirst is why a machine has nothing to start with where shim and GRUB are there and do not get on, and iPXE is not;
// nil where one of the files is there.
func noFirst(c Client, arch bootdir.Arch, cfg *Config, files []string) error {
	if !bothThere(arch, cfg) || slices.ContainsFunc(files, func(n string) bool {
		return cfg.Files.Has(arch.Prefix() + n)
	}) {
		return nil
	}
	err := grubRefused(c, arch, cfg)
	if err == nil {
		err = errors.New("another DHCP server gives the addresses, and the boot directory's GRUB does not find its " +
			"server then, as GRUB 2.12 does: give mkimage the GRUB of Debian 13 or later with --grub")
	}
	return fmt.Errorf("the boot directory for %s has shim and GRUB and no iPXE, and %w; or iPXE for %[1]s with --ipxe",
		arch, err)
}

// bothThere reports whether there are shim and GRUB.
func bothThere(arch bootdir.Arch, cfg *Config) bool {
	return cfg.Files.Has(arch.Prefix()+arch.Shim()) && cfg.Files.Has(arch.Prefix()+arch.GRUB())
}

// uefiFiles lists what a UEFI machine may be given.
func uefiFiles(c Client, arch bootdir.Arch, what netboot.What, cfg *Config) ([]string, error) {
	if cfg.UEFILoader == WithUKI {
		switch {
		case what == netboot.Memtest:
			return nil, errors.New("it is to test its memory, and with --uefi-loader uki UEFI machines start " +
				"nothing but node.efi")
		case !cfg.Files.Has(arch.Prefix() + ukiFiles[0]):
			return nil, fmt.Errorf("the boot directory for %s has no node.efi: make it with mkimage --boot-uki", arch)
		}
		return ukiFiles, nil
	}
	if cfg.UEFILoader == WithIPXE {
		return ipxeFiles, nil
	}
	if cfg.UEFILoader == WithIPXEShim {
		if !slices.ContainsFunc(bootdir.SignedIPXE, func(n string) bool { return cfg.Files.Has(arch.Prefix() + n) }) {
			return nil, fmt.Errorf("the boot directory for %s has no signed iPXE: give mkimage its folder with "+
				"--ipxe-shim",
				arch)
		}
		return bootdir.SignedIPXE, nil
	}
	if cfg.UEFILoader == Auto {
		if grubWorks(c, arch, cfg) { // no machine must wait at GRUB's prompt that iPXE could start
			return shimFiles(arch)[:1], nil
		}
		files := append(slices.Clone(ipxeFiles), strings.ToLower(arch.Fallback()))
		return files, noFirst(c, arch, cfg, files)
	}
	// In proxy mode an old GRUB does work if the site's DHCP server names this server, which only the operator can
	// know.
	return shimFiles(arch)[:1], grubRefused(c, arch, cfg)
}
