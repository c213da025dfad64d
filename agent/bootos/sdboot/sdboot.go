// Package sdboot finds out which entry systemd-boot would start when nobody touches a key: from the Boot Loader
// Specification's entries (UAPI.1) of the EFI system partition and of XBOOTLDR together, loader.conf(5), and the
// firmware's variables of the Boot Loader Interface.
package sdboot

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/internal/rx"
)

// Files is what systemd-boot sees of the disk.
type Files interface {
	ReadFile(device int, path string, max int64) ([]byte, error)
	Exists(device int, path string, dir bool) bool
	List(device int, path string) ([]string, error)
	// OSRelease returns the section .osrel of a unified kernel image; empty for what is none.
	OSRelease(device int, path string) string
}

// Variables returns a variable of the Boot Loader Interface, empty when it is not set.
type Variables interface{ Loader(name string) string }

// Options of Default.
type Options struct {
	ESP       int   // the partition that systemd-boot was started from, with loader.conf
	Others    []int // XBOOTLDR
	Arch      string
	Variables Variables // nil: the firmware's variables cannot be read
	Version   int       // of the systemd-boot that is started, 0 when it is not known
}

// Default returns the entry that would be started. A *grub.Restart says why that cannot be known or done from here.
func Default(files Files, o Options) (*Entry, error) {
	if o.Variables != nil {
		if once := o.Variables.Loader("LoaderEntryOneShot"); once != "" {
			return nil, &grub.Restart{Entry: once,
				Why: "it was chosen for one start, which only systemd-boot ticks off"}
		}
		if o.Variables.Loader("LoaderConfigTimeoutOneShot") != "" {
			return nil, &grub.Restart{Why: "its menu is to be shown at one start, which only systemd-boot ticks off"}
		}
	}
	conf, err := readConf(files, o.ESP, o.Version)
	if err != nil {
		return nil, err
	}
	if err := waits(conf, o.Variables); err != nil {
		return nil, err
	}
	if err := bounded(conf, o.Variables); err != nil {
		return nil, err
	}
	entries, err := Entries(files, o)
	if errors.Is(err, ErrNoEntries) {
		err = automatic(files, o, err)
	}
	if err != nil {
		return nil, err
	}
	e, err := choose(files, o, conf, entries)
	if err != nil {
		return nil, err
	}
	return e, e.check(files)
}

// automatic is the error of a menu that has nothing but entries that systemd-boot makes by itself; else it is the given
// one.
func automatic(files Files, o Options, err error) error {
	for _, a := range auto {
		if a.file != "" && a.id != "auto-efi-default" && files.Exists(o.ESP, a.file, false) {
			return &grub.Restart{Entry: a.id,
				Why: fmt.Sprintf("%v, and %s, which systemd-boot finds by itself, is not started with kexec", err,
					a.what), Err: err}
		}
	}
	return err
}

// simple is a pattern that every version reads alike: in a set, characters and ranges. systemd-boot knows no negation,
// and takes other signs in a set as fnmatch(3) does or does not.
var simple = rx.New(`^([^\[\]\\]|\[([\w.+](-[\w.+])?)+\])*$`)

// bounded refuses patterns that are longer than names are, since each is held against the name of each entry, and those
// that are not simple.
func bounded(conf map[string]string, vars Variables) error {
	patterns := map[string]string{"default in loader.conf": conf["default"],
		"preferred in loader.conf": conf["preferred"]}
	if vars != nil {
		for _, v := range append([]string{"LoaderEntryDefault", "LoaderEntryLastBooted"}, newer...) {
			patterns[v] = vars.Loader(v)
		}
	}
	for what, p := range patterns {
		if len(p) > maxPattern {
			return &grub.Restart{Why: fmt.Sprintf("%s has %d bytes, more than an entry's name", what, len(p))}
		}
		if !simple().MatchString(p) {
			return &grub.Restart{Entry: p,
				Why: fmt.Sprintf("%s is a pattern that is not read here as systemd-boot reads it", what)}
		}
	}
	return nil
}

// waits refuses a menu that waits for somebody: systemd-boot starts nothing by itself then. The firmware's variable is
// above loader.conf.
func waits(conf map[string]string, vars Variables) error {
	timeout, where := conf["timeout"], "loader.conf"
	if vars != nil {
		if v := vars.Loader("LoaderConfigTimeout"); v != "" {
			timeout, where = v, "LoaderConfigTimeout"
		}
	}
	if timeout != "menu-force" {
		return nil
	}
	return &grub.Restart{Why: fmt.Sprintf("systemd-boot shows its menu and waits for somebody (timeout menu-force in "+
		"%s)", where)}
}

// choose follows the rules of each version that it may be. They must come to the same.
func choose(files Files, o Options, conf map[string]string, entries []*Entry) (*Entry, error) {
	if conf["default"] == "@saved" && o.Version != 0 && o.Version < 252 {
		return nil, &grub.Restart{Entry: "@saved",
			Why: fmt.Sprintf("loader.conf wants the entry that was started last, which systemd-boot %d may not know",
				o.Version)}
	}
	var e *Entry
	var err error
	for i, r := range rulesOf(o.Version) {
		other, no := r.choose(files, o, conf, entries)
		if i == 0 {
			e, err = other, no
			continue
		}
		if e != other || (err == nil) != (no == nil) {
			return nil, &grub.Restart{Entry: conf["default"],
				Why: fmt.Sprintf("systemd-boot's versions name and order entries differently, and here it matters: "+
					"%s or %s",
					outcome(e, err), outcome(other, no))}
		}
	}
	return e, err
}

func outcome(e *Entry, err error) string {
	if err != nil {
		return err.Error()
	}
	return e.file
}

// choose follows the variables first, then loader.conf, then the order.
func (r rules) choose(files Files, o Options, conf map[string]string, entries []*Entry) (*Entry, error) {
	entries = slices.DeleteFunc(slices.Clone(entries), func(e *Entry) bool { return e.kind == "uki" && !r.uki })
	slices.SortStableFunc(entries, r.compare)
	want, saved := conf["default"], ""
	if o.Variables != nil {
		saved = o.Variables.Loader("LoaderEntryLastBooted")
		if v := o.Variables.Loader("LoaderEntryDefault"); v != "" {
			if e, err := r.find(files, o, entries, pick(v, saved)); e != nil || err != nil {
				return e, cmp.Or(err, r.preferred(o, conf, entries, e))
			}
		}
	}
	if want == "@saved" && o.Variables == nil && len(entries) > 1 {
		return nil, &grub.Restart{Entry: want,
			Why: "loader.conf wants the entry that was started last, and the firmware's variable that names it " +
				"cannot be read"}
	}
	e, err := r.find(files, o, entries, pick(want, saved))
	if err != nil {
		return nil, err
	}
	if e == nil && len(entries) > 0 {
		if r.old && len(entries) > 1 {
			return nil, r.ownOrder("the first of them is started")
		}
		e = entries[0]
		if err := r.alone(e, entries, ""); err != nil {
			return nil, err
		}
		// Versions before 245 compare the pattern with the name without .conf.
		if old := slices.IndexFunc(entries, func(x *Entry) bool { return r.match(x, want+".conf") }); o.Version == 0 &&
			old > 0 {
			return nil, &grub.Restart{Entry: entries[old].ID,
				Why: fmt.Sprintf("loader.conf says %q without .conf, which systemd-boot's versions read differently",
					want)}
		}
	}
	if e == nil {
		return nil, &grub.Restart{Why: "systemd-boot has no entry whose kernel is there, and shows its menu"}
	}
	return e, r.preferred(o, conf, entries, e)
}

// preferred refuses an entry before which another one is preferred, in loader.conf or by the firmware's variable, or is
// to be taken where the system failed: newer versions know these, and they are followed where they say the same.
func (r rules) preferred(o Options, conf map[string]string, entries []*Entry, e *Entry) error {
	wants := [][2]string{{"loader.conf prefers", conf["preferred"]}}
	if o.Variables != nil {
		for _, name := range newer {
			wants = append(wants, [2]string{"the firmware's variable " + name + " names", o.Variables.Loader(name)})
		}
	}
	for _, want := range wants {
		who, p := want[0], want[1]
		fits := func(x *Entry) bool { return r.match(x, p) && x.Left != 0 }
		i := slices.IndexFunc(entries, fits)
		if strings.HasPrefix(p, "@") || i >= 0 && entries[i] != e {
			return &grub.Restart{Entry: p, Why: who + " it, and older versions of systemd-boot do not know that"}
		}
	}
	return nil
}

// newer are variables that name entries and that not every version knows (pull request 40324; Boot Loader Interface).
var newer = []string{"LoaderEntryPreferred", "LoaderEntrySysFail"}

// alone refuses an entry that has the rank of another one of its partition, which the pattern fits as well: which of
// them comes first is the order of the files in their folder. They may start the same.
func (r rules) alone(e *Entry, entries []*Entry, pattern string) error {
	for _, x := range entries {
		if x == e || x.Device != e.Device || r.compare(e, x) != 0 || pattern != "" && !r.match(x, pattern) ||
			x.Kernel == e.Kernel && x.Args == e.Args && slices.Equal(x.Initrds, e.Initrds) {
			continue
		}
		return &grub.Restart{Entry: e.ID, Why: fmt.Sprintf("%s and %s have the same rank, and systemd-boot takes the "+
			"one that its folder lists first", e.file, x.file)}
	}
	return nil
}

// ownOrder refuses to guess which entry comes first.
func (r rules) ownOrder(why string) error {
	return &grub.Restart{Why: "systemd-boot before 250 orders its entries in ways of its own, and " + why}
}

func pick(pattern, saved string) string {
	if pattern == "@saved" {
		return saved
	}
	return pattern
}

// find returns the first entry that a pattern fits, in the order of the menu; nil when it fits none. Entries that
// systemd-boot makes by itself come after the others.
func (r rules) find(files Files, o Options, entries []*Entry, pattern string) (*Entry, error) {
	if pattern == "" {
		return nil, nil
	}
	if r.stem && slices.ContainsFunc(entries, func(e *Entry) bool { return e.kind == kindUKI }) {
		return nil, &grub.Restart{Entry: pattern,
			Why: "systemd-boot before 245 has names of its own for unified kernel images"}
	}
	var first *Entry
	for _, e := range entries {
		if !r.match(e, pattern) {
			continue
		}
		if first != nil && r.old {
			return nil, r.ownOrder(fmt.Sprintf("%q fits several", pattern))
		}
		if first != nil && r.either {
			return nil, &grub.Restart{Entry: pattern, Why: fmt.Sprintf("the pattern fits %s and %s, and "+
				"systemd-boot 250 takes the newest or, before it was mended, the oldest", first.file, e.file)}
		}
		if first == nil {
			first = e
		}
	}
	if first != nil {
		return first, r.alone(first, entries, pattern)
	}
	for _, a := range auto {
		ok, _ := path.Match(strings.ToLower(pattern), a.id)
		if ok && (a.file == "" || files.Exists(o.ESP, a.file, false)) {
			return nil, &grub.Restart{Entry: a.id, Why: a.what + " is not started with kexec"}
		}
	}
	return nil, nil
}

// auto are the entries that systemd-boot finds by itself, and the file that makes each appear.
var auto = []struct{ id, file, what string }{
	{"auto-osx", "/System/Library/CoreServices/boot.efi", "macOS"},
	{"auto-windows", "/EFI/Microsoft/Boot/bootmgfw.efi", "the Windows Boot Manager"},
	{"auto-efi-shell", "/shellx64.efi", "the EFI shell"},
	{"auto-efi-default", "/EFI/BOOT/BOOTX64.EFI", "the firmware's fallback loader"},
	{"auto-reboot-to-firmware-setup", "", "the firmware's setup"},
	{"auto-poweroff", "", "switching off"},
}

// maxPattern bounds a pattern for the names of entries, in bytes.
const maxPattern = 1024

// maxFile bounds, in bytes, an entry and loader.conf.
const maxFile = 64 << 10

// readConf returns the settings of loader.conf; of a key that is given twice the last counts. A default that begins
// with @ and is not @saved is passed over; before 252 versions may have taken it for a name, which matters where one
// stands above it.
func readConf(files Files, esp, version int) (map[string]string, error) {
	const name = "/loader/loader.conf"
	conf := map[string]string{}
	if !files.Exists(esp, name, false) {
		return conf, nil
	}
	text, err := readText(files, esp, name)
	if err != nil {
		return nil, err
	}
	odd := ""
	for key, value := range settings(text) {
		if key == "default" {
			if odd = ""; strings.HasPrefix(value, "@") && value != "@saved" {
				odd = value
				continue
			}
		}
		conf[key] = value
	}
	if odd != "" && (strings.EqualFold(odd, "@saved") || conf["default"] != "" && version < 252) {
		return nil, &grub.Restart{Entry: odd,
			Why: "systemd-boot's versions differ in what this default in loader.conf means"}
	}
	return conf, nil
}

// readText returns the text of an entry or of loader.conf. It ends at a NUL for systemd-boot, and a line does for
// bootctl: such a file, or one of UTF-16, is a restart.
func readText(files Files, dev int, name string) (string, error) {
	b, err := files.ReadFile(dev, name, maxFile)
	if err == nil && slices.Contains(b, 0) {
		return "", &grub.Restart{Why: fmt.Sprintf("%s has a byte 0, and is no text to every program that reads it",
			name)}
	}
	return string(b), err
}

// settings yields the "key value" lines of an entry or of loader.conf. A carriage return ends a line as well; what is
// trimmed are blanks and tabs alone.
func settings(text string) func(yield func(key, value string) bool) {
	return func(yield func(key, value string) bool) {
		for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", "\n"), "\n") {
			line = strings.Trim(line, " \t")
			i := strings.IndexAny(line, " \t")
			if i < 0 || line[0] == '#' {
				continue
			}
			value := strings.TrimLeft(line[i:], " \t")
			if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			if !yield(line[:i], value) {
				return
			}
		}
	}
}

// check refuses what cannot be started from here as systemd-boot would start it.
func (e *Entry) check(files Files) error {
	restart := func(format string, args ...any) error {
		return &grub.Restart{Entry: e.ID, Why: fmt.Sprintf(format, args...)}
	}
	switch {
	case !files.Exists(e.Device, e.Kernel, false):
		return restart("its kernel %s is a folder, which systemd-boot opens and cannot start", e.Kernel)
	case e.kind == "efi" && files.OSRelease(e.Device, e.Kernel) == "":
		return restart("%s is an EFI program, which only the firmware starts", e.Kernel)
	case e.devicetree != "":
		return restart("it brings the device tree %s, which kexec cannot pass on", e.devicetree)
	case e.other != "":
		return restart("it has the line %q, which is not followed here", e.other)
	case grub.HasVariables(e.Args + " " + e.Kernel + " " + strings.Join(e.Initrds, " ")):
		return restart("it has a $variable, and no GRUB is here to give it a value")
	}
	for _, i := range e.Initrds {
		if !files.Exists(e.Device, i, false) {
			return restart("its initrd %s is not there", i)
		}
	}
	return nil
}

// ErrNoEntries is the error of partitions on which nothing of the Boot Loader Specification lies.
var ErrNoEntries = errors.New("it has no entries of the Boot Loader Specification")
