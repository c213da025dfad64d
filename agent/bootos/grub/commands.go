package grub

import (
	"bytes"
	"errors"
	"strings"
)

// commands are what a configuration can call that has to do with what is booted, and what must succeed for it to go on.
var commands map[string]func(s *shell, args []string) (int, error)

func init() {
	commands = map[string]func(*shell, []string) (int, error){
		"set": set, "unset": unset, "[": test, "test": test,
		"linux": linux, "linux16": linux, "linuxefi": linux,
		"initrd": initrd, "initrd16": initrd, "initrdefi": initrd,
		"search": search, "search.fs_uuid": search, "search.fs_label": search, "search.file": search,
		"load_env": loadEnv, "source": sourceCmd, ".": sourceCmd, "configfile": configfile, "normal": configfile,
		"probe": probe, "blscfg": blscfg, "false": fails, "loadfont": fails, "keystatus": fails, "chainloader": fails, "multiboot": fails, "multiboot2": fails,
		"eval": eval,
	}
	for _, name := range []string{
		"true", "export", "insmod", "rmmod", "echo", "save_env", "terminal_output", "terminal_input", "terminal_inputs", "terminal", "serial",
		"background_image", "background_color", "gfxpayload", "sleep", "clear", "play", "password", "password_pbkdf2", "acpi",
		"videoinfo", "cryptomount", "devicetree", "nativedisk", "increment", "boot", "module", "rdmsr", "wrmsr",
	} {
		commands[name] = func(*shell, []string) (int, error) { return 0, nil }
	}
}

func fails(*shell, []string) (int, error) { return 1, nil }

func set(s *shell, args []string) (int, error) {
	for _, a := range args {
		if name, value, ok := strings.Cut(a, "="); ok {
			s.set(name, value)
		}
	}
	return 0, nil
}

func unset(s *shell, args []string) (int, error) {
	for _, a := range args {
		delete(s.vars, a)
	}
	return 0, nil
}

// linux notes the kernel and its command line. GRUB puts BOOT_IMAGE in front, and kdump and others read it.
func linux(s *shell, args []string) (int, error) {
	if len(args) == 0 {
		return 1, nil
	}
	f, err := s.locate(args[0])
	if err != nil {
		return 1, err
	}
	s.kernel, s.initrds = &f, nil
	words := []string{"BOOT_IMAGE=" + f.Path}
	for _, a := range args[1:] {
		words = append(words, quote(a))
	}
	s.args = strings.Join(words, " ")
	return 0, nil
}

// quote keeps a word with blanks one word for the kernel: it knows double quotes only.
func quote(a string) string {
	if !strings.ContainsAny(a, " \t") || strings.Contains(a, `"`) {
		return a
	}
	if name, value, ok := strings.Cut(a, "="); ok {
		return name + `="` + value + `"`
	}
	return `"` + a + `"`
}

func initrd(s *shell, args []string) (int, error) {
	s.initrds = nil
	for _, a := range args {
		if strings.HasPrefix(a, "newc:") || strings.HasPrefix(a, "--") {
			continue
		}
		f, err := s.locate(a)
		if err != nil {
			return 1, err
		}
		s.initrds = append(s.initrds, f)
	}
	return 0, nil
}

// search sets a variable, root by default, to the device that has a UUID, label or file. search.fs_uuid and its
// like are the forms of the small configuration on an EFI system partition: VALUE [VARIABLE [HINT...]].
func search(s *shell, args []string) (int, error) {
	by, name, value := ByUUID, "root", ""
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--fs-uuid" || a == "-u":
			by = ByUUID
		case a == "--label" || a == "-l" || a == "--fs-label":
			by = ByLabel
		case a == "--file" || a == "-f":
			by = ByFile
		case strings.HasPrefix(a, "--set="):
			name = a[len("--set="):]
		case a == "--set" || a == "-s":
			// The name may follow; "search --set -f /x" and "search --set=root" are both in use.
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") && i+2 < len(args) {
				i++
				name = args[i]
			}
		case a == "--hint" || a == "-h":
			i++
		case strings.HasPrefix(a, "-"):
		case value == "":
			value = a
		}
	}
	dev, ok := s.files.Find(by, value)
	if value == "" || !ok {
		return 1, nil
	}
	s.set(name, device(dev))
	return 0, nil
}

// envMagic is the first line of an environment block.
const envMagic = "# GRUB Environment Block\n"

// loadEnv reads variables from an environment block, $prefix/grubenv by default.
func loadEnv(s *shell, args []string) (int, error) {
	name := s.vars["prefix"] + "/grubenv"
	only := map[string]bool{}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-f" || a == "--file":
			if i++; i < len(args) {
				name = args[i]
			}
		case strings.HasPrefix(a, "--file="):
			name = a[len("--file="):]
		case strings.HasPrefix(a, "-"):
		default:
			only[a] = true
		}
	}
	f, err := s.locate(name)
	if err != nil {
		return 1, nil
	}
	b, err := s.files.ReadFile(f.Device, f.Path, 64<<10)
	if err != nil || !bytes.HasPrefix(b, []byte(envMagic)) {
		return 1, nil
	}
	for line := range strings.Lines(string(b[len(envMagic):])) {
		k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if ok && !strings.HasPrefix(k, "#") && (len(only) == 0 || only[k]) {
			s.set(k, strings.ReplaceAll(v, `\\`, `\`))
		}
	}
	return 0, nil
}

func sourceCmd(s *shell, args []string) (int, error) {
	if len(args) == 0 {
		return 1, nil
	}
	f, err := s.locate(args[0])
	if err != nil {
		return 1, nil
	}
	return outcome(s.source(f.Device, f.Path))
}

// outcome makes an error that a configuration may go on after a status: a file that is not there, or is no configuration.
func outcome(err error) (int, error) {
	switch {
	case err == nil:
		return 0, nil
	case errors.Is(err, ErrLimit):
		return 1, err
	}
	return 1, nil
}

// configfile goes over to another configuration: nothing after it runs, and the menu so far is gone.
func configfile(s *shell, args []string) (int, error) {
	name := s.vars["prefix"] + "/grub.cfg"
	if len(args) > 0 {
		name = args[0]
	}
	f, err := s.locate(name)
	if err != nil {
		return 1, nil
	}
	menu := s.menu
	s.menu = nil
	status, err := outcome(s.source(f.Device, f.Path))
	if status != 0 {
		s.menu = menu
		return status, err
	}
	return 0, errReturn
}

// probe answers what the configuration of btrfs roots asks: the UUID of a device is not needed to boot, so none is set.
func probe(s *shell, args []string) (int, error) {
	for _, a := range args {
		if strings.HasPrefix(a, "--set=") {
			s.set(a[len("--set="):], "")
		}
	}
	return 1, nil
}

func eval(s *shell, args []string) (int, error) {
	l, err := parse(strings.Join(args, " "))
	if err != nil {
		return 1, nil
	}
	if s.depth++; s.depth > maxDepth {
		return 1, ErrLimit
	}
	defer func() { s.depth-- }()
	return s.run(l)
}
