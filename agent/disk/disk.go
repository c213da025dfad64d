// Package disk finds the one disk that a descriptor's rule means, makes sure that nothing uses it, and has the kernel read
// its partition table again once there is a new one.
package disk

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
)

// Choose returns the one disk for which everything in rule holds. Otherwise the error lists every disk and, where
// the rule does not hold, why: the operator writes the next rule from it.
func Choose(disks []session.Disk, rule session.Target) (session.Disk, error) {
	var fit []session.Disk
	var lines []string
	for _, d := range disks {
		why := refuse(d, rule)
		if why == "" {
			fit = append(fit, d)
		} else {
			why = ": " + why
		}
		lines = append(lines, "  "+Describe(d)+why)
	}
	list := strings.Join(lines, "\n")
	switch {
	case len(disks) == 0:
		return session.Disk{}, fmt.Errorf("this node has no disk that the kernel knows: is a driver missing in the boot directory, or the controller off in the firmware setup?")
	case len(fit) == 0:
		return session.Disk{}, fmt.Errorf("no disk fits the rule (%s); nothing was written. The disks of this node:\n%s", Rule(rule), list)
	case len(fit) > 1:
		return session.Disk{}, fmt.Errorf("the rule (%s) fits %d disks and must fit one; nothing was written. Name a serial, path or size class. The disks of this node:\n%s", Rule(rule), len(fit), list)
	}
	return fit[0], nil
}

// refuse says why d does not fit; empty when it does.
func refuse(d session.Disk, rule session.Target) string {
	switch {
	case rule.Path != "" && !samePath(d.Path, rule.Path):
		return "another path"
	case rule.Serial != "" && !strings.EqualFold(rule.Serial, d.Serial) && !strings.EqualFold(rule.Serial, d.WWN):
		return "another serial"
	case d.Size < rule.MinSize:
		return "smaller than the rule's " + Bytes(rule.MinSize)
	case rule.MaxSize != 0 && d.Size > rule.MaxSize:
		return "larger than the rule's " + Bytes(rule.MaxSize)
	case d.ReadOnly:
		return "read-only"
	}
	return ""
}

// samePath lets a rule name a link such as /dev/disk/by-id/... where there is one.
func samePath(path, rule string) bool {
	if filepath.Clean(rule) == path {
		return true
	}
	to, err := filepath.EvalSymlinks(rule)
	return err == nil && to == path
}

// Rule writes a rule in words.
func Rule(t session.Target) string {
	var w []string
	if t.Path != "" {
		w = append(w, "path "+t.Path)
	}
	if t.Serial != "" {
		w = append(w, "serial "+t.Serial)
	}
	if t.MinSize != 0 {
		w = append(w, "at least "+Bytes(t.MinSize))
	}
	if t.MaxSize != 0 {
		w = append(w, "at most "+Bytes(t.MaxSize))
	}
	if len(w) == 0 {
		return "the only disk"
	}
	return strings.Join(w, ", ")
}

// Describe writes a disk in one line.
func Describe(d session.Disk) string {
	s := fmt.Sprintf("%s %s, %d-byte sectors", d.Path, Bytes(d.Size), d.SectorSize)
	if d.Model != "" {
		s += ", " + d.Model
	}
	if d.Serial != "" {
		s += ", serial " + d.Serial
	} else if d.WWN != "" {
		s += ", wwn " + d.WWN
	}
	if d.Removable {
		s += ", removable"
	}
	return s
}

// Bytes writes a size so that it can be read and still be copied exactly.
func Bytes(n int64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.2f TB (%d bytes)", float64(n)/1e12, n)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB (%d bytes)", float64(n)/1e9, n)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB (%d bytes)", float64(n)/1e6, n)
	}
	return fmt.Sprintf("%d bytes", n)
}
