// Package bootdir makes the folder that a network boots from: kernel, archive, iPXE and its script, shim and GRUB with
// its configuration, and a manifest.
//
// The same inputs give the same bytes. The folder appears, or changes, in one step: a server that reads it while it is
// made sees the old one or the new one.
package bootdir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/archiveend"
	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/modules"
	"github.com/diskcast/diskcast/mkimage/secureboot"
)

// Names of the files in a boot directory. The names are what boot.ipxe, grub.cfg, the server's DHCP and its timeline of
// a node count on.
const (
	KernelFile   = "vmlinuz"
	ArchiveFile  = "initramfs.img"
	ScriptFile   = "boot.ipxe"
	ManifestFile = contract.ManifestFile
	UKIFile      = contract.UKIFile
)

// Content is everything that goes into a boot directory.
type Content struct {
	Userland []byte // cpio, compressed with gzip
	Kernel   []byte
	Release  string // of the kernel
	Arch     contract.Arch
	Packing  ramfs.Packing // that the kernel unpacks
	Tree     *modules.Tree
	Modules  []*kmod.Module
	Firmware []modules.Blob
	Machines []string // that it is made for; empty: for all
	Site     Site
	Append   string // added to the kernel's command line
	BaseURL  string // where the script finds kernel and archive; empty: where the script itself came from
	IPXE     map[string][]byte
	// Memtest is Memtest86+, by the names that a boot directory has for it.
	Memtest map[string][]byte
	// SecureBoot is shim and GRUB; nil leaves them out.
	SecureBoot *secureboot.Loaders
	// SignedIPXE is iPXE with a shim of its own; nil leaves it out.
	SignedIPXE *secureboot.SignedIPXE
	// UKI makes the unified kernel image of the archive; nil leaves it out.
	UKI     func(archive []byte) ([]byte, error)
	ModTime time.Time // of every record in the archive
	// Sources are the packages that the content came from.
	Sources []contract.Source
	// Generator is the program and its release, for the manifest.
	Generator string
}

// What the server reads too.
type (
	Site     = contract.Site
	Manifest = contract.Manifest
	GRUB     = contract.GRUB
	File     = contract.File
)

// Files makes all files of the directory, and the manifest that is one of them.
func Files(c *Content) (map[string][]byte, *Manifest, error) {
	a, err := archive(c)
	if err != nil {
		return nil, nil, err
	}
	m := &Manifest{V: 1, Arch: c.Arch, Kernel: c.Release, Cmdline: Cmdline(c), Site: c.Site, Userland: sum(c.Userland),
		Files: map[string]File{}, Generator: c.Generator, Modules: []string{}, Sources: c.Sources,
		For: c.Machines}
	for _, mod := range c.Modules {
		m.Modules = append(m.Modules, mod.Name)
	}
	slices.Sort(m.Modules)
	for _, b := range c.Firmware {
		m.Firmware = append(m.Firmware, b.Name)
	}
	var img bytes.Buffer
	if m.Unpacked, err = a.PackBy(c.Packing, &img, c.ModTime); err != nil {
		return nil, nil, err
	}
	files := map[string][]byte{KernelFile: c.Kernel, ArchiveFile: img.Bytes(), ScriptFile: []byte(Script(c))}
	if c.SecureBoot != nil {
		files[c.Arch.Shim()], files[c.Arch.GRUB()], files[GRUBConfigFile] = c.SecureBoot.Shim, c.SecureBoot.GRUB,
			[]byte(GRUBConfig(c))
		m.GRUB = &GRUB{Version: c.SecureBoot.Version, HTTP: c.SecureBoot.HTTP, ProxyDHCP: c.SecureBoot.ProxyDHCP}
	}
	if c.SignedIPXE != nil {
		for name, data := range c.SignedIPXE.Files {
			files[contract.SignedDir+"/"+name] = data
		}
		files[contract.AutoexecFile] = []byte(Autoexec)
	}
	if c.UKI != nil {
		if files[UKIFile], err = c.UKI(img.Bytes()); err != nil {
			return nil, nil, err
		}
	}
	for name, data := range c.Memtest {
		files[name] = data
	}
	for name, data := range c.IPXE {
		if _, ok := files[name]; ok || name == ManifestFile {
			return nil, nil, fmt.Errorf("an iPXE file is called %s, which is the name of another file", name)
		}
		files[name] = data
	}
	for name, data := range files {
		m.Files[name] = File{Size: int64(len(data)), SHA256: sum(data)}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, nil, err
	}
	files[ManifestFile] = append(text, '\n')
	return files, m, nil
}

// archive adds modules, firmware and settings to the userland.
func archive(c *Content) (*ramfs.Archive, error) {
	a, err := ramfs.Unpack(bytes.NewReader(c.Userland))
	if err != nil {
		return nil, fmt.Errorf("userland: %w", err)
	}
	site, err := json.Marshal(c.Site)
	if err != nil {
		return nil, err
	}
	if err := a.Set(ramfs.NewFile("etc/diskcast/site.json", 0o644, append(site, '\n'))); err != nil {
		return nil, err
	}
	if err := addModules(a, c); err != nil {
		return nil, err
	}
	for _, b := range c.Firmware {
		if err := a.Add(ramfs.NewFile("lib/firmware/"+b.Name, 0o644, b.Data)); err != nil {
			return nil, err
		}
	}
	return a, addEnd(a)
}

// addEnd adds the record by which a node sees that it has all of the archive.
func addEnd(a *ramfs.Archive) error {
	if err := a.Add(ramfs.NewFile(archiveend.Name, 0o444, nil)); err != nil {
		return err
	}
	all := a.Records()
	if last := all[len(all)-1].Name; last != archiveend.Name {
		return fmt.Errorf("the archive would end with %s, behind %s, which must be its last record", last,
			archiveend.Name)
	}
	return nil
}

// addModules adds each module compressed by itself: a node unpacks those alone that it loads, a tenth of them.
func addModules(a *ramfs.Archive, c *Content) error {
	dir := "lib/modules/" + c.Release
	packer, err := kmod.NewPacker()
	if err != nil {
		return err
	}
	var packed []kmod.Module
	for _, m := range c.Modules {
		name, data, err := c.Tree.Read(m)
		if err != nil {
			return fmt.Errorf("module %s: %w", m.Name, err)
		}
		name += kmod.PackedSuffix
		if err := a.Add(ramfs.NewFile(dir+"/"+name, 0o644, packer.Pack(data))); err != nil {
			return err
		}
		copied := *m
		copied.Path = name
		packed = append(packed, copied)
	}
	index, err := kmod.NewIndex(packed, c.Tree.Index.Builtins())
	if err != nil {
		return err
	}
	files, err := index.Files()
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := a.Add(ramfs.NewFile(dir+"/"+name, 0o644, data)); err != nil {
			return err
		}
	}
	return nil
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// IPXENames are the binaries of iPXE that firmware starts with, as they are called in a boot directory.
var IPXENames = []string{"undionly.kpxe", "ipxe.efi", "snponly.efi"}

// ipxeSources are the names under which iPXE's makers and distributions have them: Debian 13 calls one ipxe-arm64.efi.
func ipxeSources(name string, arch contract.Arch) []string {
	base, efi := strings.CutSuffix(name, ".efi")
	switch {
	case efi:
		return []string{name, base + "-" + string(arch) + ".efi"}
	case arch == contract.AMD64:
		return []string{name}
	}
	return nil // machines of other architectures have no BIOS
}

// ReadIPXE reads the binaries for the architecture that are there.
func ReadIPXE(dir string, arch contract.Arch) (map[string][]byte, error) {
	files := map[string][]byte{}
	var wanted []string
	for _, name := range IPXENames {
		for _, source := range ipxeSources(name, arch) {
			wanted = append(wanted, source)
			data, err := os.ReadFile(filepath.Join(dir, source))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if is, err := secureboot.ArchOf(data); files[name] == nil && (err != nil || is == arch) {
				files[name] = data
			}
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds none of %s for machines of %s: install the package ipxe or name another "+
			"folder", dir, strings.Join(wanted, ", "), arch)
	}
	return files, nil
}
