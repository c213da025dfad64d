// Package kmod knows which kernel modules there are, which need which, and which hardware wants which.
//
// mkimage reads that out of the modules themselves (section .modinfo of the ELF file, [ReadInfo]): a Debian kernel
// package carries no modules.dep, which is only made when the package is installed. What it finds it writes into the
// boot directory in the text formats of modules.dep(5), and the node reads them again ([Load]) to load what its
// hardware asks for ([Loader]).
package kmod

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Module is one kernel module.
type Module struct {
	Path  string // relative to the folder of the kernel release: kernel/fs/ext4/ext4.ko
	Place string // where the kernel's own tree has the module that this one is taken for; empty for Path
	Info
}

// Info is what a module says of itself. Names are canonical, see [Name].
type Info struct {
	Name     string
	Depends  []string // modules that must be loaded first
	Aliases  []string // patterns in the manner of a shell: pci:v00001AF4d*, fs-ext4
	SoftPre  []string // modules or aliases to be loaded first if they are there
	SoftPost []string // the same, afterwards
	Firmware []string // files below /lib/firmware that it may ask for
	Release  string   // of the kernel that it was built for; empty where it does not say
}

// Name makes a module's name canonical. Kernel and tools take - and _ for the same in names; files have either.
// Within brackets, which patterns have, the minus is a range and stays.
func Name(s string) string {
	var b strings.Builder
	depth := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '[':
			depth++
		case c == ']' && depth > 0:
			depth--
		case c == '-' && depth == 0:
			c = '_'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// FileName is the name of the module that a file holds: its base name without .ko and compression.
func FileName(file string) (string, bool) {
	base := path.Base(file)
	for _, suffix := range []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} {
		if name, ok := strings.CutSuffix(base, suffix); ok && name != "" {
			return Name(name), true
		}
	}
	return "", false
}

// Index is a set of modules that belong to one kernel.
type Index struct {
	modules map[string]*Module
	builtin map[string]bool
	aliases []alias // sorted by pattern, then module
}

type alias struct{ pattern, module string }

// NewIndex makes an index. builtin are the names of the modules that are part of the kernel image.
func NewIndex(modules []Module, builtin []string) (*Index, error) {
	x := &Index{modules: map[string]*Module{}, builtin: map[string]bool{}}
	for _, b := range builtin {
		x.builtin[Name(b)] = true
	}
	for _, m := range modules {
		if m.Name == "" {
			return nil, fmt.Errorf("module %q has no name", m.Path)
		}
		if other, ok := x.modules[m.Name]; ok {
			return nil, fmt.Errorf("module %s is there twice: %s and %s", m.Name, other.Path, m.Path)
		}
		x.modules[m.Name] = &m
		for _, a := range m.Aliases {
			x.aliases = append(x.aliases, alias{Name(a), m.Name})
		}
	}
	slices.SortFunc(x.aliases, func(a, b alias) int {
		return cmp.Or(strings.Compare(a.pattern, b.pattern), strings.Compare(a.module, b.module))
	})
	x.aliases = slices.Compact(x.aliases)
	return x, nil
}

// Module finds a module by its name, spelt either way.
func (x *Index) Module(name string) (*Module, bool) {
	m, ok := x.modules[Name(name)]
	return m, ok
}

// Modules returns all modules, sorted by path.
func (x *Index) Modules() []*Module {
	all := make([]*Module, 0, len(x.modules))
	for _, m := range x.modules {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *Module) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// Builtin says whether the kernel image itself holds the module.
func (x *Index) Builtin(name string) bool { return x.builtin[Name(name)] }

// Builtins returns the names of the modules that the kernel image holds, sorted.
func (x *Index) Builtins() []string { return slices.Sorted(maps.Keys(x.builtin)) }

// Resolve returns the modules that a name stands for: the module of that name, or all whose alias matches it.
func (x *Index) Resolve(name string) []*Module {
	name = Name(name)
	if m, ok := x.modules[name]; ok {
		return []*Module{m}
	}
	var found []*Module
	for _, a := range x.aliases {
		if m := x.modules[a.module]; Match(a.pattern, name) && !slices.Contains(found, m) {
			found = append(found, m)
		}
	}
	return found
}

// Order returns the module and everything that must be in the kernel before it, in the order of loading. soft adds the
// soft dependencies, before and after, as far as they are there. A dependency that is neither there nor built in is an
// error.
func (x *Index) Order(name string, soft bool) ([]*Module, error) {
	m, ok := x.Module(name)
	if !ok {
		return nil, fmt.Errorf("module %s is not there", name)
	}
	o := orderer{x: x, soft: soft, seen: map[*Module]bool{}}
	if err := o.visit(m); err != nil {
		return nil, err
	}
	return o.order, nil
}

// unsaid is what must be loaded before a module that does not say so. cdc_subset takes network adapters by their number
// alone, 0525:a4a2 of BMCs and QEMU among them, and makes up an address, which the drivers of the class read.
var unsaid = map[string][]string{"cdc_subset": {"cdc_ether", "rndis_host"}}

type orderer struct {
	x     *Index
	soft  bool
	seen  map[*Module]bool // a circle of dependencies ends here; soft ones exist in real kernels
	order []*Module
}

func (o *orderer) visit(m *Module) error {
	if o.seen[m] {
		return nil
	}
	o.seen[m] = true
	for _, d := range m.Depends {
		dep, ok := o.x.modules[d]
		if !ok {
			if o.x.builtin[d] {
				continue
			}
			return fmt.Errorf("module %s needs %s, which is not there", m.Name, d)
		}
		if err := o.visit(dep); err != nil {
			return err
		}
	}
	o.visitSoft(m.SoftPre)
	o.visitSoft(unsaid[m.Name])
	o.order = append(o.order, m)
	o.visitSoft(m.SoftPost)
	return nil
}

// visitSoft ignores what fails: a soft dependency is a wish.
func (o *orderer) visitSoft(names []string) {
	if !o.soft {
		return
	}
	for _, n := range names {
		for _, m := range o.x.Resolve(n) {
			before := len(o.order)
			if o.visit(m) != nil {
				o.order = o.order[:before]
			}
		}
	}
}
