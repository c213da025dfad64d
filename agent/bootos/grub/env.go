package grub

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// envMagic is the first line of an environment block.
const envMagic = "# GRUB Environment Block\n"

// envBlock reads an environment block. When it is not there or damaged, GRUB says so and goes on with the status. One
// that GRUB may read and that cannot be read here is a restart.
func (s *shell) envBlock(file string) (vars map[string]string, names []string, status int, err error) {
	if file == "" {
		if why := s.doubts["prefix"]; why != "" {
			return nil, nil, badFilename, &Restart{Why: why}
		}
		file = s.get("prefix") + "/grubenv"
	}
	f, err := s.locate(file)
	if why := s.doubt(file); why != "" {
		return nil, nil, badFilename, &Restart{Why: why}
	}
	if err != nil {
		return nil, nil, badFilename, s.missing(file)
	}
	b, err := s.read(file, 64<<10)
	switch {
	case err != nil && (isBlockList(f.Path) || s.files.Exists(f.Device, f.Path, false)):
		return nil, nil, badFilename, &Restart{Why: fmt.Sprintf("its environment block cannot be read: %v", err)}
	case err != nil:
		return nil, nil, badFilename, s.missing(file)
	}
	if !bytes.HasPrefix(b, []byte(envMagic)) {
		return nil, nil, badFileType, nil
	}
	vars = map[string]string{}
	text := string(b[len(envMagic):])
	for text != "" && len(names) < maxEntries {
		var line strings.Builder
		// A backslash takes away the meaning of what follows, a line's end too.
		i := 0
		for ; i < len(text) && text[i] != '\n'; i++ {
			if text[i] == '\\' && i+1 < len(text) {
				i++
			}
			line.WriteByte(text[i])
		}
		comment := text[0] == '#'
		text = text[min(i+1, len(text)):]
		if k, v, is := strings.Cut(line.String(), "="); is && !comment {
			if _, again := vars[k]; !again {
				names = append(names, k)
			}
			vars[k] = v
		}
	}
	return vars, names, ok, nil
}

var loadOptions = []option{{short: 'f', long: "file", value: true}, {short: 's', long: "skip-sig"}}

// loadEnv sets variables from an environment block, $prefix/grubenv by default: all, or those that are named.
func loadEnv(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, false, loadOptions)
	if err != nil {
		return badArgument, nil
	}
	vars, names, status, err := s.envBlock(p.last("file"))
	if status != ok || err != nil {
		return status, err
	}
	for _, name := range names {
		if len(p.args) > 0 && !slices.Contains(p.args, name) {
			continue
		}
		if err := s.set(name, vars[name]); err != nil {
			return statusFalse, err
		}
	}
	return ok, nil
}

// listEnv shows an environment block: it fails where load_env does.
func listEnv(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, false, loadOptions)
	if err != nil {
		return badArgument, nil
	}
	_, _, status, err := s.envBlock(p.last("file"))
	return status, err
}

// savedHarmlessly are variables that GRUB writes at a start and that do not decide what the next one starts: a start
// that does not write them is as one that went well. Ubuntu's recordfail and initrdfail are taken back by the system
// that came up; Fedora's decide whether the menu is shown; saved_entry becomes what it was.
var savedHarmlessly = map[string]bool{
	"recordfail": true, "initrdfail": true, "saved_entry": true, "boot_success": true, "boot_indeterminate": true,
	"menu_show_once": true, "menu_show_once_timeout": true,
}

// saveEnv writes nothing. But where GRUB would write something else than is there (next_entry of grub-reboot is taken
// out, a boot counter counts), this start is one that only GRUB can make: started from here, next_entry would be booted
// "once" again and again.
func saveEnv(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, false, loadOptions[:1])
	if err != nil || len(p.args) == 0 {
		return badArgument, nil
	}
	vars, _, status, err := s.envBlock(p.last("file"))
	if status != ok || err != nil {
		return status, err
	}
	for _, name := range p.args {
		if now := s.get(name); now != vars[name] && !savedHarmlessly[name] && s.once == "" {
			s.once = fmt.Sprintf("GRUB counts this start off: it saves %s=%q over %q, which only GRUB can do", name,
				now, vars[name])
		}
		if err := s.known(); err != nil && !savedHarmlessly[name] {
			return statusFalse, err
		}
	}
	return unsure("save_env")(s, p.args)
}
