package grub

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

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

// readBLS reads the entries of the first of the directories that is there, be it an empty one.
func (s *shell) readBLS(dev int, dirs []string) (from File, out []blsEntry, err error) {
	i := slices.IndexFunc(dirs, func(dir string) bool { return s.files.Exists(dev, dir, true) })
	if i < 0 {
		return File{}, nil, nil
	}
	from = File{dev, dirs[i]}
	names, err := s.files.List(dev, from.Path)
	if err != nil {
		return from, nil, &Restart{Why: fmt.Sprintf("its boot entries cannot be read: %v", err)}
	}
	for _, name := range names {
		id, is := strings.CutSuffix(name, ".conf")
		if !is {
			continue
		}
		if len(out) == maxEntries {
			return from, nil, limit("more than %d boot entries in %v", maxEntries, from)
		}
		if strings.HasPrefix(name, ".") || id == "" {
			continue
		}
		file := path.Join(from.Path, name)
		b, err := s.files.ReadFile(dev, file, 64<<10)
		if err != nil {
			return from, nil, &Restart{Why: fmt.Sprintf("a boot entry cannot be read: %v", err)}
		}
		e := blsEntry{id: id}
		if e.keys, err = readKeys(string(b)); err == nil && e.first("linux") == "" && e.first("efi") != "" {
			err = fmt.Errorf("it names an EFI program, and newer GRUBs list it and older ones do not")
		}
		if err != nil {
			return from, nil, &Restart{Why: fmt.Sprintf("%v: %v", File{dev, file}, err)}
		}
		out = append(out, e)
	}
	return from, out, nil
}

// readKeys reads an entry as Red Hat's GRUB does: carriage returns are nothing, blanks before a key do not count, a
// remark is passed over, and a line without a value, an empty one too, is the end: what stands below it is not read.
// Where its versions differ it is an error.
func readKeys(text string) (keys map[string][]string, err error) {
	keys = map[string][]string{}
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "")) {
		line = strings.TrimLeft(strings.TrimRight(line, "\n"), " \t")
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
			return nil, fmt.Errorf("%q has a tab behind it and blanks further on, and GRUBs differ in where it ends",
				key)
		}
		keys[key] = append(keys[key], value)
	}
	return keys, nil
}

// blsOptions is an entry's command line. One that comes to nothing, having none or nothing but variables that are not
// set, is $default_kernelopts.
func (s *shell) blsOptions(e blsEntry) (string, error) {
	value := func(blanks bool) string {
		v, is := s.blsValue(e.first("options"), blanks)
		if !is {
			v, _ = s.blsValue(s.get("default_kernelopts"), blanks)
		}
		return v
	}
	older, newer := value(false), value(true)
	same := older == newer || slices.Equal(strings.Fields(older), strings.Fields(newer)) &&
		!strings.ContainsAny(newer, `'"\`)
	if !same {
		return "", &Restart{Why: fmt.Sprintf("its options are %q to older GRUBs of Red Hat's and %q to newer ones",
			older, newer)}
	}
	return newer, nil
}

// blsValue puts variables such as $kernelopts into a value, and tells whether anything came of it. Since November 2019
// (2.04-5 and RHEL's 2.02-79) there are blanks: one is put behind each variable, and one that stood there is passed
// over. As GRUB does it, a single character between variables or for the whole value is lost, as is a name of a single
// letter before another variable or the end; and a variable that is not set, with nothing before it, ends the value
// when another variable or nothing follows at once.
func (s *shell) blsValue(v string, blanks bool) (out string, is bool) {
	var b strings.Builder
	behind := false // a variable
	for v != "" && b.Len() <= maxValue {
		if v[0] != '$' {
			text, _, _ := strings.Cut(v, "$")
			v = v[len(text):]
			if behind && blanks {
				text = strings.TrimPrefix(text, " ")
			}
			if behind = false; len(text) != 1 {
				b.WriteString(text)
				is = true
			}
			continue
		}
		n := 1
		for n < len(v) && isName(v[n]) {
			n++
		}
		name := v[1:n]
		v, behind = v[n:], true
		inText := v != "" && v[0] != '$'
		if len(name) == 1 && !inText {
			continue
		}
		value, set := "", false
		if name != "" {
			value, set = s.lookup(name)
		}
		switch {
		case set:
			b.WriteString(value)
			if is = true; blanks {
				b.WriteByte(' ')
			}
		case !is && !inText:
			return "", false
		}
	}
	return b.String(), is
}

// HasVariables tells whether a value of a Boot Loader Specification entry has variables ($kernelopts, $tuned_params),
// which only Red Hat's GRUB fills in: another loader would hand them to the kernel as they are.
func HasVariables(value string) bool {
	for i := range len(value) - 1 {
		if value[i] == '$' && isName(value[i+1]) && (value[i+1] < '0' || value[i+1] > '9') {
			return true
		}
	}
	return false
}
