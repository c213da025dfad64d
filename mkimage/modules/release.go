package modules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/kmod"
)

// OfOthers holds modules against the kernel's release. Where all are for other kernels it is an error: a node would
// have no driver. Where some are, it is words about them: a kernel takes such a module only if its symbols have the
// same sums (CONFIG_MODVERSIONS), as those that vendors build for a distribution.
func OfOthers(list []*kmod.Module, release string) (note string, err error) {
	others, own := map[string][]string{}, 0
	for _, m := range list {
		switch m.Release {
		case release:
			own++
		case "": // it does not say
		default:
			others[m.Release] = append(others[m.Release], m.Name)
		}
	}
	if len(others) == 0 {
		return "", nil
	}
	var parts []string
	for _, r := range slices.Sorted(maps.Keys(others)) {
		names := others[r]
		text := strings.Join(names[:min(len(names), 8)], ", ")
		if len(names) > 8 {
			text += ", ..."
		}
		parts = append(parts, fmt.Sprintf("%d for Linux %s (%s)", len(names), r, text))
	}
	all := strings.Join(parts, "; ")
	if own == 0 {
		return "", fmt.Errorf("the kernel is Linux %s, and the modules are for others: %s: give that kernel's own to "+
			"--modules-from", release, all)
	}
	return fmt.Sprintf("the kernel is Linux %s, and some modules are for others, which it may refuse: %s", release,
		all), nil
}
