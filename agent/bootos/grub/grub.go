// Package grub finds out what GRUB would boot: it runs a grub.cfg the way GRUB's own shell does, far enough to know the menu
// and what its default entry loads, and starts nothing.
//
// The language is that of the GRUB manual, section "Writing full configuration files directly": words and quoting, variables, if, for, while,
// until, functions, menu entries with bodies that run when they are chosen. Commands that only change how the menu looks do nothing
// here. A configuration that runs astray is stopped by limits on commands, depth and sizes.
package grub

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Files is the disks that GRUB would see. A device is a partition's number; 0 is the whole disk.
type Files interface {
	// ReadFile returns a file, at most max bytes long.
	ReadFile(device int, path string, max int64) ([]byte, error)
	// Exists tells whether a file (or, with dir, a directory) is there.
	Exists(device int, path string, dir bool) bool
	// List returns the names in a directory.
	List(device int, path string) ([]string, error)
	// Find returns the device that has a file system with this UUID or label, or has this file.
	Find(by By, value string) (device int, ok bool)
}

// By is what search looks for.
type By int

// What search looks for.
const (
	ByUUID By = iota
	ByLabel
	ByFile
)

// Entry is what a menu entry loads.
type Entry struct {
	Title   string
	Kernel  File
	Initrds []File
	Args    string // the kernel command line
}

// File is a file on a device.
type File struct {
	Device int
	Path   string
}

func (f File) String() string { return fmt.Sprintf("(partition %d)%s", f.Device, f.Path) }

// Errors that a caller may want to tell apart.
var (
	ErrEmpty = errors.New("its menu is empty")
	ErrLimit = errors.New("it runs longer than a boot menu should")
)

// Limits on a configuration.
const (
	maxConfig   = 4 << 20 // bytes of one file
	maxCommands = 200_000
	maxDepth    = 24
	maxEntries  = 4096
	maxValue    = 64 << 10 // bytes of a variable or of all words of a command
)

// Options of Default.
type Options struct {
	Device int    // where the configuration is
	Path   string // of the configuration
	UEFI   bool   // what $grub_platform says
}

// Default runs the configuration and returns the menu entry that GRUB would boot when nobody touches a key.
func Default(files Files, o Options) (*Entry, error) {
	dir := o.Path[:max(strings.LastIndexByte(o.Path, '/'), 0)]
	s := &shell{files: files, vars: map[string]string{
		"root":   device(o.Device),
		"prefix": "(" + device(o.Device) + ")" + dir,
	}, functions: map[string]*list{}}
	s.vars["cmdpath"] = s.vars["prefix"]
	s.vars["grub_cpu"], s.vars["grub_platform"] = "i386", "pc"
	if o.UEFI {
		s.vars["grub_cpu"], s.vars["grub_platform"] = "x86_64", "efi"
	}
	for _, f := range features {
		s.vars["feature_"+f] = "y"
	}
	if err := s.source(o.Device, o.Path); err != nil {
		return nil, err
	}
	return s.choose(s.vars["default"], 0)
}

// features are what GRUB 2.02 and later announce to their configuration.
var features = []string{
	"chainloader_bpb", "ntldr", "platform_search_hint", "default_font_path", "all_video_module", "menuentry_id",
	"menuentry_options", "200_final", "nativedisk_cmd", "timeout_style",
}

// choose picks the entry that $default means: a number, an id or a title, with ">" between a submenu and what is in it.
func (s *shell) choose(want string, depth int) (*Entry, error) {
	if len(s.menu) == 0 {
		return nil, ErrEmpty
	}
	if depth > maxDepth {
		return nil, ErrLimit
	}
	head, rest := splitDefault(want)
	item := s.menu[0]
	found := false
	for i, m := range s.menu {
		if m.id == head && m.id != "" || m.title == head || want == m.title || strconv.Itoa(i) == head {
			item, found = m, true
			if m.title == want {
				rest = ""
			}
			break
		}
	}
	if !found && want != "" && !isNumber(head) {
		// GRUB falls back to the first entry too.
		rest = ""
	}
	if item.entry != nil {
		return item.entry()
	}
	// The body of an entry runs in what the configuration has set, but must not change it for the next try.
	sub := s.child()
	sub.set("chosen", item.title)
	for i, a := range item.args {
		sub.set(strconv.Itoa(i+1), a)
	}
	_, err := sub.run(item.body)
	if err != nil && !errors.Is(err, errReturn) {
		return nil, fmt.Errorf("menu entry %q: %w", item.title, err)
	}
	if item.submenu {
		if rest == "" {
			rest = sub.vars["default"]
			if rest == want {
				rest = "0"
			}
		}
		return sub.choose(rest, depth+1)
	}
	if sub.kernel == nil {
		return nil, &Restart{Entry: item.title, Why: "it loads no Linux kernel"}
	}
	for _, f := range append([]File{*sub.kernel}, sub.initrds...) {
		if !s.files.Exists(f.Device, f.Path, false) {
			return nil, &Restart{Entry: item.title, Why: fmt.Sprintf("%v is not there", f)}
		}
	}
	e := &Entry{Title: item.title, Kernel: *sub.kernel, Initrds: sub.initrds, Args: sub.args}
	return e, nil
}

// splitDefault cuts "submenu>entry"; ">>" is a ">" of a title.
func splitDefault(v string) (head, rest string) {
	for i := 0; i < len(v); i++ {
		if v[i] != '>' {
			continue
		}
		if i+1 < len(v) && v[i+1] == '>' {
			i++
			continue
		}
		return strings.ReplaceAll(v[:i], ">>", ">"), v[i+1:]
	}
	return strings.ReplaceAll(v, ">>", ">"), ""
}

func isNumber(v string) bool {
	_, err := strconv.Atoi(v)
	return err == nil
}

// device writes a device number in a form that locate reads back.
func device(n int) string { return "hd0," + strconv.Itoa(n) }

// locate reads "(hd0,gpt2)/path", "/path" or "path"; without a device it is on $root.
func (s *shell) locate(name string) (File, error) {
	dev := s.vars["root"]
	path := name
	if strings.HasPrefix(name, "(") {
		var ok bool
		if dev, path, ok = strings.Cut(name[1:], ")"); !ok {
			return File{}, fmt.Errorf("%q is no file name", name)
		}
		if dev == "" {
			dev = s.vars["root"]
		}
	}
	n, err := parseDevice(dev)
	if err != nil {
		return File{}, fmt.Errorf("%q: %w", name, err)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return File{Device: n, Path: path}, nil
}

// parseDevice reads GRUB's names of a disk's partitions: hd0,gpt2 hd0,msdos1 hd1,3 ahci0,gpt2, with sub-partitions cut off. The
// number of the disk does not count: the firmware that started us may count disks otherwise than the one GRUB will see.
func parseDevice(name string) (int, error) {
	name = strings.Trim(name, "()")
	disk, part, ok := strings.Cut(name, ",")
	if !strings.Contains(disk, "hd") && !strings.HasPrefix(disk, "ahci") && !strings.HasPrefix(disk, "usb") && !strings.HasPrefix(disk, "nvme") {
		return 0, fmt.Errorf("device %q is not a partition of a disk", name)
	}
	if !ok {
		return 0, nil
	}
	part, _, _ = strings.Cut(part, ",")
	for _, kind := range []string{"gpt", "msdos", "apple", "bsd", "part"} {
		part = strings.TrimPrefix(part, kind)
	}
	n, err := strconv.Atoi(part)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("device %q is not a partition of a disk", name)
	}
	return n, nil
}
