package grub

import (
	"errors"
	"fmt"
	"strings"
)

var searchOptions = []option{
	{short: 'f', long: "file"}, {short: 'l', long: "label"}, {short: 'u', long: "fs-uuid"},
	{short: 's', long: "set", value: true, optional: true}, {short: 'n', long: "no-floppy"},
	{short: 'h', long: "hint", value: true}, {long: "hint-ieee1275", value: true}, {long: "hint-bios", value: true},
	{long: "hint-efi", value: true}, {long: "hint-baremetal", value: true}, {long: "hint-arc", value: true},
	// Of later GRUBs, and of Red Hat's, CoreOS's and Debian's.
	{long: "efidisk-only"}, {long: "cryptodisk-only"}, {long: "root-dev-only"}, {long: "part-uuid"}, {long: "part-label"}, {long: "disk-uuid"},
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

func (s *shell) search(kind, value, name string, hints []string) (int, error) {
	by := map[string]By{"label": ByLabel, "fs-uuid": ByUUID, "file": ByFile}[kind]
	dev, found := s.files.Find(by, value)
	// A hint only decides between several that fit. Its disk's number is from the day of the installation.
	for _, h := range hints {
		n, err := parseDevice(strings.TrimSuffix(h, ","))
		if err != nil {
			if found && errors.Is(err, errOtherDisk) && s.fitting(by, value) > 1 {
				return noDevice, &Restart{Why: fmt.Sprintf("several file systems fit the search for the %s %q, and its hint %v", kind, value, err)}
			}
			continue
		}
		if s.fits(n, by, value) {
			dev, found = n, true
			break
		}
	}
	if !found {
		if name != "" {
			if s.doubts[name] = fmt.Sprintf("the %s %q", kind, value); len(s.doubts) > maxDoubts {
				return noDevice, limit("more than %d searches that find nothing", maxDoubts)
			}
		}
		return noDevice, nil
	}
	if name == "" {
		return ok, nil
	}
	return ok, s.set(name, s.device(dev))
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
	return s.files.Exists(n, value, false)
}

// fitting counts them.
func (s *shell) fitting(by By, value string) (count int) {
	for n := range maxPartition + 1 {
		if s.fits(n, by, value) {
			count++
		}
	}
	return count
}

var probeOptions = []option{
	{short: 's', long: "set", value: true}, {short: 'd', long: "driver"}, {short: 'p', long: "partmap"}, {short: 'f', long: "fs"},
	{short: 'u', long: "fs-uuid"}, {short: 'l', long: "label"}, {long: "part-uuid"},
}

// probe asks one thing of a device. What is not known here, only GRUB can answer.
func probe(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, false, probeOptions)
	if err != nil || len(p.args) == 0 {
		return badArgument, nil
	}
	unknown := &Restart{Why: "its configuration asks with probe what cannot be known here: " + strings.Join(args, " ")}
	n, err := parseDevice(p.args[0])
	if err != nil {
		return noDevice, &Restart{Why: fmt.Sprintf("%s: %v", unknown.Why, err)}
	}
	facts, is := s.files.Facts(n)
	answer := ""
	switch {
	case p.has("driver"):
	case p.has("partmap"):
		if n == 0 {
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
var fsNames = map[string]string{"ext2": "ext2", "ext3": "ext2", "ext4": "ext2", "vfat": "fat", "xfs": "xfs", "btrfs": "btrfs", "f2fs": "f2fs"}
