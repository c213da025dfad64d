package modules

import (
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/kmod"
)

// places are the folders of a kernel release in the order in which depmod takes a module that several of them have:
// what an administrator or DKMS added goes before the kernel's own ("updates built-in" is depmod's default; RHEL's
// dist.conf has "updates extra built-in weak-updates").
var places = []string{"updates/", "extra/", "", "weak-updates/"}

func place(m *kmod.Module) int {
	for i, p := range places {
		if p != "" && strings.HasPrefix(m.Path, p) {
			return i
		}
	}
	return slices.Index(places, "")
}

// preferred leaves out a module that another folder has one of the same name for, which goes before it. over names
// those that went before. Two of one folder are left, for nobody knows which is meant.
func preferred(list []kmod.Module) (out []kmod.Module, over []string) {
	best := map[string]*kmod.Module{}
	for i := range list {
		m := &list[i]
		if b := best[m.Name]; b == nil || place(m) < place(b) {
			best[m.Name] = m
		}
	}
	named := map[string]bool{}
	for i := range list {
		m := &list[i]
		b := best[m.Name]
		if place(m) == place(b) {
			continue
		}
		if strings.HasPrefix(m.Path, "kernel/") {
			b.Place = m.Path
		}
		if !named[b.Path] {
			named[b.Path], over = true, append(over, b.Path)
		}
	}
	for i := range list {
		if place(&list[i]) == place(best[list[i].Name]) {
			out = append(out, list[i])
		}
	}
	return out, over
}
