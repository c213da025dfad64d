package look

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/modules"
)

// Change is one thing in which two boot directories differ.
type Change struct {
	What string `json:"what"` // kernel, command line, server, pin, console, file, module, firmware, record ...
	Name string `json:"name,omitempty"`
	From string `json:"from,omitempty"` // empty: it is new
	To   string `json:"to,omitempty"`   // empty: it is gone
}

// wiring is how the nodes are wired, as mkimage was told it.
func wiring(s contract.Site) string {
	var words []string
	if s.VLAN > 0 {
		words = append(words, fmt.Sprintf("--vlan %d", s.VLAN))
	}
	if s.Bond != "" {
		words = append(words, "--bond "+s.Bond)
	}
	if s.IP != "" {
		words = append(words, "--ip "+s.IP)
	}
	return strings.Join(words, " ")
}

// Diff lists in what b differs from a.
func Diff(a, b *Directory) ([]Change, error) {
	if err := errors.Join(a.Whole(), b.Whole()); err != nil {
		return nil, err
	}
	var list []Change
	add := func(what, name, from, to string) {
		if from != to {
			list = append(list, Change{what, name, from, to})
		}
	}
	x, y := a.Manifest, b.Manifest
	add("kernel", "", x.Kernel, y.Kernel)
	add("command line", "", x.Cmdline, y.Cmdline)
	add("server", "", x.Site.Server, y.Site.Server)
	add("pin", "", x.Site.Pin, y.Site.Pin)
	add("console", "", x.Site.Console, y.Site.Console)
	add("wiring", "", wiring(x.Site), wiring(y.Site))
	add("userland", "", a.text(releaseFile), b.text(releaseFile))
	add("made by", "", x.Generator, y.Generator)
	for _, part := range []string{"kernel", "modules", "firmware", "shim", "grub", "memtest"} {
		add("package of "+part, "", a.sources(part), b.sources(part))
	}
	add("memory need", "", mib(MemoryNeed(x)), mib(MemoryNeed(y)))
	from, to := map[string]Record{}, map[string]Record{}
	for _, s := range []struct {
		d    *Directory
		into map[string]Record
	}{{a, from}, {b, to}} {
		for name, f := range s.d.Files {
			s.into[name] = Record{name, f.Size, f.SHA256}
		}
	}
	list = append(list, changes("file", from, to)...)
	if a.Archive == nil || b.Archive == nil {
		return list, cmp.Or(a.ArchiveErr, b.ArchiveErr)
	}
	inside, err := diffArchives(a, b)
	return append(list, inside...), err
}

func diffArchives(a, b *Directory) ([]Change, error) {
	// The same module of another kernel is not "gone and new".
	kinds := []string{"module", "firmware", "record"}
	sets := map[string]*[2]map[string]Record{}
	for _, k := range kinds {
		sets[k] = &[2]map[string]Record{{}, {}}
	}
	for i, d := range []*Directory{a, b} {
		records, err := d.Records("")
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			kind, name := "record", r.Name
			if below, ok := strings.CutPrefix(r.Name, modulesDir+d.Manifest.Kernel+"/"); ok {
				if _, is := kmod.FileName(below); !is {
					continue // the lists of modules follow from the modules
				}
				kind, name = "module", modules.Plain(below)
				if r, err = d.plain(r); err != nil {
					return nil, err
				}
			} else if below, ok := strings.CutPrefix(r.Name, firmwareDir); ok {
				kind, name = "firmware", below
			}
			sets[kind][i][name] = r
		}
	}
	var list []Change
	for _, k := range kinds {
		list = append(list, changes(k, sets[k][0], sets[k][1])...)
	}
	return list, nil
}

// plain is the record of a module as it would be uncompressed, so that one is the same in archives of either kind.
func (d *Directory) plain(r Record) (Record, error) {
	in, ok := d.Archive.Lookup(r.Name)
	if !ok || in.Kind != ramfs.File {
		return r, nil
	}
	data, err := plainModule(in)
	return Record{r.Name, int64(len(data)), hexSum(data)}, err
}

func changes(what string, from, to map[string]Record) []Change {
	var list []Change
	names := slices.Concat(slices.Collect(maps.Keys(from)), slices.Collect(maps.Keys(to)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		x, was := from[name]
		y, is := to[name]
		switch {
		case was && is && x.SHA256 == y.SHA256:
		case was && is:
			list = append(list, Change{what, name, describe(x), describe(y)})
		case was:
			list = append(list, Change{What: what, Name: name, From: describe(x)})
		default:
			list = append(list, Change{What: what, Name: name, To: describe(y)})
		}
	}
	return list
}

// describe says size and the beginning of the sum, for two of one size may differ.
func describe(r Record) string {
	return mib(r.Size) + " sha256 " + r.SHA256[:12]
}

func (d *Directory) sources(part string) string {
	var list []string
	for _, s := range d.Manifest.Sources {
		if s.Part == part {
			list = append(list, strings.TrimSpace(s.Name+" "+s.Version))
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
