package grub

import (
	"fmt"
	"path"
	"sort"
	"strconv"
	"strings"
)

// blscfg adds the entries of the Boot Loader Specification to the menu as Red Hat's GRUB does: from $blsdir, else /loader/entries on
// $boot or, without one, on $root; where that has none, from /boot/loader/entries there. The highest name comes first. An entry is
// a menu entry with the commands linux and initrd; its name without ".conf" is the id. "non-default" and "default" pick some.
func blscfg(s *shell, args []string) (int, error) {
	dev := s.get("boot")
	if dev == "" {
		dev = s.get("root")
	}
	dev = strings.Trim(dev, "()")
	n, err := parseDevice(dev)
	if err != nil {
		return noDevice, &Restart{Why: fmt.Sprintf("its entries are on %v", err)}
	}
	dirs := []string{"/loader/entries", "/boot/loader/entries"}
	if dir := s.get("blsdir"); dir != "" {
		dirs = []string{dir, dirs[1]}
	}
	var entries []blsEntry
	if where := s.besideBLS(n); where != "" {
		return statusFalse, &Restart{Why: fmt.Sprintf("there are boot entries in %s too, which newer GRUBs of Red Hat's list "+
			"with the others and older ones do not", where)}
	}
	for _, dir := range dirs {
		if entries, err = readBLS(s.files, n, dir); err != nil {
			return statusFalse, err
		}
		if len(entries) > 0 {
			break
		}
	}
	sort.SliceStable(entries, func(i, j int) bool { return comparePackages(entries[i].id, entries[j].id) > 0 })
	s.bls = true
	for i, e := range entries {
		if e.first("linux") == "" || len(args) > 0 && !e.picked(args[0], s.get("default"), i) {
			continue
		}
		m, err := s.blsItem(e, dev)
		if err != nil {
			return invalid, err
		}
		if err := s.addItem(m); err != nil {
			return statusFalse, err
		}
	}
	return ok, nil
}

// besideBLS names a folder of the EFI system partition that has boot entries beside those on device n; empty when there is none.
func (s *shell) besideBLS(n int) string {
	if !s.options.UEFI {
		return ""
	}
	for esp := range maxPartition + 1 {
		if facts, is := s.files.Facts(esp); !is || facts.FS != "vfat" {
			continue
		}
		for dir, ext := range map[string]string{"/EFI/Linux": ".efi", "/loader/entries": ".conf"} {
			names, err := s.files.List(esp, dir)
			if err != nil || esp == n && ext == ".conf" {
				continue
			}
			for _, name := range names {
				if strings.EqualFold(path.Ext(name), ext) {
					return File{esp, dir}.String()
				}
			}
		}
	}
	return ""
}

// picked tells whether blscfg with an argument takes the entry: the file of that name, the default, or all but it.
func (e blsEntry) picked(arg, def string, index int) bool {
	isDefault := def != "" && (def == e.id || def == e.first("title") || def == strconv.Itoa(index))
	switch arg {
	case "default":
		return isDefault
	case "non-default":
		return !isDefault
	}
	return strings.TrimSuffix(path.Base(arg), ".conf") == e.id
}

// blsItem makes a menu entry of a Boot Loader Specification entry. The commands are read as every configuration is: blanks in a row
// become one, quotes keep words together.
func (s *shell) blsItem(e blsEntry, dev string) (item, error) {
	at := "(" + dev + ")"
	s.unknown = ""
	options := e.first("options")
	if options == "" {
		options = s.get("default_kernelopts")
	}
	script := "linux " + at + e.first("linux") + " " + s.blsValue(options) + "\n"
	var initrds []string
	for _, v := range e.keys["initrd"] {
		initrds = append(initrds, strings.Fields(s.blsValue(v))...)
	}
	// Early initrds are named without their folder, which is that of the first initrd, else of the kernel.
	beside := e.first("linux")
	if len(initrds) > 0 {
		beside = initrds[0]
	}
	var early []string
	for _, name := range strings.Fields(s.get("early_initrd")) {
		early = append(early, beside[:strings.LastIndexByte(beside, '/')+1]+name)
	}
	initrds = append(early, initrds...)
	for i, v := range initrds {
		initrds[i] = at + v
	}
	if len(initrds) > 0 {
		script += "initrd " + strings.Join(initrds, " ") + "\n"
	}
	for _, key := range []string{"devicetree", "efi", "uki"} {
		if v := e.first(key); v != "" {
			script += "devicetree " + at + v + "\n"
		}
	}
	users := s.blsValue(e.first("grub_users"))
	if err := s.known(); err != nil {
		return item{}, fmt.Errorf("entry %s: %w", e.id, err)
	}
	body, err := s.parse(script)
	if err != nil {
		return item{}, fmt.Errorf("entry %s: %w", e.id, err)
	}
	title := e.first("title")
	if title == "" {
		title = e.first("linux")
	}
	m := item{title: title, id: e.id, args: []string{title}, body: body, protected: users != ""}
	for _, a := range e.keys["grub_arg"] {
		if a == "--unrestricted" {
			m.protected = false
		}
	}
	return m, nil
}

// blsValue puts variables such as $kernelopts into a value: a blank follows each, one that is not set leaves nothing.
func (s *shell) blsValue(v string) string {
	var b strings.Builder
	for {
		text, rest, is := strings.Cut(v, "$")
		b.WriteString(text)
		if !is || b.Len() > maxValue {
			return b.String()
		}
		n := 0
		for n < len(rest) && isName(rest[n]) {
			n++
		}
		if n > 0 {
			if value := s.get(rest[:n]); value != "" {
				b.WriteString(value + " ")
			}
		}
		v = strings.TrimPrefix(rest[n:], " ")
	}
}

// HasVariables tells whether a value of a Boot Loader Specification entry has variables ($kernelopts, $tuned_params), which only Red
// Hat's GRUB fills in: another loader would hand them to the kernel as they are.
func HasVariables(value string) bool {
	for i := range len(value) - 1 {
		if value[i] == '$' && isName(value[i+1]) && (value[i+1] < '0' || value[i+1] > '9') {
			return true
		}
	}
	return false
}

// blsEntry is a type 1 entry.
type blsEntry struct {
	id   string // the file's name without .conf
	keys map[string][]string
}

// first returns a key's first value: GRUB looks at no other one but of initrd, grub_class and grub_arg.
func (e blsEntry) first(key string) string {
	if v := e.keys[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// readBLS reads the entries of a directory.
func readBLS(files Files, dev int, dir string) (out []blsEntry, err error) {
	names, err := files.List(dev, dir)
	if err != nil {
		return nil, nil
	}
	for _, name := range names {
		id, is := strings.CutSuffix(name, ".conf")
		if !is {
			continue
		}
		if len(out) == maxEntries {
			return nil, limit("more than %d boot entries in %v", maxEntries, File{dev, dir})
		}
		if strings.HasPrefix(name, ".") || id == "" {
			continue
		}
		file := path.Join(dir, name)
		b, err := files.ReadFile(dev, file, 64<<10)
		if err != nil {
			return nil, &Restart{Why: fmt.Sprintf("a boot entry cannot be read: %v", err)}
		}
		e := blsEntry{id: id}
		if e.keys, err = readKeys(string(b)); err != nil {
			return nil, &Restart{Why: fmt.Sprintf("%v: %v", File{dev, file}, err)}
		}
		out = append(out, e)
	}
	return out, nil
}

// readKeys reads an entry as Red Hat's GRUB does: blanks before a key do not count, a remark is passed over, and a line without a
// value, an empty one too, is the end: what stands below it is not read. Where its versions differ it is an error.
func readKeys(text string) (keys map[string][]string, err error) {
	keys = map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t")
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			return keys, nil
		}
		key, value := line[:i], strings.TrimLeft(line[i:], " \t")
		switch {
		case value == "" && len(line) == i+1:
			return keys, nil
		case value == "":
			return nil, fmt.Errorf("%q has blanks for a value, which end the entry for some GRUBs only", key)
		case line[i] == '\t' && strings.Contains(line, " "):
			return nil, fmt.Errorf("%q has a tab behind it and blanks further on, and GRUBs differ in where it ends", key)
		}
		keys[key] = append(keys[key], value)
	}
	return keys, nil
}

// comparePackages orders the names of entries as Red Hat's GRUB does: NAME-VERSION-RELEASE, each part by the rules of RPM.
func comparePackages(a, b string) int {
	an, av, ar := splitPackage(a)
	bn, bv, br := splitPackage(b)
	for _, p := range [][2]string{{an, bn}, {av, bv}, {ar, br}} {
		if c := compareRPM(p[0], p[1]); c != 0 {
			return c
		}
	}
	return 0
}

func splitPackage(v string) (name, version, release string) {
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		v, release = v[:i], v[i+1:]
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		v, version = v[:i], v[i+1:]
	}
	return v, version, release
}

// compareRPM compares versions as RPM documents it (rpm-version(7)): runs of digits by value, runs of letters as text, digits above letters,
// what goes on above what ends, ~ below everything, ^ above the end and below all else.
func compareRPM(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		for _, mark := range []byte{'~', '^'} {
			at, bt := a != "" && a[0] == mark, b != "" && b[0] == mark
			switch {
			case at && bt:
				a, b = a[1:], b[1:]
			case at:
				return map[bool]int{true: 1, false: -1}[mark == '^' && b == ""]
			case bt:
				return map[bool]int{true: -1, false: 1}[mark == '^' && a == ""]
			}
		}
		if a == "" || b == "" {
			break
		}
		if separates(rune(a[0])) || separates(rune(b[0])) || a[0] == '~' || b[0] == '~' || a[0] == '^' || b[0] == '^' {
			continue
		}
		is := isLetter
		if isDigit(a[0]) {
			is = isDigit
		}
		i, j := run(a, is), run(b, is)
		if j == 0 {
			return map[bool]int{true: 1, false: -1}[isDigit(a[0])]
		}
		x, y := a[:i], b[:j]
		if isDigit(a[0]) {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return compareInt(len(x), len(y))
			}
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return compareInt(len(a), len(b))
}

func separates(r rune) bool {
	return r != '~' && r != '^' && (r >= 128 || !isDigit(byte(r)) && !isLetter(byte(r)))
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// run returns how many bytes at the start of v are of a kind.
func run(v string, is func(byte) bool) int {
	n := 0
	for n < len(v) && is(v[n]) {
		n++
	}
	return n
}

func compareInt(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// String is for messages.
func (e *Entry) String() string {
	return fmt.Sprintf("%q: kernel %v, %d initrds, %q", e.Title, e.Kernel, len(e.Initrds), e.Args)
}
