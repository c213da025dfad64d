package grub

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// commands are what a configuration can call that has to do with what is booted, and what must succeed for it to go on.
var commands map[string]func(s *shell, args []string) (int, error)

func init() {
	commands = map[string]func(*shell, []string) (int, error){
		"set": set, "unset": unset, "export": export, "[": test, "test": test, "true": succeeds, "false": fails,
		"eval": eval, "setparams": setparams, "shift": shift, "return": returns, "break": breaks, "continue": continues,
		"increment": count(1), "decrement": count(-1),
		"linux": linux, "initrd": initrd, "boot": boot,
		"search": search, "search.fs_uuid": searchBy("fs-uuid"), "search.fs_label": searchBy("label"),
		"search.file": searchBy("file"),
		"probe":       probe, "regexp": regexpCommand, "cpuid": cpuid, "fwsetup": fwsetup, "hwmatch": hwmatch,
		"load_env": loadEnv, "save_env": saveEnv, "source": source, ".": source, "configfile": configfile,
		"normal": normal, "cryptomount": cryptomount,
		"blscfg": blscfg, "insmod": insmod,
		"keystatus": keystatus, "echo": succeeds, "clear": succeeds, "sleep": succeeds, "cat": cat, "list_env": listEnv,
	}
	for _, like := range []string{"linux", "initrd"} {
		commands[like+"16"] = onPlatform(like+"16", false, commands[like])
		commands[like+"efi"] = onPlatform(like+"efi", true, commands[like])
	}
	for _, name := range strings.Fields(`rmmod loadfont terminal_output terminal_input terminal serial background_image
		background_color play password password_pbkdf2 videoinfo videotest nativedisk ls lsmod lsfonts trust distrust
		list_trusted gettext tpm efitextmode efi-set-os`) {
		commands[name] = unsure(name)
		decidesNothing[name] = true
	}
	for _, name := range []string{"echo", "clear", "sleep"} {
		decidesNothing[name] = true
	}
}

// decidesNothing are the commands whose words do not matter here.
var decidesNothing = map[string]bool{}

// onlyGRUB are commands of GRUB that end what can be followed from here, each with the reason.
var onlyGRUB = map[string]string{}

func init() {
	for why, names := range map[string]string{
		"starts something other than Linux": `chainloader multiboot multiboot2 module module2 xen_hypervisor xen_module
			xen_linux xen_initrd xen_xsm ntldr freedos freebsd plan9 truecrypt pxechainloader kfreebsd knetbsd kopenbsd
			xnu_kernel xnu_kernel64 xnu_uuid appleloader openbsd netbsd legacy_kernel legacy_initrd kernel uki`,
		"leaves GRUB": `exit halt reboot normal_exit`,
		"leads to a configuration of another kind": `legacy_configfile legacy_source syslinux_configfile syslinux_source
			extract_entries_source extract_entries_configfile extract_legacy_entries_source
			extract_syslinux_entries_source`,
		"waits for somebody at the keyboard": `read getkey authenticate`,
		"asks for a passphrase":              `zfskey`,
		"asks the machine, which only GRUB can here": `smbios getenv date rdmsr lspci setpci lsefi lsefisystab
			lsefimmap lsacpi gptprio.next efifwsetup hdparm uppermem net_bootp net_dhcp net_add_addr net_add_route
			net_nslookup`,
		"changes the machine or the disk before the kernel starts": `parttool drivemap gptsync badram cutmem acpi
			fakebios loadbios fix_video wrmsr devicetree loopback btrfs-mount-subvol zfs-bootfs outb outw outl
			write_byte write_word write_dword`,
	} {
		for _, name := range strings.Fields(names) {
			onlyGRUB[name] = why
		}
	}
}

func succeeds(*shell, []string) (int, error) { return ok, nil }

func fails(*shell, []string) (int, error) { return statusFalse, nil }

// onPlatform makes a command that every GRUB for UEFI, or for a BIOS, may be trusted to have whose configuration calls
// it, and of the others only some.
func onPlatform(name string, uefi bool, f func(*shell, []string) (int, error)) func(*shell, []string) (int, error) {
	return func(s *shell, args []string) (int, error) {
		if s.options.UEFI != uefi {
			return notFound, &Restart{Why: fmt.Sprintf("its configuration calls %s, which not every GRUB for this "+
				"firmware has", name)}
		}
		return f(s, args)
	}
}

// keystatus asks for a key that is held down, and nobody touches one. Without a key it asks whether the keyboard could
// tell.
func keystatus(s *shell, args []string) (int, error) {
	if len(args) == 0 {
		return unsure("keystatus")(s, args)
	}
	return statusFalse, nil
}

// cat shows a file: it fails where there is none.
func cat(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, false, []option{{long: "dos"}})
	if err != nil || len(p.args) == 0 {
		return badArgument, nil
	}
	f, err := s.locate(p.args[0])
	if err != nil || !s.files.Exists(f.Device, f.Path, false) {
		return notFound, s.missing(p.args[0])
	}
	return ok, nil
}

// set takes one assignment; more words are not looked at.
func set(s *shell, args []string) (int, error) {
	if len(args) == 0 {
		return ok, nil
	}
	name, value, is := strings.Cut(args[0], "=")
	if !is {
		return badArgument, nil
	}
	return ok, s.set(name, value)
}

func unset(s *shell, args []string) (int, error) {
	if len(args) == 0 {
		return badArgument, nil
	}
	for _, a := range args {
		s.unset(a)
	}
	return ok, nil
}

func export(s *shell, args []string) (int, error) {
	if len(args) == 0 {
		return badArgument, nil
	}
	for _, a := range args {
		v := s.env.vars[a]
		v.exported = true
		if s.env.vars[a] = v; len(s.env.vars) > maxVariables {
			return statusFalse, limit("more than %d variables", maxVariables)
		}
	}
	return ok, nil
}

func eval(s *shell, args []string) (int, error) {
	text := strings.Join(args, " ")
	l, err := s.parse(text)
	if err != nil {
		return invalid, err
	}
	if err := s.deeper(); err != nil {
		return statusFalse, err
	}
	defer func() { s.depth-- }()
	status, err := s.runText(l)
	if status == ok {
		s.pending = nil // of a line before the last
	}
	return status, err
}

func setparams(s *shell, args []string) (int, error) {
	if s.scope == nil {
		return invalid, nil
	}
	s.scope.args = args
	return ok, nil
}

func shift(s *shell, args []string) (int, error) {
	if s.scope == nil {
		return ok, nil
	}
	n, status, err := howMany(args)
	if status == badNumber && args[0] == "" {
		n, status = 0, ok // unlike others, shift looks only at what is behind the number
	}
	if err != nil || status != ok || n > len(s.scope.args) {
		return badArgument, err
	}
	s.scope.args = s.scope.args[n:]
	return ok, nil
}

// howMany reads the number that shift, break and continue may be given, 1 without. A status says what is wrong with it.
func howMany(args []string) (n, status int, err error) {
	switch len(args) {
	case 0:
		return 1, ok, nil
	case 1:
		return wholeNumber(args[0])
	}
	return 0, badArgument, nil
}

// wholeNumber reads a word that is a decimal number.
func wholeNumber(word string) (n, status int, err error) {
	v, rest, err := numberOf(strings.TrimLeft(word, blanks), 10)
	switch {
	case errors.Is(err, errWide):
		return 0, badNumber, &Restart{Why: fmt.Sprintf("its configuration goes by %s, which %v", word, err)}
	case err != nil:
		return 0, badNumber, nil
	case rest != "":
		return 0, badArgument, nil
	}
	return int(v), ok, nil
}

// returns ends the function or the line that is running, with a status; where there are no words of a function or menu
// entry it is an error and nothing more.
func returns(s *shell, args []string) (n int, err error) {
	if s.scope == nil || len(args) > 1 {
		return badArgument, nil
	}
	if len(args) == 0 {
		n, _ = strconv.Atoi(s.get("?"))
	} else {
		var status int
		if n, status, err = wholeNumber(args[0]); status != ok || err != nil {
			return status, err
		}
	}
	s.returned = true
	return n, nil
}

func breaks(s *shell, args []string) (int, error) { return leave(s, args, false) }

func continues(s *shell, args []string) (int, error) { return leave(s, args, true) }

func leave(s *shell, args []string, again bool) (int, error) {
	n, status, err := howMany(args)
	if status != ok || err != nil {
		return status, err
	}
	if n == 0 {
		return badArgument, nil
	}
	s.breaks, s.continues = min(n, s.loops), again
	return ok, nil
}

// count is Fedora's increment and decrement.
func count(by int64) func(*shell, []string) (int, error) {
	return func(s *shell, args []string) (int, error) {
		if len(args) == 0 {
			return badArgument, nil
		}
		n, _, err := leadingNumber(s.get(args[0]))
		if errors.Is(err, errWide) {
			return badArgument, &Restart{Why: fmt.Sprintf("its configuration counts %s, which %v", args[0], err)}
		}
		if err != nil {
			n = 0
		}
		return ok, s.set(args[0], strconv.FormatInt(n+by, 10))
	}
}

// cpuid answers for the CPU that we run on ourselves, in the only mode that the agent is built for.
func cpuid(_ *shell, args []string) (int, error) {
	_, err := parseOptions(args, false, []option{{short: 'l', long: "long-mode"}, {short: 'p', long: "pae"}})
	if err != nil {
		return badArgument, nil
	}
	return ok, nil
}

// hwmatch of Ubuntu tells graphics cards that cannot keep their mode from others. It decides how the screen looks.
func hwmatch(s *shell, _ []string) (int, error) { return ok, s.set("match", "0") }

// fwsetup leaves for the firmware's menu; "--is-supported" only asks whether that could be.
func fwsetup(s *shell, args []string) (int, error) {
	if len(args) == 1 && args[0] == "--is-supported" {
		if s.options.UEFI {
			return s.ask(question{what: "whether the firmware has a menu of its own", failed: statusFalse})
		}
		return statusFalse, nil
	}
	return statusFalse, &Restart{Why: "it opens the firmware's own menu"}
}

// source runs another file in the same context. GRUB goes on, with success, also when it is not there, and whatever the
// file returns.
func source(s *shell, args []string) (int, error) {
	if len(args) != 1 {
		return badArgument, nil
	}
	f, err := s.locate(args[0])
	if err != nil || !s.files.Exists(f.Device, f.Path, false) {
		return ok, s.missing(args[0])
	}
	if err := s.source(f.Device, f.Path); err != nil {
		return statusFalse, err
	}
	s.pending = nil // the status of its last command is lost, and that of a return
	return ok, nil
}

// configfile goes over to another configuration. It comes back only when that has no menu, with success as GRUB has it.
func configfile(s *shell, args []string) (int, error) {
	if len(args) != 1 {
		return badArgument, nil
	}
	f, name, err := s.next(args)
	if err != nil {
		return statusFalse, err
	}
	if f == nil {
		return ok, s.missing(name)
	}
	if err := s.deeper(); err != nil {
		return statusFalse, err
	}
	defer func() { s.depth-- }()
	defer s.open()()
	e, err := s.config(f.Device, f.Path)
	switch {
	case errors.Is(err, ErrEmpty):
		s.pending = nil
		return ok, nil
	case err != nil:
		return statusFalse, err
	}
	s.loaded = e
	return ok, errBoot
}

// next is the configuration to go over to, that of $prefix by default; nil when it is not there.
func (s *shell) next(args []string) (f *File, name string, err error) {
	name = s.get("prefix") + "/grub.cfg"
	if len(args) > 0 {
		name = args[0]
	} else if why := s.doubts["prefix"]; why != "" {
		return nil, name, &Restart{Why: why}
	}
	at, err := s.locate(name)
	if err != nil || !s.files.Exists(at.Device, at.Path, false) {
		return nil, name, nil
	}
	if why := s.doubt(name); why != "" {
		return nil, name, &Restart{Why: why}
	}
	return &at, name, nil
}

// missing is the error of a name that leads where nothing can be read from here; nil when the file itself may only not
// be there.
func (s *shell) missing(name string) error {
	if why := s.doubt(name); why != "" {
		return &Restart{Why: why}
	}
	dev, _, err := s.split(name)
	if err == nil {
		var n int
		if n, err = s.partition(dev); err == nil {
			if _, is := s.files.Facts(n); is {
				return nil
			}
		}
	}
	if s.absent(dev) || errors.Is(err, errRefused) {
		return nil
	}
	if errors.Is(err, errOtherDisk) {
		return &Restart{Why: fmt.Sprintf("its configuration asks for %s: %v", name, err)}
	}
	return &Restart{Why: fmt.Sprintf("its configuration asks for %s, which is on no file system that can be read "+
		"here%s", name, s.notRead())}
}
