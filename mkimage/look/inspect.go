package look

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/machines"
	"github.com/diskcast/diskcast/mkimage/secureboot"
)

// Summary is what is in a boot directory.
type Summary struct {
	Dir       string            `json:"dir"`
	Kernel    string            `json:"kernel"` // release
	Signers   []string          `json:"kernel_signers,omitempty"`
	Cmdline   string            `json:"cmdline"`
	Site      contract.Site     `json:"site"`
	For       []string          `json:"for,omitempty"`      // machines that it is made for; empty: for all
	Userland  string            `json:"userland,omitempty"` // release
	Generator string            `json:"generator"`
	Sources   []contract.Source `json:"sources,omitempty"`
	Loaders   []Loader          `json:"loaders,omitempty"`
	Files     []Record          `json:"files"`
	Modules   []Record          `json:"modules"`
	Firmware  []Record          `json:"firmware"`
	Missing   []string          `json:"missing_firmware,omitempty"` // modules of whose firmware nothing is there
	Unpacked  int64             `json:"unpacked"`                   // bytes of a node's memory
	Memory    int64             `json:"memory_need"`                // bytes that a node must have
	Unread    map[string]string `json:"unread,omitempty"`           // files that cannot be read, and why
	Changed   []string          `json:"changed,omitempty"`          // in what files are not as the manifest has them
	Problem   string            `json:"problem,omitempty"`          // why the archive cannot be read
}

// Loader is a program that firmware starts, or that such a program starts.
type Loader struct {
	File    string   `json:"file"`
	What    string   `json:"what"`
	Signers []string `json:"signers,omitempty"`
}

// Inspect puts together what there is to say.
func (d *Directory) Inspect() (*Summary, error) {
	m := d.Manifest
	s := &Summary{Dir: d.Path, Kernel: m.Kernel, Cmdline: m.Cmdline, Site: m.Site, For: m.For,
		Userland:  d.text(releaseFile),
		Generator: m.Generator, Sources: m.Sources, Unpacked: m.Unpacked, Memory: MemoryNeed(m),
		Changed: d.wrongFiles()}
	for _, name := range slices.Sorted(maps.Keys(d.Files)) {
		s.Files = append(s.Files, Record{name, d.Files[name].Size, d.Files[name].SHA256})
	}
	for name, err := range d.Unread {
		if s.Unread == nil {
			s.Unread = map[string]string{}
		}
		s.Unread[name] = err.Error()
	}
	if data, err := d.Read(bootdir.KernelFile); err == nil {
		// A kernel that is no UEFI program has no signers either; BIOS starts it.
		s.Signers, _ = secureboot.Signers(data)
	}
	d.loaders(s)
	if d.Archive == nil {
		s.Problem = d.ArchiveErr.Error()
		return s, nil
	}
	records, err := d.Records(modulesDir)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if _, is := kmod.FileName(r.Name); is {
			s.Modules = append(s.Modules, r)
		}
	}
	if s.Firmware, err = d.Records(firmwareDir); err != nil {
		return nil, err
	}
	modules, err := d.Modules()
	if err != nil {
		return nil, err
	}
	s.Missing = d.missingFirmware(modules)
	return s, nil
}

func (d *Directory) loaders(s *Summary) {
	arch := d.Manifest.Arch.OrDefault()
	names := append([]string{arch.Shim(), arch.GRUB(), contract.UKIFile}, bootdir.IPXENames...)
	for _, shim := range contract.SignedIPXE {
		names = append(names, shim, ipxeBehind(shim))
	}
	for _, name := range names {
		data, err := d.Read(name)
		if err != nil {
			continue
		}
		l := Loader{File: name, What: "iPXE"}
		switch name {
		case arch.Shim(), contract.SignedIPXE[0], contract.SignedIPXE[1]:
			l.What = "shim"
			if trusts, err := secureboot.Trusts(data); err == nil {
				l.What = "shim, which trusts " + plain.Line(trusts, 0)
			}
		case contract.UKIFile:
			l.What = "unified kernel image"
		case arch.GRUB():
			l.What = "GRUB"
			if g := d.Manifest.GRUB; g != nil {
				l.What = strings.TrimSpace("GRUB " + plain.Line(g.Version, 0))
			}
		}
		l.Signers, _ = secureboot.Signers(data) // undionly.kpxe is no UEFI program
		s.Loaders = append(s.Loaders, l)
	}
}

// ipxeBehind is the iPXE that a shim of iPXE's starts.
func ipxeBehind(shim string) string { return strings.Replace(shim, "-shim.efi", ".efi", 1) }

// Print is the summary for people.
func (s *Summary) Print(w io.Writer) error {
	p := func(s string) string { return plain.Line(s, 0) }
	fmt.Fprintf(w, "%s: Linux %s\n", s.Dir, p(s.Kernel))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(tw, "  %s\t%s\n", name, value) }
	row("server", cmp.Or(p(s.Site.Server), "none: nodes need diskcast.server= on their command line"))
	if s.Site.Pin != "" {
		row("pin", p(s.Site.Pin))
	}
	if s.Site.Console != "" {
		row("console", p(s.Site.Console))
	}
	if w := wiring(s.Site); w != "" {
		row("wiring", p(w))
	}
	row("command line", p(s.Cmdline))
	if len(s.For) > 0 {
		row("made for", p(machines.Few(s.For))+"; other machines may lack a driver")
	}
	row("kernel signed by", cmp.Or(p(strings.Join(s.Signers, ", ")), "nobody"))
	row("userland", cmp.Or(p(s.Userland), "unknown"))
	row("made by", p(s.Generator))
	for _, x := range s.Sources {
		row(p(x.Part)+" from", p(fmt.Sprintf("%s %s (%s)", x.Name, x.Version, x.Format)))
	}
	for _, words := range s.Changed { // those that cannot be read, too
		row("not as made", p(words))
	}
	for _, l := range s.Loaders {
		text := l.What
		if len(l.Signers) > 0 {
			text += ", signed by " + p(strings.Join(l.Signers, ", "))
		}
		row(l.File, text)
	}
	if s.Problem != "" {
		row("archive", "cannot be read: "+p(s.Problem))
	} else {
		row("modules", fmt.Sprintf("%d, %s", len(s.Modules), mib(total(s.Modules))))
		row("firmware", fmt.Sprintf("%d files, %s", len(s.Firmware), mib(total(s.Firmware))))
		if len(s.Missing) > 0 {
			row("without firmware", p(strings.Join(s.Missing, ", ")))
		}
	}
	row("memory", fmt.Sprintf("the archive takes %s; a node needs %d MiB", mib(s.Unpacked), s.Memory>>20))
	if err := tw.Flush(); err != nil {
		return err
	}
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range s.Files {
		fmt.Fprintf(tw, "  %s\t  %s\t\n", mib(f.Size), p(f.Name))
	}
	return tw.Flush()
}

func total(list []Record) (n int64) {
	for _, r := range list {
		n += r.Size
	}
	return n
}

func mib(n int64) string { return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20)) }
