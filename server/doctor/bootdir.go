package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot/boot"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// lookBoot compares the boot directories with this server, with this release, and with the kernels of this machine.
func lookBoot(_ context.Context, s *Subject, l *Look) {
	dir := boot.NewDir(s.BootDir)
	if m := oneBoot(dir, s, l); m != nil {
		kernels(s, m, l)
	}
	oneBoot(dir.Of(bootdir.ARM64), s, l)
}

// oneBoot looks at the boot directory of one architecture, and returns its manifest; nil where there is none. That of
// 64-bit ARM need not be there.
func oneBoot(dir *boot.Dir, s *Subject, l *Look) *bootdir.Manifest {
	who, again := "machines", "diskcast up"
	if dir.Arch() != bootdir.AMD64 {
		who, again = "machines of "+string(dir.Arch()), "diskcast up --kernel-arm64 auto"
	}
	m, err := dir.Manifest()
	switch {
	case errors.Is(err, fs.ErrNotExist) && who != "machines" && !isThere(dir.Path()):
		l.well("there is no boot directory %s, and %s are offered nothing; `%s` makes it", dir.Path(), who, again)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		l.find(BootMissing, fmt.Sprintf("%s is no boot directory: there is no %s in it", dir.Path(),
			bootdir.ManifestFile),
			who+" have nothing to boot from the network", again+", or mkimage (docs/booting.md)")
		return nil
	case errors.Is(err, fs.ErrPermission):
		l.not("the boot directory: %v; run this as root", err)
		return nil
	case err != nil:
		l.find(BootMissing, err.Error(), who+" have nothing to boot from the network", "move it away, and run "+again)
		return nil
	}
	if s.Pin == "" || !s.API.IsValid() {
		l.not("whether the boot directory %s leads to this server: its key or its address is not known", dir.Path())
	} else {
		leads(dir, s, l)
	}
	besideProxy(dir, m, s, l)
	if by, ok := strings.CutPrefix(m.Generator, "mkimage "); ok && by != s.Version && released(by) &&
		released(s.Version) {
		kernel := "--kernel"
		if dir.Arch() == bootdir.ARM64 {
			kernel = "--kernel-arm64"
		}
		l.find(BootVersion, fmt.Sprintf("the boot directory %s was made by %s, and this is diskcast %s", dir.Path(),
			m.Generator, s.Version), "the agent of another release may not know what this server asks of it",
			"diskcast up "+kernel+" linux-image-"+m.Kernel)
	}
	return m
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// besideProxy finds a boot directory whose only first stage does not get on beside another DHCP server.
func besideProxy(dir *boot.Dir, m *bootdir.Manifest, s *Subject, l *Look) {
	if s.DHCP != dhcp.Proxy || m.GRUB == nil || m.GRUB.ProxyDHCP {
		return
	}
	for _, name := range []string{"snponly.efi", "ipxe.efi", bootdir.UKIFile} {
		if _, ok := m.Files[name]; ok {
			return
		}
	}
	l.find(BootMissing, fmt.Sprintf("the boot directory %s has GRUB %s and no iPXE for UEFI, and another DHCP server "+
		"gives the addresses", dir.Path(), m.GRUB.Version),
		"UEFI machines of "+string(dir.Arch())+" have nothing to start with: that GRUB does not find its server then",
		"mkimage --grub with GRUB 2.12 or later, or --ipxe with iPXE for "+string(dir.Arch())+" (docs/booting.md)")
}

// released reports whether a version is not that of a program which was built without one.
func released(version string) bool { return version != "" && version != "dev" && version != "devel" }

func leads(dir *boot.Dir, s *Subject, l *Look) {
	found, err := dir.Check(boot.Self{Addr: s.API, Pin: s.Pin})
	if err != nil {
		l.not("whether the boot directory leads to this server: %v", err)
		return
	}
	for _, f := range found {
		l.find(BootElsewhere, f.Words, string(f.Fails)+" cannot come to this server with it",
			"diskcast up, or mkimage as it says")
	}
	if len(found) == 0 {
		l.well("the boot directory %s leads to this server, and its files are those of its manifest", dir.Path())
	}
}

// hosted are kernels that lack the drivers of real machines.
var hosted = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`-(cloud-[a-z0-9]+|aws|azure|gcp|gke|oracle|kvm|virtual|ibm)$`)
})

// kernels compares the nodes' kernel with those that are installed here.
func kernels(s *Subject, m *bootdir.Manifest, l *Look) {
	files, err := filepath.Glob("/boot/vmlinuz-*")
	if err != nil {
		l.not("the kernels of this machine: %v", err)
		return
	}
	newest := ""
	for _, f := range files {
		r := strings.TrimPrefix(filepath.Base(f), "vmlinuz-")
		if !hosted().MatchString(r) && older(newest, r) {
			newest = r
		}
	}
	running, err := s.Host.Release()
	if err != nil {
		l.not("the running kernel: %v", err)
	}
	switch {
	case newest != "" && older(m.Kernel, newest):
		l.find(BootKernel, fmt.Sprintf("nodes are given Linux %s, and %s is installed on this server", m.Kernel,
			newest),
			"nodes lack what the newer kernel mends, and the drivers of newer machines",
			"diskcast up --kernel linux-image-"+newest)
	case newest == "":
		l.well("nodes are given Linux %s; no kernel to compare it with is installed here (%s runs)", m.Kernel, running)
	default:
		l.well("nodes are given Linux %s; the newest installed here is %s", m.Kernel, newest)
	}
}

// older reports whether release a is older than b: their numbers count, one after another. An empty one is the oldest.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return len(x) < len(y)
}

// maxNumbers bounds how many numbers of a release count.
const maxNumbers = 8

func numbers(release string) []int {
	var out []int
	in := false
	for _, c := range release {
		if c < '0' || c > '9' {
			in = false
			continue
		}
		if !in {
			if len(out) == maxNumbers {
				break
			}
			out, in = append(out, 0), true
		}
		if n := &out[len(out)-1]; *n < 1<<24 {
			*n = *n*10 + int(c-'0')
		}
	}
	return out
}
