package personalize

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/rx"
)

// kernelWords adds words to the kernel's command line in the files that boot loaders read, and in the settings from
// which a system makes these anew. Whether that was all is judged afterwards, by what the machine would start then.
func kernelWords(words []string) thing {
	more := strings.Join(words, " ")
	return thing{name: "kernel words",
		may: func(t *tree) error {
			edits, err := t.bootFiles(more)
			if err == nil && len(edits) == 0 {
				err = errors.New("no file of GRUB, systemd-boot or extlinux was found that has the kernel's words")
			}
			return err
		},
		do: func(t *tree) (string, error) {
			edits, err := t.bootFiles(more)
			if err != nil {
				return "", err
			}
			later, err := t.laterFiles(more)
			if err != nil {
				return "", err
			}
			var names []string
			for _, e := range append(edits, later...) {
				if err := e.on.write(e.name, []byte(e.text), plainFile); err != nil {
					return "", err
				}
				names = append(names, e.shown)
			}
			return more + ", in " + strings.Join(names, ", "), nil
		}}
}

// edit is a file that is to have another text.
type edit struct {
	on    *tree
	name  string // there
	shown string // from the root of the system
	text  string
}

// at finds the tree that has a path of the system: its root, or a file system that it mounts; nil where nothing of a
// boot loader's is.
func (t *tree) at(name string) (*tree, string, error) {
	for _, mount := range []string{"/boot/efi", "/efi", "/boot"} { // the deepest first
		if m, ok := t.boot[mount]; ok && (name == mount || strings.HasPrefix(name, mount+"/")) {
			return m, path.Join("/", strings.TrimPrefix(name, mount)), nil
		}
	}
	return t, name, t.here(name)
}

// bootFiles are the edits of what boot loaders read.
func (t *tree) bootFiles(more string) (out []edit, err error) {
	add := func(name string, by func(text, more string) (string, error)) error {
		on, at, err := t.at(name)
		if err != nil || on == nil {
			return err
		}
		b, err := on.readIfThere(at)
		if err != nil || b == nil {
			return err
		}
		text, err := by(string(b), more)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if text != string(b) {
			out = append(out, edit{on, at, name, text})
		}
		return nil
	}
	in := func(dir, suffix string, by func(text, more string) (string, error)) error {
		on, at, err := t.at(dir)
		if err != nil || on == nil {
			return err
		}
		names, err := on.listIfThere(at)
		slices.Sort(names)
		for _, n := range names {
			if err == nil && strings.HasSuffix(n, suffix) {
				err = add(path.Join(dir, n), by)
			}
		}
		return err
	}
	// Where the system has another file system that is not on this disk, its files cannot be known.
	for _, err := range []error{
		add("/boot/grub/grub.cfg", grubWords), add("/boot/grub2/grub.cfg", grubWords),
		in("/boot/loader/entries", ".conf", blsWords), in("/boot/efi/loader/entries", ".conf", blsWords),
		in("/efi/loader/entries", ".conf", blsWords),
		add("/boot/extlinux/extlinux.conf", extlinuxWords), add("/boot/extlinux.conf", extlinuxWords),
		add("/boot/syslinux/syslinux.cfg", extlinuxWords), add("/extlinux.conf", extlinuxWords),
	} {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// laterFiles are the edits of what the system makes the loaders' files of when it gets another kernel.
func (t *tree) laterFiles(more string) (out []edit, err error) {
	for _, f := range []struct {
		name string
		by   func(text, more string) (string, error)
	}{{"/etc/default/grub", defaultGrubWords}, {"/etc/kernel/cmdline", firstLineWords},
		{"/etc/update-extlinux.conf", updateExtlinuxWords}} {
		b, err := t.readIfThere(f.name)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		text, err := f.by(string(b), more)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		out = append(out, edit{t, f.name, f.name, text})
	}
	// Files here are read after /etc/default/grub, and may set its variable anew (Debian, Ubuntu).
	const dir = "/etc/default/grub.d"
	if there, err := t.exists(dir); err != nil || !there {
		return out, err
	}
	out = slices.DeleteFunc(out, func(e edit) bool { return e.name == "/etc/default/grub" })
	text, err := defaultGrubWords("", more)
	return append(out, edit{t, dir + "/zz-diskcast.cfg", dir + "/zz-diskcast.cfg", text}), err
}

// grubWords adds to the commands of a grub.cfg that load a kernel.
func grubWords(text, more string) (string, error) {
	var out strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		body := strings.TrimRight(line, "\n")
		w := strings.Fields(body)
		if len(w) > 1 && (w[0] == "linux" || w[0] == "linux16" || w[0] == "linuxefi") {
			if !plainCommand(body) {
				return "", fmt.Errorf("line %d loads a kernel and is not a plain command: words cannot be added to it",
					n)
			}
			line = strings.TrimRight(body, " \t") + " " + more + line[len(body):]
		}
		out.WriteString(line)
	}
	return out.String(), nil
}

// plainCommand tells whether a word at a line's end is surely a word of its command in GRUB's language.
func plainCommand(line string) bool {
	line = grubVariable().ReplaceAllString(line, "")
	quote := rune(0)
	for i, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case strings.ContainsRune("\\;{}\r|&<>", r):
			return false
		case r == '#' && strings.ContainsAny(line[max(i-1, 0):i], " \t"):
			return false
		}
	}
	return quote == 0 && !strings.Contains(line, "\\")
}

var grubVariable = rx.New(`\$\{[A-Za-z0-9_@*#?]+\}`)

// blsWords adds to the options of an entry (UAPI.1); several lines of them count one after the other.
func blsWords(text, more string) (string, error) {
	if strings.Contains(text, "\r") {
		return "", errors.New("its lines end in CR LF, which this agent does not edit")
	}
	lines := strings.SplitAfter(text, "\n")
	last, kernel := -1, false
	for i, line := range lines {
		w := strings.Fields(line)
		if len(w) > 0 && w[0] == "options" {
			last = i
		}
		kernel = kernel || len(w) > 1 && w[0] == "linux"
	}
	switch {
	case !kernel:
		return text, nil // an EFI program or a menu's
	case last < 0:
		return wholeLines(text) + "options " + more + "\n", nil
	}
	body := strings.TrimRight(lines[last], " \t\n")
	lines[last] = body + " " + more + "\n"
	return strings.Join(lines, ""), nil
}

// extlinuxWords adds to the lines APPEND.
func extlinuxWords(text, more string) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		if w := strings.Fields(body); len(w) > 0 && strings.EqualFold(w[0], "append") &&
			!slices.Equal(w[1:], []string{"-"}) {
			line = strings.TrimRight(body, " \t") + " " + more + line[len(body):]
		}
		out.WriteString(line)
	}
	return out.String(), nil
}

// defaultGrubWords adds a line to what a shell reads before grub-mkconfig.
func defaultGrubWords(text, more string) (string, error) {
	return wholeLines(text) + "# Written when this machine was imaged.\n" +
		"GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX " + more + "\"\n", nil
}

// firstLineWords adds to kernel-install's command line, which is one line.
func firstLineWords(text, more string) (string, error) {
	return strings.TrimSpace(strings.TrimRight(text, " \t\r\n")+" "+more) + "\n", nil
}

// updateExtlinuxWords adds to the variable of Alpine's update-extlinux.
func updateExtlinuxWords(text, more string) (string, error) {
	return wholeLines(text) + "default_kernel_opts=\"$default_kernel_opts " + more + "\"\n", nil
}

// lacking are the words that a system's command line does not have.
func lacking(s *bootos.System, words []string) (out []string) {
	have := strings.Fields(s.Args)
	for _, w := range words {
		if !slices.Contains(have, w) {
			out = append(out, w)
		}
	}
	return out
}

// boots is what the machine would start, if words can be added to it.
func (p *Personalizer) boots() (*bootos.System, error) {
	if p.Boots == nil {
		return nil, errors.New("kernel words: this agent was not told how to find what is started")
	}
	s, err := p.Boots()
	if err != nil {
		return nil, fmt.Errorf("kernel words: what the machine's boot loader starts cannot be told, so nobody would "+
			"know whether the words are in it: %w", err)
	}
	if s.Unified {
		return nil, fmt.Errorf("kernel words: %s is one image with its words in it, to which none can be added",
			s.Kernel.Path)
	}
	return s, nil
}

// added wants the system that is started now to be that of before with the words.
func added(before, now *bootos.System, words []string) error {
	rest := slices.DeleteFunc(strings.Fields(now.Args), func(w string) bool { return slices.Contains(words, w) })
	if now.Kernel != before.Kernel || !slices.Equal(rest, strings.Fields(before.Args)) ||
		len(lacking(now, words)) > 0 {
		return fmt.Errorf("kernel words: the machine would now start %s with %q, and before %s with %q",
			now.Kernel.Path, now.Args, before.Kernel.Path, before.Args)
	}
	return nil
}
