package sdboot

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// Entry is a line of systemd-boot's menu.
type Entry struct {
	ID         string // file name in lower case, without boot counters: "debian-6.1.conf", "debian.efi"
	Title      string
	Device     int
	Kernel     string   // path of the kernel, or of the unified kernel image or EFI program
	Initrds    []string // in order
	Args       string
	Left, Done int // boot counters of the file's name: tries left and tries done; -1 without

	file                        string // its name in lower case, counters included
	kind                        string // the key that names the kernel: "linux", "efi" or "uki"
	sortKey, machineID, version string
	devicetree, other           string
	architecture                string // as it is written
}

// maxEntries bounds the files that may be entries. More are a restart: the one that is left out may be the default.
const maxEntries = 1024

// kindUKI is the kind of an entry that is a file in EFI/Linux.
const kindUKI = "uki in EFI/Linux"

// Entries lists the menu in the order of systemd-boot's newest version. Entries without their kernel, or for another
// kind of machine, are not in it.
func Entries(files Files, o Options) ([]*Entry, error) {
	var out []*Entry
	found, seen := false, 0
	for _, dev := range append([]int{o.ESP}, o.Others...) {
		for _, dir := range []string{"/loader/entries", "/EFI/Linux"} {
			names, err := files.List(dev, dir)
			if err != nil {
				continue
			}
			found = true
			for _, name := range names {
				if strings.HasPrefix(name, ".") || hasPrefixFold(name, "auto-") {
					continue
				}
				if seen++; seen > maxEntries {
					return nil, &grub.Restart{Why: fmt.Sprintf("it has more than %d entries", maxEntries)}
				}
				file := path.Join(dir, name)
				var e *Entry
				switch {
				case dir == "/EFI/Linux" && hasSuffixFold(name, ".efi"):
					e = unified(file, dev, files.OSRelease(dev, file))
				case dir != "/EFI/Linux" && hasSuffixFold(name, ".conf"):
					text, err := readText(files, dev, file)
					if err != nil {
						return nil, err
					}
					e = parse(name, dev, text, o.Arch)
				}
				if e != nil && e.architecture != "" && e.architecture != o.Arch && o.Version < 259 {
					return nil, &grub.Restart{Entry: e.ID,
						Why: fmt.Sprintf("its architecture is %s, and older versions of systemd-boot know %s in "+
							"small letters alone", e.architecture, o.Arch)}
				}
				if e != nil && (files.Exists(dev, e.Kernel, false) || files.Exists(dev, e.Kernel, true)) {
					out = append(out, e)
				}
			}
		}
	}
	if !found {
		return nil, ErrNoEntries
	}
	slices.SortStableFunc(out, rules{keys: true}.compare)
	return out, nil
}

// parse reads an entry of type 1; nil when it is for another architecture or starts nothing.
func parse(name string, dev int, text, arch string) *Entry {
	e := &Entry{Device: dev, file: strings.ToLower(name)}
	e.ID, e.Left, e.Done = counters(name)
	var args []string
	for key, value := range settings(text) {
		switch key {
		case "title":
			e.Title = value
		case "sort-key":
			e.sortKey = value
		case "machine-id":
			e.machineID = value
		case "version":
			e.version = value
		case "architecture":
			if !strings.EqualFold(value, arch) {
				return nil
			}
			e.architecture = value
		case "linux", "efi", "uki":
			if e.kind != "" && (e.kind == "uki") != (key == "uki") {
				e.other = fmt.Sprintf("%s beside %s", key, e.kind)
				continue
			}
			e.kind, e.Kernel = key, efiPath(value)
		case "initrd":
			e.Initrds = append(e.Initrds, efiPath(value))
		case "options":
			args = append(args, value)
		case "devicetree":
			e.devicetree = value
		case "devicetree-overlay", "uki-url", "profile", "extra":
			e.other = key + " " + value
		}
	}
	e.Args = strings.Join(args, " ")
	if e.Title == "" {
		e.Title = e.ID
	}
	if e.kind == "" {
		return nil
	}
	return e
}

// efiPath is a path of an entry from the top of its partition: systemd-boot takes slashes and backslashes alike.
func efiPath(value string) string {
	return path.Join("/", strings.ReplaceAll(value, `\`, "/"))
}

// unified makes the entry of a unified kernel image (type 2) from its os-release; nil without any
// name in it. Without ID it has no sort key, and comes after those that have one.
func unified(file string, dev int, osRelease string) *Entry {
	os := map[string]string{}
	for line := range strings.Lines(osRelease) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(k, "#") {
			os[k] = strings.Trim(v, `"'`)
		}
	}
	first := func(keys ...string) string {
		for _, k := range keys {
			if os[k] != "" {
				return os[k]
			}
		}
		return ""
	}
	e := &Entry{Device: dev, Kernel: file, kind: kindUKI, file: strings.ToLower(path.Base(file))}
	e.ID, e.Left, e.Done = counters(path.Base(file))
	e.Title = first("PRETTY_NAME", "IMAGE_ID", "NAME", "ID")
	e.version = first("IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID")
	e.sortKey = first("IMAGE_ID", "ID")
	if e.Title == "" {
		return nil
	}
	return e
}

// counters cuts +LEFT or +LEFT-DONE off a file name (UAPI.1, "Boot counting"); without DONE it is 0.
func counters(name string) (id string, left, done int) {
	name = strings.ToLower(name)
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	i := strings.LastIndexByte(stem, '+')
	if i < 0 {
		return name, -1, -1
	}
	l, d, both := strings.Cut(stem[i+1:], "-")
	left, err := count(l)
	if err != nil {
		return name, -1, -1
	}
	if both {
		if done, err = count(d); err != nil {
			return name, -1, -1
		}
	}
	return stem[:i] + ext, left, done
}

func count(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}
