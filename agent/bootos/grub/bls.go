package grub

import (
	"fmt"
	"path"
	"strings"
)

// blscfg adds the entries of the Boot Loader Specification to the menu as Red Hat's GRUB does: from $blsdir, else
// /loader/entries, and where there is no such folder from /boot/loader/entries. The highest name comes first. An entry
// is a menu entry with the commands linux and initrd on what is $root when it starts; its name without ".conf" is the
// id. "non-default" and "default" pick some.
//
// Versions differ. The oldest that are followed are those of Fedora 30 and RHEL 8.0; where the answer depends on which
// it is, it is a *Restart.
func blscfg(s *shell, args []string) (int, error) {
	if why := s.laterBLS(args); why != "" {
		return statusFalse, &Restart{Why: why}
	}
	n, err := s.blsDevice()
	if err != nil {
		return noDevice, err
	}
	pick := ""
	if len(args) == 1 { // with more the command takes none
		if pick = args[0]; strings.ContainsAny(pick, "(/") || strings.HasSuffix(pick, ".conf") {
			return statusFalse, &Restart{Why: fmt.Sprintf("blscfg %s is a path to older GRUBs of Red Hat's and a "+
				"name to newer ones", pick)}
		}
	}
	dirs := []string{"/loader/entries", "/boot/loader/entries"}
	if dir, set := s.lookup("blsdir"); set {
		dirs[0] = dir
	}
	if where := s.besideBLS(n, dirs); where != "" {
		return statusFalse, &Restart{Why: fmt.Sprintf("there are boot entries in %s too, which newer GRUBs of Red "+
			"Hat's list "+
			"with the others and older ones do not", where)}
	}
	from, entries, err := s.readBLS(n, dirs)
	if err != nil {
		return statusFalse, err
	}
	if entries, err = sortBLS(entries); err != nil {
		return statusFalse, err
	}
	if err := s.listed.again(s.env, from); err != nil {
		return statusFalse, err
	}
	s.bls = true
	def := ""
	if pick != "" {
		def = s.get("default")
	}
	for i, e := range entries {
		// An entry that an earlier call has put into the menu keeps its place and its number.
		if e.first("linux") == "" || s.listed.ids[e.id] || !e.picked(pick, def, i) {
			continue
		}
		m, err := s.blsItem(e)
		if err != nil {
			return invalid, err
		}
		if err := s.addItem(m); err != nil {
			return statusFalse, err
		}
		s.listed.ids[e.id] = true
	}
	return ok, nil
}

// laterBLS says why the command is GRUB's own of 2.14 and not Red Hat's: it takes options, never goes on to
// /boot/loader/entries, and orders entries in a way of its own, which is not followed here. Empty for Red Hat's.
func (s *shell) laterBLS(args []string) string {
	const rules = "GRUB 2.14's blscfg, which lists and orders entries by rules that are not followed here"
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			return fmt.Sprintf("its configuration has options (%s) of %s", a, rules)
		}
	}
	if s.options.BLSUKI {
		return "its program has " + rules
	}
	prefix, err := s.locate(s.get("prefix") + "/")
	if err != nil {
		return ""
	}
	for _, platform := range []string{"i386-pc", "x86_64-efi", "arm64-efi"} {
		dir := path.Join(prefix.Path, platform)
		if s.files.Exists(prefix.Device, dir+"/blsuki.mod", false) &&
			!s.files.Exists(prefix.Device, dir+"/blscfg.mod", false) {
			return fmt.Sprintf("its modules in %v are of %s", File{prefix.Device, dir}, rules)
		}
	}
	return ""
}

// listed is what blscfg has put into a menu: GRUB keeps its entries from call to call.
type listed struct {
	menu *environment
	from File
	ids  map[string]bool
}

// again notes a call, and refuses one that would add to entries of another folder or another menu.
func (l *listed) again(menu *environment, from File) error {
	if l.ids == nil {
		*l = listed{menu, from, map[string]bool{}}
	}
	if l.menu != menu || l.from != from {
		return &Restart{Why: fmt.Sprintf("blscfg adds entries of %v to those of %v or of another menu, and GRUBs "+
			"differ in what stays of them", from, l.from)}
	}
	return nil
}

// blsDevice is where the entries are: on $root. With a BIOS older GRUBs look at $boot first, and take the kernels from
// $root all the same.
func (s *shell) blsDevice() (int, error) {
	root := s.get("root")
	n, err := s.partition(root)
	why := s.doubts["root"]
	if err != nil && why == "" {
		why = fmt.Sprintf("its entries are on %v", err)
	}
	if !s.options.UEFI && why == "" {
		why = s.doubts["boot"]
		if boot, set := s.lookup("boot"); set && why == "" {
			if at, err := s.partition(boot); err != nil || at != n {
				why = fmt.Sprintf("older GRUBs of Red Hat's read the entries of $boot (%s) and newer ones those of "+
					"$root (%s)", boot, root)
			}
		}
	}
	if why != "" {
		return 0, &Restart{Why: why}
	}
	return n, nil
}

// besideBLS names a folder that has boot entries beside those on device n, which newer GRUBs read too: entries on the
// EFI system partition, and unified kernels on either. It is empty when there is none.
func (s *shell) besideBLS(n int, dirs []string) string {
	kernels := []string{"/EFI/Linux"}
	if dir := s.get("blslinuxdir"); dir != "" {
		kernels = append(kernels, dir)
	}
	has := func(dev int, dirs []string, ext string) string {
		for _, dir := range dirs {
			names, err := s.files.List(dev, dir)
			for _, name := range names {
				if err == nil && strings.EqualFold(path.Ext(name), ext) {
					return File{dev, dir}.String()
				}
			}
		}
		return ""
	}
	for dev := range maxPartition + 1 {
		facts, is := s.files.Facts(dev)
		esp := is && facts.FS == "vfat" && (s.options.UEFI || s.table() == "gpt")
		if !esp && dev != n {
			continue
		}
		where := has(dev, kernels, ".efi")
		if where == "" && dev != n {
			where = has(dev, dirs, ".conf")
		}
		if where != "" {
			return where
		}
	}
	return ""
}

// picked tells whether blscfg with an argument takes the entry: the one of that name, the default, or all but it.
func (e blsEntry) picked(arg, def string, index int) bool {
	isDefault := def != "" && (def == e.id || def == e.first("title"))
	if n, _, err := leadingNumber(def); err == nil && n == int64(index) {
		isDefault = true
	}
	switch arg {
	case "":
		return true
	case "default":
		return isDefault
	case "non-default":
		return !isDefault
	}
	return arg == e.id
}

// blsItem makes a menu entry of a Boot Loader Specification entry. The commands are read as every configuration is:
// blanks in a row become one, quotes keep words together.
func (s *shell) blsItem(e blsEntry) (item, error) {
	const at = "($root)"
	fail := func(err error) (item, error) { return item{}, fmt.Errorf("entry %s: %w", e.id, err) }
	if e.first("efi") != "" {
		return fail(&Restart{Why: "it has a kernel and an EFI program, and GRUBs differ in what they make of that"})
	}
	options, err := s.blsOptions(e)
	if err != nil {
		return fail(err)
	}
	script := "linux " + at + e.first("linux") + " " + options + "\n"
	initrds := e.keys["initrd"]
	if early, set := s.lookup("early_initrd"); set {
		// Early initrds are named without their folder, which is that of the first initrd, else of the kernel.
		beside := e.first("linux")
		if len(initrds) > 0 {
			beside = initrds[0]
		}
		var names []string
		for _, name := range strings.Split(early, " ") {
			names = append(names, beside[:strings.LastIndexByte(beside, '/')+1]+name)
		}
		initrds = append(names, initrds...)
	}
	if len(initrds) > 0 {
		script += "initrd " + at + strings.Join(initrds, " "+at) + "\n"
	}
	for _, v := range []string{e.first("devicetree"), e.first("uki"), s.get("devicetree")} {
		if v != "" {
			script += "devicetree " + at + v + "\n"
		}
	}
	_, users := s.blsValue(e.first("grub_users"), true)
	if err := s.known(); err != nil {
		return fail(err)
	}
	body, err := s.parse(script)
	if err != nil {
		return fail(err)
	}
	title := e.first("title")
	if title == "" {
		title = e.first("linux")
	}
	return item{title: title, id: e.id, args: []string{title}, body: body, protected: users}, nil
}

// String is for messages.
func (e *Entry) String() string {
	return fmt.Sprintf("%q: kernel %v, %d initrds, %q", e.Title, e.Kernel, len(e.Initrds), e.Args)
}
