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
	for _, dir := range dirs {
		if entries = readBLS(s.files, n, dir); len(entries) > 0 {
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
	options := e.first("options")
	if options == "" {
		options = s.get("default_kernelopts")
	}
	script := "linux " + at + e.first("linux") + " " + s.blsValue(options) + "\n"
	initrds := strings.Fields(s.get("early_initrd"))
	for _, v := range e.keys["initrd"] {
		initrds = append(initrds, strings.Fields(s.blsValue(v))...)
	}
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
	body, err := parse(script)
	if err != nil {
		return item{}, fmt.Errorf("entry %s: %w", e.id, err)
	}
	title := e.first("title")
	if title == "" {
		title = e.first("linux")
	}
	m := item{title: title, id: e.id, args: []string{title}, body: body, protected: s.blsValue(e.first("grub_users")) != ""}
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
func readBLS(files Files, dev int, dir string) (out []blsEntry) {
	names, err := files.List(dev, dir)
	if err != nil {
		return nil
	}
	for _, name := range names {
		id, is := strings.CutSuffix(name, ".conf")
		if !is || len(out) >= maxEntries {
			continue
		}
		b, err := files.ReadFile(dev, path.Join(dir, name), 64<<10)
		if err != nil {
			continue
		}
		e := blsEntry{id: id, keys: map[string][]string{}}
		for line := range strings.Lines(string(b)) {
			line = strings.TrimRight(line, "\r\n")
			i := strings.IndexAny(line, " \t")
			if i <= 0 || line[0] == '#' {
				continue
			}
			e.keys[line[:i]] = append(e.keys[line[:i]], strings.TrimLeft(line[i:], " \t"))
		}
		out = append(out, e)
	}
	return out
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
