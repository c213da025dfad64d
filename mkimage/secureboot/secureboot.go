// Package secureboot finds the boot loaders that firmware with Secure Boot on starts as it left the factory: shim,
// which carries Microsoft's signature, and the GRUB for network boot that shim's distribution signed. Nobody has to
// enrol a key.
//
// shim starts only what was signed with a key of its own distribution, and so does its GRUB: both, and the kernel, must
// come from the same one. Check tells when they do not, before a machine does so in its own words.
package secureboot

import (
	"archive/tar"
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/pack"
)

// InstalledShim is where Debian's package shim-signed puts it. Ubuntu's has ".latest" at its end and a link without.
func InstalledShim(arch bootdir.Arch) string { return "/usr/lib/shim/" + arch.Shim() + ".signed" }

// InstalledGRUB is where Debian's package grub-efi-ARCH-signed puts the GRUB for networks.
func InstalledGRUB(arch bootdir.Arch) string {
	target := "x86_64"
	if arch == bootdir.ARM64 {
		target = "arm64"
	}
	return "/usr/lib/grub/" + target + "-efi-signed/grubnet" + arch.EFI() + ".efi.signed"
}

// maxLoader bounds a boot loader, in bytes. shim has 1 MB, GRUB 4.
const maxLoader = 64 << 20

// Loaders are the two programs, unchanged.
type Loaders struct {
	Shim, GRUB []byte
	// Version of GRUB, as 2.06; empty when it does not say.
	Version string
	// HTTP tells that GRUB can load files by HTTP as well as by TFTP. Debian's can from release 13 on.
	HTTP bool
	// ProxyDHCP tells that GRUB finds its server also where a proxy named it, beside the DHCP server that gave the
	// address: from 2.12 on. An older one is at its prompt then, with no configuration, for ever.
	ProxyDHCP bool
	// Sources are the packages that they were taken from.
	Sources []bootdir.Source
}

// ErrMissing is that a boot loader is not installed.
var ErrMissing = errors.New("not installed")

// Open reads shim and GRUB for an architecture, each from a file, or from a package that needs not be installed. An
// empty name is the place where the installed package has it; if it is not there, the error is ErrMissing.
func Open(arch bootdir.Arch, shim, grub string) (*Loaders, error) {
	var programs [2][]byte
	var sources []bootdir.Source
	for i, x := range []struct{ flag, name, installed, pack, part string }{
		{"--shim", shim, InstalledShim(arch), "shim-signed", "shim"},
		{"--grub", grub, InstalledGRUB(arch), "grub-efi-" + string(arch) + "-signed", "grub"},
	} {
		data, from, err := Read(x.name, x.installed, x.part)
		if x.name == "" && errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w: install the package %s, or give the package to %s", x.installed, ErrMissing,
				x.pack, x.flag)
		}
		if err == nil {
			err = signed(data, arch)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", x.flag, cmp.Or(x.name, x.installed), err)
		}
		programs[i], sources = data, append(sources, from...)
	}
	l, err := New(programs[0], programs[1])
	if err != nil {
		return nil, fmt.Errorf("--grub %s: %w", cmp.Or(grub, InstalledGRUB(arch)), err)
	}
	l.Sources = sources
	return l, nil
}

// New looks at shim and GRUB. The error is about GRUB.
func New(shim, grub []byte) (*Loaders, error) {
	l := &Loaders{Shim: shim, GRUB: grub}
	names, err := grubModules(grub)
	if err != nil {
		return nil, err
	}
	// Such are the GRUBs for disks and for CDs, which are signed too.
	if !slices.Contains(names, "efinet") || !slices.Contains(names, "tftp") {
		return nil, errors.New("this GRUB cannot boot from the network; the one that can is called " +
			"grubnetx64.efi.signed or grubnetaa64.efi.signed")
	}
	l.HTTP = slices.Contains(names, "http")
	l.Version = grubVersion(l.GRUB)
	l.ProxyDHCP = atLeast(l.Version, 2, 12)
	return l, nil
}

// Read reads a loader from a file, from a package, or, when no name is given, from where it is installed.
func Read(name, installed, part string) ([]byte, []bootdir.Source, error) {
	if name == "" {
		name = installed
	}
	f, err := pack.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	if first, err := r.Peek(pack.MagicSize); err != nil || pack.Format(first) == "" {
		data, err := readAll(r)
		return data, nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	want := path.Base(installed)
	var data []byte
	info, err := pack.Read(f, func(h *tar.Header, content io.Reader) error {
		base := path.Base(h.Name)
		if h.Typeflag != tar.TypeReg || base != want && base != want+".latest" {
			return nil
		}
		var err error
		data, err = readAll(content)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if data == nil {
		return nil, nil, fmt.Errorf("the package has no %s", want)
	}
	var sources []bootdir.Source
	if info.Name != "" {
		sources = append(sources, info.Source(part))
	}
	return data, sources, nil
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxLoader+1))
	if err == nil && len(data) > maxLoader {
		err = fmt.Errorf("more than %d bytes", maxLoader)
	}
	return data, err
}

// Check compares who signed GRUB and the kernel with whom shim trusts, and returns in words what a machine with Secure
// Boot on would refuse. Nothing is said where shim's key cannot be read.
func (l *Loaders) Check(kernel []byte) []string {
	vendor, err := vendorKey(l.Shim)
	if err != nil {
		return nil
	}
	var notes []string
	for _, x := range []struct {
		what string
		data []byte
	}{{"GRUB", l.GRUB}, {"the kernel", kernel}} {
		signers, err := signers(x.data)
		if err != nil || len(signers) == 0 {
			notes = append(notes, fmt.Sprintf("%s carries no signature: machines with Secure Boot on refuse it, the "+
				"others start", x.what))
			continue
		}
		var names []string
		trusted := false
		for _, c := range signers {
			names = append(names, c.Subject.CommonName)
			// Not CheckSignatureFrom: distributions' keys lack the marks that it wants of an authority.
			trusted = trusted || c.Equal(vendor) ||
				vendor.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
		}
		if !trusted {
			notes = append(notes, fmt.Sprintf("%s was signed by %q, and this shim trusts only %q: machines with "+
				"Secure Boot on refuse it; take shim, GRUB and kernel from the same distribution (--shim, --grub)",
				x.what, strings.Join(names, ", "), vendor.Subject.CommonName))
		}
	}
	return notes
}

// Signers are the names of those whose certificates came with a program's signatures; none for one without.
func Signers(program []byte) ([]string, error) {
	certs, err := signers(program)
	var names []string
	for _, c := range certs {
		names = append(names, c.Subject.CommonName)
	}
	return names, err
}

// Trusts is the name of the key that a shim trusts beside the firmware's.
func Trusts(shim []byte) (string, error) {
	c, err := vendorKey(shim)
	if err != nil {
		return "", err
	}
	return c.Subject.CommonName, nil
}
