// Package grub finds out what GRUB would boot: it runs a grub.cfg the way GRUB's own shell does, far enough to know the
// menu and what its default entry loads, and starts nothing.
//
// The language is that of the GRUB manual, section "Writing full configuration files directly": words and quoting,
// variables, if, for, while, until, functions, menu entries with bodies that run when they are chosen. Commands that
// only change how the menu looks do nothing here. A configuration that runs astray is stopped by the limits of
// limits.go.
//
// The rule: what is returned is what GRUB would start if nobody touched a key. Whenever that is not Linux, or depends
// on something that only GRUB or the firmware can do or know, the answer is a *Restart that says what.
package grub

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Files is the disks that GRUB would see. A device is a partition's number; 0 is the whole disk.
type Files interface {
	// ReadFile returns a file, at most max bytes long.
	ReadFile(device int, path string, max int64) ([]byte, error)
	// Blocks returns count sectors of 512 bytes of a device, from sector first on.
	Blocks(device int, first, count int64) ([]byte, error)
	// Exists tells whether a file (or, with dir, a directory) is there.
	Exists(device int, path string, dir bool) bool
	// Listed tells whether a directory has a name in it, and whether the name itself is a directory: a symbolic link is
	// none, wherever it leads.
	Listed(device int, path string) (dir, is bool)
	// TooLinked tells whether a path leads through more symbolic links than GRUB follows, or in a circle.
	TooLinked(device int, path string) bool
	// List returns the names in a directory.
	List(device int, path string) ([]string, error)
	// Unseen tells whether GRUB may read a file system on a partition and this program does not.
	Unseen(device int) bool
	// Unread names, in words, what of the disk is not read here; empty for nothing.
	Unread() string
	// Holds tells whether a partition of the disk is, or may be, a member of what GRUB puts together of several.
	Holds(Layer) bool
	// Made lists the devices that GRUB makes of partitions and that can be read here.
	Made() []Made
	// Encrypted lists the disk's encrypted volumes, where somebody gave what opens them; else none.
	Encrypted() []Encrypted
	// Facts returns what is known of a device's file system; false when it has none that can be read.
	Facts(device int) (Facts, bool)
}

// Made is a device of RAID or LVM. Its number is below zero, or a partition's that reads like it: of a mirror whose
// superblock is at the end.
type Made struct {
	Device int
	Names  []string // GRUB's, of which a search comes to the first
	Crypt  string   // UUID of the encrypted volume that it is in, and without which GRUB does not see it
}

// Facts are what the command probe asks of a device. An empty one is not known.
type Facts struct {
	FS       string // as Linux calls it: ext4, vfat
	UUID     string // of the file system
	Label    string
	PartUUID string
}

// Layer is what GRUB puts devices together of partitions with.
type Layer string

// The layers, with the names of GRUB's modules.
const (
	MD     Layer = "mdraid"
	LVM    Layer = "lvm"
	Crypto Layer = "cryptodisk"
)

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
	// Opened are the encrypted volumes for which GRUB asked for a passphrase on the way here.
	Opened []Encrypted
}

// File is a file on a device.
type File struct {
	Device int
	Path   string
}

func (f File) String() string {
	if f.Device < 0 {
		return "(LVM or RAID)" + f.Path
	}
	return fmt.Sprintf("(partition %d)%s", f.Device, f.Path)
}

// ErrEmpty is what a *Restart for a menu without entries wraps.
var ErrEmpty = errors.New("its menu is empty")

// Options of Default.
type Options struct {
	Device int // where the configuration is
	// DeviceName is GRUB's name of Device where that is one of Made, as the program's prefix has it.
	DeviceName string
	Path       string // of the configuration
	UEFI       bool   // what $grub_platform says
	Table      string // kind of partition table, "gpt" or "msdos"; empty: what is usual for the firmware
	Argon2     bool   // GRUB's program carries Argon2, for key slots that go by it
	BLSUKI     bool   // GRUB's program carries GRUB 2.14's blscfg, and not Red Hat's

	// Core is the commands inside of GRUB's program, if it has any. They run first, and may give $prefix another value;
	// Path is then only where the configuration is without them. Program is the folder of that program, for UEFI.
	Core    string
	Program File

	Now func() time.Time // the clock of the time limit; nil: the real one
}

// Default runs the configuration and returns the menu entry that GRUB would boot when nobody touches a key. The error
// is a *Restart except where the configuration itself could not be read.
func Default(files Files, o Options) (*Entry, error) {
	if _, err := files.ReadFile(o.Device, o.Path, MaxConfig); o.Core == "" && err != nil {
		if files.Exists(o.Device, o.Path, false) {
			return nil, &Restart{Why: fmt.Sprintf("its configuration cannot be read: %v", err), Err: err}
		}
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := newMeter(o.Now)
	w := &worlds{}
	return w.inAll(func() (*Entry, error) { return newShellIn(files, o, m, w).defaultEntry() })
}

// defaultEntry runs the configuration in one world.
func (s *shell) defaultEntry() (*Entry, error) {
	for name, value := range s.given() {
		s.env.vars[name] = variable{value: value, exported: true}
	}
	// GRUB_FORCE_PARTUUID of Ubuntu's cloud images: the first start is tried without an initrd, with panic=-1, after
	// initrdfail=1 has been saved for the next one, which then takes the initrd. A kernel that is started from here
	// would come back to us instead, for ever where the disk's driver is a module. So it starts as after a first try
	// that failed.
	s.env.vars["initrdfail"] = variable{value: "1", exported: true} // through configfile too
	entry, err := s.begin()
	if over := s.spend(0); over != nil {
		err = over // what was left out for it may have been decisive
	}
	var restart *Restart
	switch {
	case err == nil && s.once != "":
		return nil, &Restart{Entry: entry.Title, Why: s.once}
	case err == nil:
		entry.Opened = s.opened
		return entry, nil
	case errors.As(err, &restart):
		return nil, err
	}
	return nil, &Restart{Why: err.Error(), Err: err}
}

// begin runs what GRUB does: the commands in its core, then the configuration.
func (s *shell) begin() (*Entry, error) {
	if s.options.Core == "" {
		if crypt := s.cryptOf(s.options.Device); crypt != "" {
			return nil, &Restart{Why: fmt.Sprintf("its configuration is in the encrypted volume %s, which nothing "+
				"opens before", crypt)}
		}
		return s.config(s.options.Device, s.options.Path)
	}
	err := s.rescue(s.options.Core)
	if err == nil {
		_, err = normal(s, nil)
	}
	if errors.Is(err, errBoot) {
		return s.loaded, nil
	}
	return nil, err
}

// given are the variables that GRUB sets before the configuration runs; it exports all of them.
func (s *shell) given() map[string]string {
	dir := s.options.Path[:max(strings.LastIndexByte(s.options.Path, '/'), 0)]
	root := cmp.Or(s.options.DeviceName, s.device(s.options.Device))
	vars := map[string]string{
		"root": root, "prefix": "(" + root + ")" + dir, "cmdpath": "(hd0)", "grub_cpu": "i386", "grub_platform": "pc",
		"pager": "", "lang": "", "locale_dir": "", "secondary_locale_dir": "",
	}
	if s.options.UEFI {
		vars["grub_cpu"], vars["grub_platform"], vars["cmdpath"] = "x86_64", "efi", vars["prefix"]
		if p := s.options.Program; p.Path != "" {
			vars["cmdpath"] = "(" + s.device(p.Device) + ")" + p.Path
		}
	}
	// What GRUB 2.02 and later announce to their configuration.
	for _, f := range []string{
		"chainloader_bpb", "ntldr", "platform_search_hint", "default_font_path", "all_video_module", "menuentry_id",
		"menuentry_options", "200_final", "nativedisk_cmd", "timeout_style",
	} {
		vars["feature_"+f] = "y"
	}
	return vars
}

// alwaysExported are variables of GRUB's own that stay exported when a configuration sets them.
var alwaysExported = map[string]bool{
	"root": true, "prefix": true, "pager": true, "lang": true, "config_directory": true,
	"config_file": true,
}

// config runs a configuration with a menu of its own, and boots from the menu if there is one. Without error and entry
// it came to nothing.
func (s *shell) config(dev int, path string) (*Entry, error) {
	err := s.source(dev, path)
	if errors.Is(err, errBoot) {
		return s.loaded, nil
	}
	if err != nil {
		return nil, err
	}
	if len(s.env.menu) == 0 {
		return nil, &Restart{Why: fmt.Sprintf("%v: %v", File{dev, path}, ErrEmpty), Err: ErrEmpty}
	}
	return s.showMenu()
}

// source runs a configuration file in the present context.
func (s *shell) source(dev int, path string) error {
	if err := s.deeper(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	src, err := s.files.ReadFile(dev, path, MaxConfig)
	if err != nil {
		return err
	}
	l, err := s.parse(strings.ReplaceAll(string(src), "\r", "")) // GRUB leaves them out of what it reads of files
	if err != nil {
		return fmt.Errorf("%v: %w", File{dev, path}, err)
	}
	file, dir := s.env.vars["config_file"], s.env.vars["config_directory"]
	defer func() { s.env.vars["config_file"], s.env.vars["config_directory"] = file, dir }()
	here := "(" + s.device(dev) + ")" + path
	s.env.vars["config_file"] = variable{value: here, exported: true}
	s.env.vars["config_directory"] = variable{value: here[:strings.LastIndexByte(here, '/')], exported: true}
	_, err = s.runText(l)
	return err
}
