package look

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/archiveend"
	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/kernel"
	"github.com/diskcast/diskcast/mkimage/secureboot"
)

// Finding is one thing that Verify looked at.
type Finding struct {
	Check string `json:"check"`
	// State is Good, Warning or Bad.
	State string `json:"state"`
	Text  string `json:"text"`
}

// States of a finding. A warning is what some machines do without.
const (
	Good    = "ok"
	Warning = "warning"
	Bad     = "bad"
)

// findings collects them.
type findings []Finding

func (f *findings) add(check, state, text string) { *f = append(*f, Finding{check, state, text}) }

// judge adds what is wrong, or that all is well.
func (f *findings) judge(check, state, good string, wrong []string) {
	for _, w := range wrong {
		f.add(check, state, w)
	}
	if len(wrong) == 0 {
		f.add(check, Good, good)
	}
}

// Verify holds the directory against its manifest, its parts against each other, and shim's chain of trust.
func (d *Directory) Verify() ([]Finding, error) {
	var f findings
	f.judge("files", Bad, fmt.Sprintf("%d files are as the manifest says", len(d.Manifest.Files)), d.wrongFiles())
	image, err := d.Read(bootdir.KernelFile)
	if err != nil {
		f.add("kernel", Bad, err.Error())
		image = nil
	} else {
		f.judge("kernel", Bad, "Linux "+d.Manifest.Kernel, d.wrongKernel(image))
	}
	if d.Archive == nil {
		f.add("archive", Bad, "it cannot be read: "+d.ArchiveErr.Error())
	} else {
		f.judge("archive", Bad, "it is whole, and its settings are those of the manifest", d.wrongArchive())
		modules, err := d.Modules()
		if err != nil {
			f.add("modules", Bad, err.Error())
		} else {
			f.judge("modules", Bad, fmt.Sprintf("%d are there, with what they need, for this kernel", len(modules)),
				d.wrongModules(modules))
			f.judge("drivers", Warning, "there are drivers of network cards and of disk controllers",
				d.missingDrivers(modules))
			var missing []string
			if list := d.missingFirmware(modules); len(list) > 0 {
				missing = []string{fmt.Sprintf("nothing is there of what %d modules may ask for: %s", len(list),
					strings.Join(list, ", "))}
			}
			f.judge("firmware", Warning, "no module lacks its firmware", missing)
		}
	}
	f.judge("scripts", Bad, "they start the kernel with the words of the manifest", d.wrongScripts())
	d.verifyBoot(&f, image, d.verifyUKI(&f, image))
	return f, nil
}

// AsMade tells whether files of the directory are those that its manifest names, by size and SHA-256.
func (d *Directory) AsMade(names ...string) error {
	for _, name := range names {
		if wrong := d.wrongFile(name); wrong != "" {
			return fmt.Errorf("%s: %s; make the directory again", d.Path, wrong)
		}
	}
	return nil
}

// AllAsMade tells whether the directory's files are those that its manifest names, and no others.
func (d *Directory) AllAsMade() error {
	if wrong := d.wrongFiles(); len(wrong) > 0 {
		more := ""
		if len(wrong) > 1 {
			more = fmt.Sprintf(", and %d more", len(wrong)-1)
		}
		return fmt.Errorf("%s is not as it was made: %s%s; `mkimage verify %[1]s` says all that is wrong", d.Path,
			wrong[0], more)
	}
	return nil
}

// wrongFile says in what a file is not as the manifest has it; empty if in nothing.
func (d *Directory) wrongFile(name string) string {
	want, named := d.Manifest.Files[name]
	got, there := d.Files[name]
	switch {
	case d.Unread[name] != nil:
		return fmt.Sprintf("%s cannot be read: %v", name, d.Unread[name])
	case there && !named:
		return name + " is not in the manifest: something else than mkimage put it there"
	case named && !there:
		return name + " is missing"
	case got.Size != want.Size:
		return fmt.Sprintf("%s has %d bytes, the manifest says %d", name, got.Size, want.Size)
	case got.SHA256 != want.SHA256:
		return name + " is not the file of the manifest: its SHA-256 is another"
	}
	return ""
}

// wrongFiles is wrongFile of all: those that the manifest names, those that cannot be read, and others.
func (d *Directory) wrongFiles() []string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(d.Manifest.Files)),
		func(name string) bool { return d.Unread[name] != nil })
	names = append(names, slices.Sorted(maps.Keys(d.Unread))...)
	for _, name := range slices.Sorted(maps.Keys(d.Files)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var wrong []string
	for _, name := range names {
		if words := d.wrongFile(name); words != "" {
			wrong = append(wrong, words)
		}
	}
	for _, name := range []string{bootdir.KernelFile, bootdir.ArchiveFile, bootdir.ScriptFile} {
		if _, ok := d.Manifest.Files[name]; !ok {
			wrong = append(wrong, "the manifest does not name "+name)
		}
	}
	return wrong
}

func (d *Directory) wrongKernel(image []byte) []string {
	arch, release, err := kernel.Read(image)
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	if is := d.Manifest.Arch.OrDefault(); arch != is {
		wrong = append(wrong, fmt.Sprintf("the image is for machines of %s, the manifest says %s", arch, is))
	}
	if release != d.Manifest.Kernel {
		wrong = append(wrong, fmt.Sprintf("the image is Linux %s, the manifest says %s", release, d.Manifest.Kernel))
	}
	if n, most := len(d.Manifest.Cmdline), kernel.CmdlineSize(image); n > most {
		wrong = append(wrong, fmt.Sprintf("the command line has %d characters, the kernel takes %d", n, most))
	}
	return wrong
}

func (d *Directory) wrongArchive() []string {
	var wrong []string
	records := d.Archive.Records()
	if len(records) == 0 || records[len(records)-1].Name != archiveend.Name {
		wrong = append(wrong, "the archive has no end: a node cannot tell whether it was unpacked as a whole")
	}
	if _, ok := d.Archive.Lookup("init"); !ok {
		wrong = append(wrong, "no /init in the archive: the kernel has nothing to start")
	}
	var site contract.Site
	if err := json.Unmarshal([]byte(d.text(siteFile)), &site); err != nil {
		wrong = append(wrong, fmt.Sprintf("%s: %v", siteFile, err))
	} else if site != d.Manifest.Site {
		wrong = append(wrong, fmt.Sprintf("%s is not what the manifest says of server, pin and console", siteFile))
	}
	return wrong
}

func (d *Directory) wrongModules(modules []kmod.Module) []string {
	var wrong, names []string
	others := map[string][]string{}
	dir := modulesDir + d.Manifest.Kernel + "/"
	for _, m := range modules {
		names = append(names, m.Name)
		if !strings.HasPrefix(m.Path, dir) {
			wrong = append(wrong, fmt.Sprintf("%s lies where Linux %s does not look", m.Path, d.Manifest.Kernel))
		}
		if m.Release != "" && m.Release != d.Manifest.Kernel {
			others[m.Release] = append(others[m.Release], m.Name)
		}
	}
	for _, release := range slices.Sorted(maps.Keys(others)) {
		list := others[release]
		text := fmt.Sprintf("module %s is for Linux %s", list[0], release)
		if more := len(list) - 1; more > 0 {
			text += fmt.Sprintf(", and %d more are", more)
		}
		wrong = append(wrong, text)
	}
	slices.Sort(names)
	for _, n := range d.Manifest.Modules {
		if _, ok := slices.BinarySearch(names, n); !ok {
			wrong = append(wrong, "module "+n+" is in the manifest and not in the archive")
		}
	}
	for _, n := range names {
		if !slices.Contains(d.Manifest.Modules, n) {
			wrong = append(wrong, "module "+n+" is in the archive and not in the manifest")
		}
	}
	builtin, err := kmod.ReadBuiltin(strings.NewReader(d.text(dir + "modules.builtin")))
	if err != nil {
		return append(wrong, err.Error())
	}
	index, err := kmod.NewIndex(modules, builtin)
	if err != nil {
		return append(wrong, err.Error())
	}
	for _, n := range names {
		if _, err := index.Order(n, false); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

// verifyBoot looks at what starts the kernel; ukiSigners are who signed the unified kernel image.
func (d *Directory) verifyBoot(f *findings, image []byte, ukiSigners []string) {
	var none []string
	if !slices.ContainsFunc(bootdir.IPXENames, func(n string) bool { _, ok := d.Files[n]; return ok }) {
		none = []string{"no iPXE: machines whose firmware is not iPXE cannot start, but for UEFI by shim and GRUB"}
	}
	f.judge("iPXE", Warning, "iPXE is there", none)
	d.verifySignedIPXE(f)
	arch := d.Manifest.Arch.OrDefault()
	shim, shimErr := d.Read(arch.Shim())
	grub, grubErr := d.Read(arch.GRUB())
	switch {
	case shimErr != nil && grubErr != nil && len(ukiSigners) > 0:
		f.add("Secure Boot", Good, contract.UKIFile+" is signed: machines start from it whose firmware has the "+
			"certificate of its key, with `diskcast serve --uefi-loader uki`; no shim and GRUB for others")
		return
	case shimErr != nil && grubErr != nil:
		f.add("Secure Boot", Warning, "no shim and GRUB: machines with Secure Boot on cannot start")
		return
	case shimErr != nil || grubErr != nil:
		f.add("Secure Boot", Bad, "of shim and GRUB one is missing: "+cmp.Or(shimErr, grubErr).Error())
		return
	}
	if signers, err := secureboot.Signers(shim); err != nil || len(signers) == 0 {
		f.add("Secure Boot", Bad, "shim carries no signature: firmware with Secure Boot on refuses it")
	}
	l, err := secureboot.New(shim, grub)
	if err != nil {
		f.add("Secure Boot", Bad, arch.GRUB()+": "+err.Error())
		return
	}
	trusts, err := secureboot.Trusts(shim)
	if err != nil {
		f.add("Secure Boot", Bad, "whom shim trusts cannot be read: "+err.Error())
		return
	}
	f.judge("Secure Boot", Bad, "shim, GRUB and kernel are of one vendor, "+trusts, l.Check(image))
	if got := (contract.GRUB{Version: l.Version, HTTP: l.HTTP, ProxyDHCP: l.ProxyDHCP}); d.Manifest.GRUB == nil ||
		*d.Manifest.GRUB != got {
		f.add("GRUB", Bad, fmt.Sprintf("the server is told by the manifest of another GRUB than this one (%s)",
			l.Version))
	}
}

// verifySignedIPXE looks at the iPXE that its makers signed, where there is one.
func (d *Directory) verifySignedIPXE(f *findings) {
	var wrong []string
	there := false
	for _, shim := range contract.SignedIPXE {
		for _, name := range []string{shim, ipxeBehind(shim)} {
			if _, ok := d.Files[shim]; !ok {
				continue
			}
			there = true
			data, err := d.Read(name)
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("%s starts %s, which cannot be read: %v", shim, ipxeBehind(shim),
					err))
				continue
			}
			if signers, err := secureboot.Signers(data); err != nil || len(signers) == 0 {
				wrong = append(wrong, name+" carries no signature: firmware with Secure Boot on refuses it")
			}
			if name != shim && !secureboot.KnowsShim(data) {
				wrong = append(wrong, name+" has no command shim, without which Secure Boot refuses the kernel")
			}
		}
	}
	if !there {
		return
	}
	script, err := d.Read(bootdir.ScriptFile)
	if arch := d.Manifest.Arch.OrDefault(); err != nil || !strings.Contains(string(script), arch.Shim()+" || ") {
		wrong = append(wrong, fmt.Sprintf("%s does not hand the kernel to %s", bootdir.ScriptFile, arch.Shim()))
	}
	f.judge("signed iPXE", Bad, "shim and iPXE are signed, and hand the kernel to the distribution's shim", wrong)
}
