package modules

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/kmod"
)

// TestOfOthers refuses modules that are all of another kernel, and names single ones.
func TestOfOthers(t *testing.T) {
	of := func(name, release string) *kmod.Module {
		return &kmod.Module{Info: kmod.Info{Name: name, Release: release}}
	}
	for name, c := range map[string]struct {
		list      []*kmod.Module
		note, err string
	}{
		"none":    {nil, "", ""},
		"its own": {[]*kmod.Module{of("a", "1"), of("b", "")}, "", ""},
		"one of another": {[]*kmod.Module{of("a", "1"), of("b", "2")},
			"the kernel is Linux 1, and some modules are for others, which it may refuse: 1 for Linux 2 (b)", ""},
		"all of others": {[]*kmod.Module{of("a", "3"), of("b", "2"), of("c", ""), of("d", "2")}, "",
			"the modules are for others: 2 for Linux 2 (b, d); 1 for Linux 3 (a): give that kernel's own"},
	} {
		note, err := OfOthers(c.list, "1")
		if note != c.note || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", name, note, err)
		}
	}
}
