package bootos

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// legacyConfigs are where GRUB Legacy's installers, and Red Hat's, keep its menu. Which of them it reads, and of which
// partition, is written into its second stage.
var legacyConfigs = []string{"/boot/grub/menu.lst", "/grub/menu.lst", "/boot/grub/grub.conf", "/grub/grub.conf"}

// legacies lists the menus of GRUB Legacy, each file once whatever links lead to it.
func (f *finder) legacies() []candidate {
	var out []candidate
	seen := map[string]bool{}
	for _, dev := range f.v.Numbers() {
		for _, file := range legacyConfigs {
			full, fi, err := f.v.resolve(dev, file)
			if err != nil || !fi.Mode().IsRegular() || seen[full] || dev < 0 {
				continue
			}
			seen[full] = true
			out = append(out, candidate{what: fmt.Sprintf("GRUB Legacy, %s on %s", file, f.v.at(dev)),
				load: func() (*System, error) { return f.legacy(dev, file) }})
		}
	}
	return out
}

// legacyMenu is a menu of GRUB Legacy (the manual of GRUB 0.97, "The list of available commands").
type legacyMenu struct {
	def, timeout string
	fallback     []string
	entries      []legacyEntry
	v            *Volumes
	home         int // the partition that it is on
}

type legacyEntry struct {
	title string
	lines []string
}

const (
	maxLegacy        = 64 << 10 // bytes of a menu
	maxLegacyEntries = 256
	// maxLegacyArgs is how many bytes of a command line every version and every kernel takes.
	maxLegacyArgs = 255
)

// legacy returns what a menu starts when nobody touches a key.
func (f *finder) legacy(dev int, file string) (*System, error) {
	text, err := f.v.ReadFile(dev, file, maxLegacy)
	if err != nil {
		return nil, &Restart{Why: f.unreadable(file, dev, err).Error(), Err: err}
	}
	m := &legacyMenu{v: f.v, home: dev}
	if err := m.parse(string(text)); err != nil {
		return nil, err
	}
	return m.choose()
}

func (m *legacyMenu) parse(text string) error {
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest := legacyWord(line)
		switch {
		case name == "title":
			if len(m.entries) == maxLegacyEntries {
				return &Restart{Why: fmt.Sprintf("its menu has more than %d entries", maxLegacyEntries)}
			}
			m.entries = append(m.entries, legacyEntry{title: rest})
		case len(m.entries) > 0:
			last := &m.entries[len(m.entries)-1]
			last.lines = append(last.lines, line)
		case name == "default":
			m.def = rest
		case name == "timeout":
			m.timeout = rest
		case name == "fallback":
			m.fallback = strings.Fields(rest)
		case !legacyLooks[name]:
			return &Restart{Why: fmt.Sprintf("its menu has the command %q before its entries, which is not followed "+
				"here", name)}
		}
	}
	if len(m.entries) == 0 {
		return &Restart{Why: "its menu is empty"}
	}
	return nil
}

// legacyLooks are commands of a menu that do not decide what is started: a password is for who wants to change it.
var legacyLooks = map[string]bool{"hiddenmenu": true, "splashimage": true, "color": true, "foreground": true,
	"background": true, "gfxmenu": true, "password": true, "serial": true, "terminal": true, "viewport": true,
	"shade": true}

// legacyWord cuts off the first word, which ends at a blank or "=".
func legacyWord(line string) (name, rest string) {
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimLeft(line[i:], " \t=")
}

// choose takes the default entry, and while an entry's files are not there the fallbacks.
func (m *legacyMenu) choose() (*System, error) {
	if m.def == "saved" {
		return nil, &Restart{Entry: "saved",
			Why: "it starts what was started last, which GRUB Legacy keeps outside of its menu"}
	}
	first := 0
	if m.def != "" {
		var ok bool
		if first, ok = m.number(m.def); !ok {
			return nil, &Restart{Entry: m.def, Why: "its default is no entry of its menu"}
		}
	}
	if n, err := strconv.Atoi(m.timeout); err != nil || n < 0 {
		return nil, &Restart{Entry: m.entries[first].title,
			Why: "its menu has no timeout: GRUB Legacy waits for somebody to choose"}
	}
	s, err := m.run(first)
	for _, word := range m.fallback {
		if !errors.Is(err, errLegacyMissing) {
			break
		}
		n, ok := m.number(word)
		if !ok {
			return nil, &Restart{Entry: word, Why: "its fallback is no entry of its menu"}
		}
		s, err = m.run(n)
	}
	return s, err
}

func (m *legacyMenu) number(word string) (int, bool) {
	n, err := strconv.ParseUint(word, 10, 16)
	return int(n), err == nil && n < uint64(len(m.entries))
}

// errLegacyMissing is the error of an entry that GRUB Legacy gives up, and tries the next fallback.
var errLegacyMissing = errors.New("is not there")

// run is what an entry starts.
func (m *legacyMenu) run(n int) (*System, error) {
	e := &m.entries[n]
	restart := func(format string, args ...any) (*System, error) {
		err := fmt.Errorf(format, args...)
		return nil, &Restart{Entry: e.title, Why: err.Error(), Err: err}
	}
	root := m.home
	if _, err := m.readable(root); err != nil {
		return restart("%w", err)
	}
	var s *System
	for _, line := range e.lines {
		name, rest := legacyWord(line)
		switch name {
		case "boot", "quiet", "savedefault", "echo":
		case "root":
			var err error
			if root, err = m.device(rest); err != nil {
				return restart("%w", err)
			}
		case "uuid": // of Debian's and Ubuntu's
			root = -1
			for _, dev := range m.v.Numbers() {
				if dev >= 0 && rest != "" && strings.EqualFold(m.v.byNumber[dev].UUID, rest) {
					root = dev
				}
			}
			if root < 0 {
				return restart("it is in the file system %q, which is not read here", rest)
			}
		case "kernel":
			for strings.HasPrefix(rest, "--") {
				option, more := legacyWord(rest)
				if option != "--no-mem-option" && !strings.HasPrefix(rest, "--type=linux ") {
					return restart("its kernel has the option %s, which is not followed here", option)
				}
				if option == "--type" {
					_, more = legacyWord(more)
				}
				rest = more
			}
			file, args, _ := strings.Cut(strings.ReplaceAll(rest, "\t", " "), " ")
			at, err := m.file(root, file)
			if err != nil {
				return restart("%w", err)
			}
			if args = strings.TrimLeft(args, " "); len(args) > maxLegacyArgs {
				return restart("its command line has more than %d bytes, which versions cut off", maxLegacyArgs)
			}
			s = &System{Title: e.title, Kernel: at, Args: args}
		case "initrd":
			if s == nil || strings.ContainsAny(rest, " \t") {
				return restart("its line %q is not followed here", line)
			}
			at, err := m.file(root, rest)
			if err != nil {
				return restart("%w", err)
			}
			s.Initrds = []grub.File{at}
		default:
			return restart("it has the command %q, which is not Linux' or is not followed here", name)
		}
	}
	if s == nil {
		return restart("it loads no kernel")
	}
	return s, nil
}

// device reads (hd0,1): the first disk, which the machine starts from, and its second partition.
func (m *legacyMenu) device(name string) (int, error) {
	words := strings.Fields(name) // a memory size may follow
	if len(words) == 0 {
		return 0, errors.New("its root is missing")
	}
	part, ok := strings.CutPrefix(words[0], "(hd0,")
	part, closed := strings.CutSuffix(part, ")")
	n, err := strconv.ParseUint(part, 10, 8)
	if !ok || !closed || err != nil {
		return 0, fmt.Errorf("its root is %s, which is not followed here", words[0])
	}
	return m.readable(int(n) + 1)
}

// readable refuses a file system whose files GRUB Legacy does not find under the names that they have here.
func (m *legacyMenu) readable(n int) (int, error) {
	vol, is := m.v.byNumber[n]
	switch {
	case !is:
		return 0, fmt.Errorf("its root, partition %d, is not read here", n)
	case vol.Type == "btrfs" || vol.Type == "f2fs":
		return 0, fmt.Errorf("its root is %s, which GRUB Legacy does not read, or in ways of its own", vol.Type)
	}
	return n, nil
}

func (m *legacyMenu) file(root int, name string) (grub.File, error) {
	if strings.HasPrefix(name, "(") {
		device, rest, _ := strings.Cut(name, ")")
		var err error
		if root, err = m.device(device + ")"); err != nil {
			return grub.File{}, err
		}
		name = rest
	}
	if !path.IsAbs(name) || strings.Contains(name, `\`) {
		return grub.File{}, fmt.Errorf("its file %q is not followed here", name)
	}
	at := grub.File{Device: root, Path: path.Clean(name)}
	if !m.v.Exists(at.Device, at.Path, false) {
		return at, fmt.Errorf("%v %w", at, errLegacyMissing)
	}
	return at, nil
}
