package grub

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"
)

// blsDirs are where entries of the Boot Loader Specification lie: on a boot partition, or below /boot of a root partition.
var blsDirs = []string{"/loader/entries", "/boot/loader/entries"}

// blscfg adds the entries of the Boot Loader Specification to the menu, newest first, as Fedora's GRUB does.
func blscfg(s *shell, _ []string) (int, error) {
	devs := []string{s.vars["boot"], s.vars["root"]}
	for _, dev := range devs {
		n, err := parseDevice(dev)
		if dev == "" || err != nil {
			continue
		}
		entries := blsEntries(s.files, n, s.vars)
		if len(entries) == 0 {
			continue
		}
		for _, e := range entries {
			if len(s.menu) >= maxEntries {
				return 1, ErrLimit
			}
			s.menu = append(s.menu, item{title: e.title, id: e.id, entry: e.load})
		}
		return 0, nil
	}
	return 1, nil
}

// blsEntry is a type 1 entry.
type blsEntry struct {
	id, title, version string
	kernel             File
	initrds            []File
	args               string
}

func (e blsEntry) load() (*Entry, error) {
	return &Entry{Title: e.title, Kernel: e.kernel, Initrds: e.initrds, Args: e.args}, nil
}

// blsEntries reads the entries of a device, newest first. What cannot be booted from here is left out.
func blsEntries(files Files, dev int, vars map[string]string) []blsEntry {
	var out []blsEntry
	for _, dir := range blsDirs {
		names, err := files.List(dev, dir)
		if err != nil {
			continue
		}
		for _, name := range names {
			id, ok := strings.CutSuffix(name, ".conf")
			if !ok || len(out) >= maxEntries {
				continue
			}
			b, err := files.ReadFile(dev, path.Join(dir, name), 64<<10)
			if err != nil {
				continue
			}
			if e, ok := parseBLS(id, dev, string(b), vars); ok {
				out = append(out, e)
			}
		}
		if len(out) > 0 {
			break
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		if c := CompareVersions(out[i].version, out[j].version); c != 0 {
			return c > 0
		}
		return CompareVersions(out[i].id, out[j].id) > 0
	})
	return out
}

// parseBLS reads "key value" lines; initrd and options may be given several times.
func parseBLS(id string, dev int, text string, vars map[string]string) (blsEntry, bool) {
	e := blsEntry{id: id, title: id}
	var args []string
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(line), "\t", " "), " ")
		value = strings.TrimSpace(value)
		switch key {
		case "title":
			e.title = value
		case "version":
			e.version = value
		case "linux":
			e.kernel = File{Device: dev, Path: path.Join("/", value)}
		case "initrd":
			for _, w := range strings.Fields(substitute(value, vars)) {
				e.initrds = append(e.initrds, File{Device: dev, Path: path.Join("/", w)})
			}
		case "options":
			args = append(args, substitute(value, vars))
		}
	}
	e.args = strings.TrimSpace(strings.Join(args, " "))
	return e, e.kernel.Path != ""
}

// substitute puts variables such as $kernelopts into a value, once.
func substitute(v string, vars map[string]string) string {
	if !strings.Contains(v, "$") {
		return v
	}
	w, err := (&lexer{src: `"` + strings.ReplaceAll(v, `"`, `\"`) + `"`}).word()
	if err != nil {
		return v
	}
	words, err := (&shell{vars: vars}).expand([]word{w})
	if err != nil || len(words) != 1 {
		return ""
	}
	return words[0]
}

// Loader returns what systemd-boot would boot from a device: the first entry that the pattern of loader.conf's default line fits,
// else the newest.
func Loader(files Files, dev int) (*Entry, error) {
	entries := blsEntries(files, dev, nil)
	if len(entries) == 0 {
		return nil, errors.New("it has no Boot Loader Specification entries")
	}
	if b, err := files.ReadFile(dev, "/loader/loader.conf", 64<<10); err == nil {
		for line := range strings.Lines(string(b)) {
			w := strings.Fields(line)
			if len(w) != 2 || w[0] != "default" {
				continue
			}
			for _, e := range entries {
				if ok, _ := path.Match(w[1], e.id+".conf"); ok || w[1] == e.id {
					return e.load()
				}
				if ok, _ := path.Match(w[1], e.id); ok {
					return e.load()
				}
			}
		}
	}
	return entries[0].load()
}

// CompareVersions orders kernel versions and the names that carry them: runs of digits by value, a tilde before
// everything, so that 6.10 is above 6.9 and 6.10~rc1 below 6.10.
func CompareVersions(a, b string) int {
	for a != "" || b != "" {
		ra, na, resta := splitVersion(a)
		rb, nb, restb := splitVersion(b)
		if c := compareText(ra, rb); c != 0 {
			return c
		}
		if len(na) != len(nb) {
			return compareInt(len(na), len(nb))
		}
		if c := strings.Compare(na, nb); c != 0 {
			return c
		}
		a, b = resta, restb
	}
	return 0
}

// splitVersion cuts off text up to digits, and the digits without leading zeros.
func splitVersion(v string) (text, digits, rest string) {
	i := strings.IndexAny(v, "0123456789")
	if i < 0 {
		return v, "", ""
	}
	j := i
	for j < len(v) && v[j] >= '0' && v[j] <= '9' {
		j++
	}
	return v[:i], strings.TrimLeft(v[i:j], "0"), v[j:]
}

func compareText(a, b string) int {
	for i := 0; i < len(a) || i < len(b); i++ {
		if c := compareInt(rank(a, i), rank(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

func rank(s string, i int) int {
	switch {
	case i >= len(s):
		return 0
	case s[i] == '~':
		return -1
	}
	return int(s[i])
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
