package grub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var searchOptions = []option{
	{short: 'f', long: "file"}, {short: 'l', long: "label"}, {short: 'u', long: "fs-uuid"},
	{short: 's', long: "set", value: true, optional: true}, {short: 'n', long: "no-floppy"},
	{short: 'h', long: "hint", value: true}, {long: "hint-ieee1275", value: true}, {long: "hint-bios", value: true},
	{long: "hint-efi", value: true}, {long: "hint-baremetal", value: true}, {long: "hint-arc", value: true},
	// Of later GRUBs, and of Red Hat's, CoreOS's and Debian's.
	{long: "efidisk-only"}, {long: "cryptodisk-only"}, {long: "root-dev-only"}, {long: "part-uuid"},
	{long: "part-label"}, {long: "disk-uuid"},
}

// search sets a variable, root when it is asked for without a name, to the device that has a UUID, label or file.
func search(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, true, searchOptions)
	if err != nil || len(p.args) == 0 {
		return badArgument, nil
	}
	for _, by := range []string{"part-uuid", "part-label", "disk-uuid"} {
		if p.has(by) {
			return statusFalse, &Restart{Why: "its configuration searches by --" + by}
		}
	}
	kind := ""
	for _, k := range []string{"label", "fs-uuid", "file"} { // the first that is given, as in GRUB
		if p.has(k) && kind == "" {
			kind = k
		}
	}
	if kind == "" {
		return invalid, nil
	}
	name := ""
	if p.has("set") {
		if name = p.last("set"); name == "" {
			name = "root"
		}
	}
	hints := p.options["hint"]
	if s.options.UEFI {
		hints = append(hints, p.options["hint-efi"]...)
	} else {
		hints = append(hints, p.options["hint-bios"]...)
	}
	hints = append(hints, p.args[1:]...)
	return s.search(kind, p.args[0], name, hints)
}

// searchBy makes the forms of the small configuration on an EFI system partition: VALUE [VARIABLE [HINT...]].
func searchBy(kind string) func(*shell, []string) (int, error) {
	return func(s *shell, args []string) (int, error) {
		if len(args) == 0 {
			return badArgument, nil
		}
		name := ""
		if len(args) > 1 {
			name = args[1]
		}
		return s.search(kind, args[0], name, args[min(2, len(args)):])
	}
}

// found is what a search has come to.
type found struct {
	device int
	name   string // as the variable has it: a hint is taken by its own name
	doubt  string // why GRUB may come to another device; empty when it is sure
}

// search looks for a file system. GRUB first takes what an earlier search for the same has found, then the hints in
// their order, then all devices (grub-emu, command ls): of a disk itself, then its partitions from the highest number
// down.
func (s *shell) search(kind, value, name string, hints []string) (int, error) {
	by := map[string]By{"label": ByLabel, "fs-uuid": ByUUID, "file": ByFile}[kind]
	what := fmt.Sprintf("the %s %q", kind, value)
	if by == ByFile && isBlockList(value) {
		return notFound, &Restart{Why: "its configuration searches for blocks of a disk (" + value + ")"}
	}
	f, is := s.searched[kind+value]
	if !is {
		var err error
		if f, is, err = s.lookFor(by, value, what, hints); err != nil {
			return noDevice, err
		}
	}
	if !is {
		why := fmt.Sprintf("its configuration searches for %s, which is on no file system that can be read here%s",
			what, s.notRead())
		if err := s.doubtful(name, why); err != nil {
			return noDevice, err
		}
		return s.ask(question{
			what: fmt.Sprintf("whether a search for %s finds what cannot be read here", what), failed: noDevice,
			no: func() { delete(s.doubts, name) },
		})
	}
	if s.searched[kind+value] = f; len(s.searched) > maxDoubts {
		return noDevice, limit("searches for more than %d things", maxDoubts)
	}
	if name == "" {
		return ok, nil
	}
	if err := s.set(name, f.name); err != nil || f.doubt == "" {
		return ok, err
	}
	return ok, s.doubtful(name, f.doubt)
}

// notRead names, for a reason, what something may be on.
func (s *shell) notRead() string {
	if words := s.files.Unread(); words != "" {
		return " (" + words + ")"
	}
	return ""
}

// doubtful notes why a variable may have another value in GRUB.
func (s *shell) doubtful(name, why string) error {
	if name == "" {
		return nil
	}
	if s.doubts[name] = why; len(s.doubts) > maxDoubts {
		return limit("more than %d searches that find nothing", maxDoubts)
	}
	return nil
}

// lookFor goes through the hints and then all devices.
func (s *shell) lookFor(by By, value, what string, hints []string) (f found, is bool, err error) {
	for _, h := range hints {
		disk, all := strings.CutSuffix(h, ",")
		n, err := s.partition(disk)
		switch {
		case strings.HasPrefix(h, "("): // GRUB has no device of such a name
		case errors.Is(err, errOtherDisk) && len(s.matches(by, value)) > 1:
			return f, false, &Restart{Why: fmt.Sprintf("several file systems fit the search for %s, and its hint %v",
				what, err)}
		case err != nil:
		case s.fits(n, by, value):
			return found{device: n, name: disk}, true, nil
		case all && n == 0: // the disk's partitions, from the lowest on
			m := slices.DeleteFunc(s.matches(by, value), func(n int) bool { return n < 0 })
			if len(m) > 0 {
				low := slices.Min(m)
				return found{low, s.device(low), s.unseen(what, by, 1, low)}, true, nil
			}
		}
	}
	m := s.matches(by, value)
	if len(m) == 0 {
		return f, false, nil
	}
	f = found{m[0], s.device(m[0]), s.unseen(what, by, max(m[0], 0)+1, maxPartition+1)}
	// Whether GRUB asks RAID and LVM before disks hangs on whether it has opened one before.
	if last := m[len(m)-1]; len(m) > 1 && last < 0 {
		f.doubt = fmt.Sprintf("several file systems fit the search for %s, one of them on LVM or RAID, or encrypted",
			what)
	}
	return f, true, nil
}

// unseen says why a search may find a device that is not read here before the one that it found: among the partitions
// from first up to the limit, or among RAID and LVM, which GRUB asks before disks. A UUID is one file system's alone.
func (s *shell) unseen(what string, by By, first, limit int) string {
	if by == ByUUID {
		return ""
	}
	for n := first; n < limit; n++ {
		if s.files.Unseen(n) {
			return fmt.Sprintf("its configuration searches for %s, which may be on partition %d too, that cannot be "+
				"read here", what, n)
		}
	}
	for _, l := range []Layer{MD, LVM} {
		if s.files.Holds(l) {
			return fmt.Sprintf("its configuration searches for %s, which may be on %s too, that cannot be read here",
				what, l)
		}
	}
	return ""
}

// matches lists the devices that a search is for, in GRUB's order, and behind them those on LVM and RAID.
func (s *shell) matches(by By, value string) (out []int) {
	if s.fits(0, by, value) {
		out = append(out, 0)
	}
	for n := maxPartition; n > 0; n-- {
		if s.fits(n, by, value) {
			out = append(out, n)
		}
	}
	for _, m := range s.made() {
		if m.Device < 0 && s.fits(m.Device, by, value) {
			out = append(out, m.Device)
		}
	}
	return out
}

// fits tells whether a device is one that a search is for.
func (s *shell) fits(n int, by By, value string) bool {
	facts, is := s.files.Facts(n)
	switch {
	case !is || value == "":
		return false
	case by == ByUUID:
		return strings.EqualFold(facts.UUID, value)
	case by == ByLabel:
		return facts.Label == value
	}
	return strings.HasPrefix(value, "/") && s.files.Exists(n, value, false)
}

var probeOptions = []option{
	{short: 's', long: "set", value: true}, {short: 'd', long: "driver"}, {short: 'p', long: "partmap"},
	{short: 'f', long: "fs"},
	{short: 'u', long: "fs-uuid"}, {short: 'l', long: "label"}, {long: "part-uuid"},
}

// probe asks one thing of a device. What is not known here, only GRUB can answer.
func probe(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, false, probeOptions)
	if err != nil || len(p.args) == 0 {
		return badArgument, nil
	}
	unknown := &Restart{Why: "its configuration asks with probe what cannot be known here: " + strings.Join(args, " ")}
	n, err := s.partition(p.args[0])
	if err != nil {
		return noDevice, &Restart{Why: fmt.Sprintf("%s: %v", unknown.Why, err)}
	}
	facts, is := s.files.Facts(n)
	answer := ""
	switch {
	case p.has("driver"):
	case p.has("partmap"):
		if n <= 0 {
			answer = "none"
		} else {
			answer = s.table()
		}
	case !is:
	case p.has("fs"):
		answer = fsNames[facts.FS]
	case p.has("fs-uuid"):
		answer = facts.UUID
	case p.has("label"):
		if answer = facts.Label; answer == "" && facts.FS != "" {
			return ok, s.answer(p, "")
		}
	case p.has("part-uuid"):
		answer = facts.PartUUID
	default:
		return badArgument, nil
	}
	if answer == "" {
		return statusFalse, unknown
	}
	return ok, s.answer(p, answer)
}

func (s *shell) answer(p parsed, value string) error {
	if !p.has("set") {
		return nil
	}
	return s.set(p.last("set"), value)
}

// fsNames are GRUB's names of file systems, by Linux's.
var fsNames = map[string]string{"ext2": "ext2", "ext3": "ext2", "ext4": "ext2", "vfat": "fat", "xfs": "xfs",
	"btrfs": "btrfs", "f2fs": "f2fs"}
