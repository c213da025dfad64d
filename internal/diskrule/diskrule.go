// Package diskrule finds the one disk that a session's rule means, or that an earlier plan of the session chose. The
// node goes by it, and the server holds what a node says to it.
package diskrule

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
)

// Missing is the error of a rule for which no disk is there, and of a session's disk that is not there: it may come
// late.
type Missing struct{ error }

func missing(format string, args ...any) error { return Missing{fmt.Errorf(format, args...)} }

// Choose returns the one disk for which everything in rule holds. Otherwise the error lists every disk and, where
// the rule does not hold, why: the operator writes the next rule from it.
func Choose(disks []session.Disk, rule session.Target) (session.Disk, error) {
	whys := make([]string, len(disks))
	for i, d := range disks {
		whys[i] = refuse(d, rule)
	}
	pick(disks, whys, rule)
	var fit []session.Disk
	var loose, writable int
	for i, d := range disks {
		if whys[i] == "" {
			fit = append(fit, d)
		}
		if !d.ReadOnly && d.Unfit == "" {
			writable++
			if d.Loose() {
				loose++
			}
		}
	}
	switch {
	case len(disks) == 0:
		return session.Disk{}, missing("this node has no disk that the kernel knows: is a driver missing in the boot " +
			"directory, or the controller off in the firmware setup?")
	case len(fit) == 0 && loose == writable && loose > 0 && !rule.Names():
		return session.Disk{}, missing("this node has only removable or USB disks, which count only for a rule that "+
			"names them (type=usb, serial=, by-path=); "+
			"nothing was written. If it has another disk, its driver may be missing in the boot directory. The disks "+
			"of this node:\n%s", list(disks, whys))
	case len(fit) == 0:
		return session.Disk{}, missing("no disk fits the rule (%s); nothing was written. The disks of this node:\n%s",
			Rule(rule), list(disks, whys))
	case len(fit) > 1:
		return session.Disk{}, fmt.Errorf("the rule (%s) fits %d disks and must fit one; nothing was written. Name a "+
			"serial, a wwn, a place (by-path) or a size class, "+
			"or add smallest, largest or first.%s The disks of this node:\n%s", Rule(rule), len(fit), paths(fit),
			list(disks, whys))
	}
	return fit[0], nil
}

// Find returns the disk that an earlier plan of the session chose, whatever the kernel calls it now.
func Find(disks []session.Disk, id session.DiskID) (session.Disk, error) {
	var fit []session.Disk
	whys := make([]string, len(disks))
	for i, d := range disks {
		if whys[i] = id.Differs(&d); whys[i] == "" {
			fit = append(fit, d)
		}
	}
	switch {
	case !id.Unique():
		return session.Disk{}, fmt.Errorf("%s, which this session chose at first, has no WWN, serial or place to be "+
			"known again by, so nothing was written. "+
			"Begin a new session. The disks of this node:\n%s", id.Words(), list(disks, whys))
	case len(fit) == 0:
		return session.Disk{}, missing("%s, which this session chose at first, is not there; nothing was written to "+
			"another. If the disk was exchanged "+
			"or moved to another place, begin a new session. The disks of this node:\n%s", id.Words(),
			list(disks, whys))
	case len(fit) > 1:
		return session.Disk{}, fmt.Errorf("%s, which this session chose at first, could be any of %d disks; nothing "+
			"was written. The disks of this node:\n%s",
			id.Words(), len(fit), list(disks, whys))
	}
	return fit[0], nil
}

// Holds says what keeps the disk, which is one of disks, from being what the rule means; nil if nothing does. A path is
// not looked at: the kernel gave that name to the disk when the first plan was made, and may have given it to another
// since.
func Holds(disks []session.Disk, chosen *session.Disk, rule session.Target) error {
	if rule.Path != "" {
		rule.Path = ""
		if why := refuse(*chosen, named(rule)); why != "" {
			return fmt.Errorf("%s does not fit the session's rule (%s): %s", Describe(*chosen), Rule(rule), why)
		}
		return nil
	}
	means, err := Choose(disks, rule)
	if err != nil {
		return err
	}
	if id := means.ID(); !id.Is(chosen) {
		return fmt.Errorf("the session's rule (%s) means %s, and not %s", Rule(rule), Describe(means),
			Describe(*chosen))
	}
	return nil
}

// Fits reports whether everything in a rule that can be said of a disk alone holds for d, a path apart.
func Fits(d session.Disk, rule session.Target) bool {
	rule.Path = ""
	return refuse(d, named(rule)) == ""
}

// named is the rule as one that names a disk, so that a removable one may be meant.
func named(rule session.Target) session.Target {
	if !rule.Names() {
		rule.Model = "*"
	}
	return rule
}

func list(disks []session.Disk, whys []string) string {
	var lines []string
	for i, d := range disks {
		why := whys[i]
		if why != "" {
			why = ": " + why
		}
		lines = append(lines, "  "+Describe(d)+why)
	}
	return strings.Join(lines, "\n")
}

// refuse says why d does not fit; empty when it does.
func refuse(d session.Disk, rule session.Target) string {
	switch {
	case d.Unfit != "":
		return d.Unfit
	case rule.Path != "" && !samePath(d.Path, rule.Path):
		return "another path"
	case rule.ByPath != "" && !matches(rule.ByPath, d.BusPath):
		return "another place"
	case rule.Serial != "" && !strings.EqualFold(rule.Serial, d.Serial) && !sameWWN(rule.Serial, d.WWN):
		return "another serial"
	case rule.WWN != "" && !sameWWN(rule.WWN, d.WWN):
		return "another wwn"
	case rule.HCTL != "" && !matches(rule.HCTL, d.HCTL):
		return "another hctl"
	case rule.Model != "" && !matches(rule.Model, d.Model):
		return "another model"
	case strings.HasPrefix(rule.Type, "!") && isType(&d, rule.Type[1:]):
		return "of type " + rule.Type[1:]
	case rule.Type != "" && rule.Type[0] != '!' && !isType(&d, rule.Type):
		return "not of type " + rule.Type
	case d.Size < rule.MinSize:
		return "smaller than the rule's " + Bytes(rule.MinSize)
	case rule.MaxSize != 0 && d.Size > rule.MaxSize:
		return "larger than the rule's " + Bytes(rule.MaxSize)
	case d.ReadOnly:
		return "read-only"
	case d.Bus == session.BusUSB && !rule.Names():
		return "a USB disk, which the rule does not name"
	case d.Removable && !rule.Names():
		return "removable, which the rule does not name"
	}
	return ""
}

// pick leaves, of the disks without a why, those that smallest, largest and first mean.
func pick(disks []session.Disk, whys []string, rule session.Target) {
	keep := func(why string, better func(a, b *session.Disk) int) {
		best := -1
		for i := range disks {
			if whys[i] == "" && (best < 0 || better(&disks[i], &disks[best]) < 0) {
				best = i
			}
		}
		for i := range disks {
			if whys[i] == "" && better(&disks[i], &disks[best]) > 0 {
				whys[i] = why
			}
		}
	}
	if rule.Smallest {
		keep("not the smallest", func(a, b *session.Disk) int { return cmp.Compare(a.Size, b.Size) })
	}
	if rule.Largest {
		keep("not the largest", func(a, b *session.Disk) int { return cmp.Compare(b.Size, a.Size) })
	}
	if rule.First {
		keep("not the first", func(a, b *session.Disk) int { return comparePlaces(a.BusPath, b.BusPath) })
	}
}

// comparePlaces orders places on the bus so that port 2 comes before port 10; a disk without one comes last.
func comparePlaces(a, b string) int {
	if (a == "") != (b == "") {
		return cmp.Compare(len(b), len(a))
	}
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da == "" || db == "" {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		na, nb := strings.TrimLeft(da, "0"), strings.TrimLeft(db, "0")
		if c := cmp.Or(cmp.Compare(len(na), len(nb)), cmp.Compare(na, nb)); c != 0 {
			return c
		}
		a, b = a[len(da):], b[len(db):]
	}
	return cmp.Compare(len(a), len(b))
}

// digits is the run of hex digits at the start of s, which is how PCI counts.
func digits(s string) string {
	n := strings.IndexFunc(s, func(r rune) bool { return !('0' <= r && r <= '9' || 'a' <= r && r <= 'f') })
	if n < 0 {
		return s
	}
	return s[:n]
}

func matches(pattern, s string) bool {
	ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(s))
	return err == nil && ok
}

// sameWWN compares WWNs as the kernel, udev and people write them.
func sameWWN(a, b string) bool {
	return a != "" && b != "" && session.BareWWN(a) == session.BareWWN(b)
}

func isType(d *session.Disk, typ string) bool {
	switch typ {
	case session.TypeUSB:
		return d.Bus == session.BusUSB
	case session.TypeNVMe:
		return d.Bus == "nvme"
	case session.TypeHDD:
		return d.Rotational && d.Bus != session.BusUSB
	case session.TypeSSD:
		return !d.Rotational && d.Bus != session.BusUSB
	}
	return false
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
	for _, x := range []struct{ name, v string }{{"path ", t.Path}, {"by-path ", t.ByPath}, {"serial ", t.Serial},
		{"wwn ", t.WWN}, {"hctl ", t.HCTL}, {"model ", t.Model}, {"type ", t.Type}} {
		if x.v != "" {
			w = append(w, x.name+x.v)
		}
	}
	if t.MinSize != 0 {
		w = append(w, "at least "+Bytes(t.MinSize))
	}
	if t.MaxSize != 0 {
		w = append(w, "at most "+Bytes(t.MaxSize))
	}
	for _, x := range []struct {
		name string
		on   bool
	}{{"smallest", t.Smallest}, {"largest", t.Largest}, {"first", t.First}} {
		if x.on {
			w = append(w, x.name)
		}
	}
	if len(w) == 0 {
		return "the only disk"
	}
	return strings.Join(w, ", ")
}

// paths says which of the disks that fit may be one by several paths.
func paths(fit []session.Disk) string {
	for i := range fit {
		same := []string{fit[i].Path}
		for j := range fit[i+1:] {
			if o := &fit[i+1+j]; fit[i].SameMedium(o) {
				same = append(same, o.Path)
			}
		}
		if len(same) > 1 {
			return fmt.Sprintf(" %s say that they are the same disk (wwn %s), which is then connected by several "+
				"paths: first writes to it by the first of them.", strings.Join(same, " and "), fit[i].WWN)
		}
	}
	return ""
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
	if d.BusPath != "" {
		s += ", at " + d.BusPath
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
