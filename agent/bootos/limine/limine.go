// Package limine finds out which entry Limine would start when nobody touches a key, from its configuration as
// CONFIG.md of its source describes it: limine.conf since version 8, limine.cfg before.
//
// It knows UEFI's Limine, whose configuration is on the partition that it was started from. What its versions read in
// different ways is a *grub.Restart.
package limine

import (
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// Files is what Limine sees of the disk.
type Files interface {
	ReadFile(device int, path string, max int64) ([]byte, error)
	Exists(device int, path string, dir bool) bool
	// Facts returns what is known of a partition's file system; false when it has none that can be read.
	Facts(device int) (grub.Facts, bool)
	// PartUUID returns a partition's GUID, empty when it has none.
	PartUUID(device int) string
	// Numbers lists the partitions.
	Numbers() []int
	// Sum returns the BLAKE2b-512 of a file.
	Sum(grub.File) ([]byte, error)
}

// Entry is what Limine starts.
type Entry struct {
	Title   string
	Program bool // Kernel is an EFI program, which gets no command line
	Kernel  grub.File
	Initrds []grub.File
	Args    string
}

// Limits, in bytes and entries.
const (
	maxConfig  = 1 << 20
	maxEntries = 1024
	maxDepth   = 16
)

// configs are where versions look on a partition, beside the folder that they were started from.
var configs = []string{"/limine", "/limine/limine", "/boot/limine", "/boot/limine/limine", "/EFI/BOOT/limine"}

// Configs lists the configurations on the partition of a Limine that was started from a folder of it. Which of them
// counts hangs on its version. exists tells whether a file is there.
func Configs(dir string, exists func(file string) bool) (found []string) {
	for _, name := range slices.Insert(slices.Clone(configs), 0, path.Join("/", dir, "limine")) {
		for _, ext := range []string{".conf", ".cfg"} {
			fits := func(f string) bool { return strings.EqualFold(f, name+ext) }
			if !slices.ContainsFunc(found, fits) && exists(name+ext) {
				found = append(found, name+ext)
			}
		}
	}
	return found
}

// row is an entry of the menu, or a folder of entries.
type row struct {
	title   string
	depth   int
	open    bool // a folder whose entries are shown
	folder  bool
	options []option
}

type option struct{ name, value string }

// config is a file as it was read.
type config struct {
	file   grub.File
	old    bool // limine.cfg
	global map[string]string
	rows   []row
}

// Default returns what the configuration starts.
func Default(files Files, at grub.File) (*Entry, error) {
	text, err := files.ReadFile(at.Device, at.Path, maxConfig)
	if err != nil {
		return nil, &grub.Restart{Why: fmt.Sprintf("its configuration cannot be read: %v", err), Err: err}
	}
	c := &config{file: at, old: strings.EqualFold(path.Ext(at.Path), ".cfg"), global: map[string]string{}}
	if err := c.parse(string(text)); err != nil {
		return nil, err
	}
	r, err := c.choose()
	if err != nil {
		return nil, err
	}
	e, err := c.entry(files, r)
	if err != nil {
		return nil, &grub.Restart{Entry: r.title, Why: err.Error(), Err: err}
	}
	return e, nil
}

// globals are options that decide what is started, wherever in the file they are.
var globals = []string{"timeout", "default_entry", "remember_last_entry"}

func (c *config) parse(text string) error {
	mark, sep := "/", ":"
	if c.old {
		mark, sep = ":", "="
	}
	if strings.Contains(text, "${") {
		return &grub.Restart{Why: "its configuration has macros, which are not followed here"}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimLeft(strings.TrimRight(line, "\n"), " \t")
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
			continue
		case strings.HasPrefix(line, mark):
			if err := c.open(line, mark); err != nil {
				return err
			}
			continue
		}
		name, value, ok := strings.Cut(line, sep)
		lower := strings.ToLower(name)
		if !ok || strings.TrimSpace(name) != name || c.old && strings.ToUpper(name) != name ||
			strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return &grub.Restart{Why: fmt.Sprintf("its configuration has the line %q, which is not followed here",
				line)}
		}
		value = strings.TrimLeft(value, " \t")
		if slices.Contains(globals, lower) {
			if old, twice := c.global[lower]; twice && old != value {
				return &grub.Restart{Why: fmt.Sprintf("its configuration has %s twice: %s and %s", lower, old, value)}
			}
			c.global[lower] = value
			continue
		}
		if n := len(c.rows); n > 0 {
			c.rows[n-1].options = append(c.rows[n-1].options, option{lower, value})
		}
	}
	return nil
}

// open begins an entry: marks that tell how deep it is, "+" for a folder that is shown open, the title.
func (c *config) open(line, mark string) error {
	title := strings.TrimLeft(line, mark)
	r := row{depth: len(line) - len(title), title: strings.TrimSpace(title)}
	r.title, r.open = strings.CutPrefix(r.title, "+")
	last := 0
	if n := len(c.rows); n > 0 {
		last = c.rows[n-1].depth
		c.rows[n-1].folder = r.depth > last
	}
	switch {
	case r.depth > last+1 || r.depth > maxDepth:
		return &grub.Restart{Entry: r.title, Why: "it is deeper than the folder before it"}
	case len(c.rows) == maxEntries:
		return &grub.Restart{Why: fmt.Sprintf("its menu has more than %d entries", maxEntries)}
	}
	c.rows = append(c.rows, r)
	return nil
}

// choose takes the entry that default_entry counts, from 1 on, among those that are shown. A folder there ends the
// automatic start.
func (c *config) choose() (*row, error) {
	var shown []*row
	closed := maxDepth + 1 // rows that are deeper are in a folder that is not open
	for i := range c.rows {
		r := &c.rows[i]
		if r.depth > closed {
			continue
		}
		closed = maxDepth + 1
		if shown = append(shown, r); r.folder && !r.open {
			closed = r.depth
		}
	}
	n := uint64(1)
	if word, given := c.global["default_entry"]; given {
		var err error
		if n, err = strconv.ParseUint(word, 10, 16); err != nil {
			return nil, &grub.Restart{Entry: word, Why: "its default entry is not named by a number"}
		}
	}
	if n < 1 || n > uint64(len(shown)) {
		return nil, &grub.Restart{Why: fmt.Sprintf("its menu shows no entry %d, which is the default", n)}
	}
	for _, r := range shown[:n] {
		if why := r.hides(); why != "" {
			return nil, &grub.Restart{Entry: r.title, Why: why + ", which hides it in some of Limine's versions and " +
				"firmwares: which entry is the default hangs on that"}
		}
	}
	r := shown[n-1]
	switch timeout, given := c.global["timeout"]; {
	case r.folder:
		return nil, &grub.Restart{Entry: r.title, Why: "it is a folder, and Limine waits for somebody to choose"}
	case strings.EqualFold(c.global["remember_last_entry"], "yes"):
		return nil, &grub.Restart{Entry: r.title,
			Why: "Limine starts what was started last, which it keeps in the firmware's memory"}
	case given && strings.Trim(timeout, "0123456789") != "" || given && timeout == "":
		return nil, &grub.Restart{Entry: r.title,
			Why: fmt.Sprintf("its menu waits for somebody (timeout %s)", timeout)}
	}
	return r, nil
}

// hides tells what may keep an entry out of the menu; empty for nothing.
func (r *row) hides() string {
	for _, o := range r.options {
		if strings.HasPrefix(o.name, "if_") {
			return "it has the option " + o.name
		}
		if v := strings.ToLower(o.value); o.name == "protocol" && (strings.HasPrefix(v, "bios") || v == "chainload") {
			return "it starts another boot sector (protocol " + v + ")"
		}
	}
	return ""
}

// looks are options of an entry that do not decide what is started.
var looks = []string{"comment", "resolution", "textmode"}

// entry reads an entry's options.
func (c *config) entry(files Files, r *row) (*Entry, error) {
	one := map[string]string{}
	var modules []string
	for _, o := range r.options {
		name := o.name
		switch name {
		case "kernel_path", "image_path":
			name = "path"
		case "kernel_cmdline":
			name = "cmdline"
		case "module_path":
			modules = append(modules, o.value)
			continue
		case "protocol", "path", "cmdline":
		default:
			if slices.Contains(looks, name) || isLook(name) {
				continue
			}
			return nil, fmt.Errorf("it has the option %s, which is not followed here", name)
		}
		if old, twice := one[name]; twice && old != o.value {
			return nil, fmt.Errorf("it has %s twice", name)
		}
		one[name] = o.value
	}
	e := &Entry{Title: r.title, Args: one["cmdline"]}
	switch protocol := strings.ToLower(one["protocol"]); protocol {
	case "linux":
	case "efi", "efi_chainload", "uefi":
		if e.Program = true; e.Args != "" || len(modules) > 0 {
			return nil, fmt.Errorf("it gives words of its own to an EFI program")
		}
	default:
		return nil, fmt.Errorf("its protocol is %q, which is not Linux", protocol)
	}
	var err error
	if e.Kernel, err = c.at(files, one["path"]); err != nil {
		return nil, err
	}
	for _, m := range modules {
		f, err := c.at(files, m)
		if err != nil {
			return nil, err
		}
		e.Initrds = append(e.Initrds, f)
	}
	return e, nil
}

// isLook tells whether an option is a global one of those that do not decide what is started.
func isLook(name string) bool {
	for _, p := range []string{"term_", "interface_", "editor_", "wallpaper", "serial"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return slices.Contains([]string{"quiet", "verbose", "graphics", "backdrop", "hash_mismatch_panic"}, name)
}

// at finds what a path means: boot():/vmlinuz, boot(2):/vmlinuz, guid(...):/vmlinuz, before version 8 boot:///vmlinuz,
// and behind it a # and the file's hash. What the hash does not fit Limine does not start.
func (c *config) at(files Files, name string) (grub.File, error) {
	whole := name
	name, sum, hashed := strings.Cut(name, "#")
	var resource, argument, file string
	var ok bool
	if c.old {
		resource, name, ok = strings.Cut(name, "://")
		argument, file, _ = strings.Cut(name, "/")
	} else {
		resource, name, ok = strings.Cut(name, "(")
		argument, file, _ = strings.Cut(name, "):/")
	}
	if !ok || file == "" || strings.TrimSpace(file) != file {
		return grub.File{}, fmt.Errorf("its file %q is not followed here", whole)
	}
	f := grub.File{Path: path.Clean("/" + file)}
	var fits func(n int, facts grub.Facts) bool
	switch strings.ToLower(resource) {
	case "boot":
		fits = func(n int, _ grub.Facts) bool { return strconv.Itoa(n) == argument }
		if argument == "" {
			fits = func(n int, _ grub.Facts) bool { return n == c.file.Device }
		}
	case "guid", "uuid":
		fits = func(n int, facts grub.Facts) bool {
			return argument != "" && (strings.EqualFold(facts.UUID, argument) ||
				strings.EqualFold(files.PartUUID(n), argument))
		}
	case "fslabel":
		fits = func(_ int, facts grub.Facts) bool { return argument != "" && facts.Label == argument }
	default:
		return f, fmt.Errorf("its file %q is not followed here", whole)
	}
	var found []int
	for _, n := range files.Numbers() {
		if facts, is := files.Facts(n); is && n >= 0 && fits(n, facts) {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		return f, fmt.Errorf("%q is on %d partitions that are read here, not on one", whole, len(found))
	}
	f.Device = found[0]
	switch facts, _ := files.Facts(f.Device); {
	case facts.FS != "vfat":
		return f, fmt.Errorf("%q is on %s, which not every Limine reads", whole, facts.FS)
	case !files.Exists(f.Device, f.Path, false):
		return f, fmt.Errorf("%v is not there", f)
	case !hashed:
		return f, nil
	}
	got, err := files.Sum(f)
	if err != nil {
		return f, err
	}
	if !strings.EqualFold(hex.EncodeToString(got), sum) {
		return f, fmt.Errorf("%v does not have the hash that its configuration names", f)
	}
	return f, nil
}
