package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/kernel"
	"github.com/diskcast/diskcast/mkimage/look"
	"github.com/diskcast/diskcast/mkimage/machines"
	"github.com/diskcast/diskcast/mkimage/memtest"
	"github.com/diskcast/diskcast/mkimage/modules"
	"github.com/diskcast/diskcast/mkimage/secureboot"
)

// defaultIPXE is where Debian's and Ubuntu's package ipxe has its binaries.
const defaultIPXE = "/usr/lib/ipxe"

type options struct {
	kernel, server, pin, console, append, baseURL, ipxe, shim, grub, out string
	arch                                                                 string
	ipxeShim                                                             string
	vlan, bond, ip                                                       string
	memtest                                                              []string
	modulesFrom, modules, firmware, machines                             []string
	selects                                                              []string
	tokenFile                                                            string
	media                                                                media
}

// build makes the boot directory. epoch is SOURCE_DATE_EPOCH; archive gives the userland.
func build(ctx context.Context, o *options, epoch string, archive func(contract.Arch) ([]byte, error)) (*result,
	error) {
	if err := o.check(); err != nil {
		return nil, usageError{err}
	}
	if err := o.checkOverwrites(); err != nil {
		return nil, usageError{err}
	}
	if o.out != "" {
		if err := bootdir.CheckOut(o.out); err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
	}
	if err := o.media.checkFiles(); err != nil {
		return nil, err
	}
	inputs := kernel.Options{Kernel: o.kernel, Modules: o.modulesFrom, Firmware: o.firmware}
	if err := inputs.Check(); err != nil {
		return nil, err
	}
	modTime, err := parseEpoch(epoch)
	if err != nil {
		return nil, err
	}
	r := &result{Out: o.out}
	list, err := o.readMachines(ctx, r)
	if err != nil {
		return nil, err
	}
	c := &bootdir.Content{
		Site:   bootdir.Site{V: 1, Server: o.server, Pin: o.pin, Console: o.console, Bond: o.bond, IP: o.ip},
		Append: o.append, BaseURL: o.baseURL, ModTime: modTime, Generator: "mkimage " + version,
	}
	if c.Site.VLAN, err = o.wired(r); err != nil {
		return nil, usageError{err}
	}
	if err := bootdir.CheckCmdline(c, kernel.MaxCmdline); err != nil {
		return nil, err
	}
	tools, err := o.media.open()
	if err != nil {
		return nil, err
	}
	tests, err := o.openMemtest(c, r)
	if err != nil {
		return nil, err
	}
	k, err := kernel.Open(inputs)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	c.Arch = k.Arch
	if o.arch != "" && o.arch != string(c.Arch) {
		return nil, fmt.Errorf("--kernel %s is a kernel for machines of %s, and --arch says %s: nothing was made",
			o.kernel, c.Arch, o.arch)
	}
	if list != nil {
		var note string
		if list, note, err = machines.Of(c.Arch, list); err != nil {
			return nil, fmt.Errorf("--for: %w", err)
		}
		if note != "" {
			r.Notes = append(r.Notes, "--for: "+note)
		}
	}
	if len(c.Memtest) > 0 && c.Arch != contract.AMD64 {
		return nil, fmt.Errorf("--memtest: there is no Memtest86+ for machines of %s, which the kernel is for: leave "+
			"it out", c.Arch)
	}
	if err := tools.checkArch(&o.media, c.Arch); err != nil {
		return nil, err
	}
	if tools != nil && tools.note != "" {
		r.Notes = append(r.Notes, tools.note)
	}
	if tools != nil && tools.signer != nil {
		if why := tools.signer.Dated(time.Now()); why != "" {
			r.Notes = append(r.Notes, "--cert: "+why+": EDK II looks at no dates, but other firmware may refuse what "+
				"is signed")
		}
	}
	if c.Userland, err = archive(c.Arch); err != nil {
		return nil, err
	}
	if o.out != "" { // media need neither
		if c.IPXE, err = o.readIPXE(r, c.Arch); err != nil {
			return nil, err
		}
		if c.SecureBoot, err = o.openLoaders(r, c.Arch); err != nil {
			return nil, err
		}
		if err := o.openSignedIPXE(c, r); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := choose(o, k, c, r, inputs, list); err != nil {
		return nil, err
	}
	c.Sources = append(c.Sources, tests...)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	o.noteLoaders(c, r)
	if o.media.boot {
		c.UKI = func(archive []byte) ([]byte, error) { return tools.program(c, archive) }
	}
	files, manifest, err := bootdir.Files(c)
	if err != nil {
		return nil, err
	}
	r.Manifest = manifest
	need := look.MemoryNeed(manifest)
	if r.For != nil {
		r.Memory = r.For.Memory(need)
		r.Notes = append(r.Notes, r.Memory.Notes()...)
	} else if need > look.LeastMemory {
		r.Notes = append(r.Notes,
			fmt.Sprintf("a node needs about %d MiB of memory for this archive, more than the usual %d, because the "+
				"kernel unpacks it into a file system that has half of the memory: "+
				"with less, the node says that the archive did not fit; fewer --modules or less --firmware make it "+
				"smaller", need>>20, look.LeastMemory>>20))
	}
	if u, err := url.Parse(o.server); err == nil && o.server != "" && u.Port() == "" {
		r.Notes = append(r.Notes, "--server names no port, so that nodes ask port 443; diskcast serve listens on 8443 "+
			"where --listen says nothing else")
	}
	if o.server == "" {
		r.Notes = append(r.Notes,
			"no --server: nodes will need diskcast.server= and diskcast.pin= on their kernel command line (--append)")
	}
	if r.Media, err = o.media.make(tools, c, files[bootdir.ArchiveFile]); err != nil {
		return nil, err
	}
	if o.out == "" {
		return r, nil
	}
	return r, bootdir.Publish(o.out, files)
}

// chooseModules fills in the modules: those of the selection, or what the machines need of them.
func chooseModules(c *bootdir.Content, r *result, selection []string, list []machines.Machine) (err error) {
	if list == nil {
		c.Modules, err = c.Tree.Choose(selection)
		return err
	}
	if r.For, err = machines.Choose(c.Tree, selection, list); err != nil {
		return err
	}
	c.Modules = r.For.Modules
	for _, m := range list {
		c.Machines = append(c.Machines, m.Name)
	}
	r.Notes = append(r.Notes, r.For.Notes()...)
	return nil
}

// missedFirmware says which files machines asked for and are not there.
func missedFirmware(asked map[string][]string, blobs []modules.Blob) []string {
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if !slices.ContainsFunc(blobs, func(b modules.Blob) bool { return b.Name == name }) {
			notes = append(notes, fmt.Sprintf("firmware %s is not in the archive, and %s asked for it: add --firmware "+
				"/lib/firmware or a firmware package that has it", name, machines.Few(asked[name])))
		}
	}
	return notes
}

// choose fills in the kernel, its modules and their firmware.
func choose(o *options, k *kernel.Kernel, c *bootdir.Content, r *result, inputs kernel.Options,
	list []machines.Machine) error {
	c.Kernel, c.Release, c.Packing = k.Vmlinuz(), k.Release, k.Quick
	if list != nil { // as small as these machines allow
		c.Packing = k.Small
	}
	if err := bootdir.CheckCmdline(c, kernel.CmdlineSize(c.Kernel)); err != nil {
		return err
	}
	var selection []string
	for _, word := range o.modules {
		if word == "default" {
			selection = append(selection, modules.Default...)
		} else {
			selection = append(selection, word)
		}
	}
	tree, err := modules.Scan(k.Modules)
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, tree.Notes...)
	if len(tree.Index.Modules()) == 0 && !slices.Equal(selection, []string{"none"}) {
		return fmt.Errorf("no modules for kernel %s in %s: name their folder or package with --modules-from, or "+
			"choose --modules none", k.Release, o.kernel)
	}
	c.Tree = tree
	if err := chooseModules(c, r, selection, list); err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	if err := o.wiredModules(c); err != nil {
		return err
	}
	note, err := modules.OfOthers(c.Modules, k.Release)
	if err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
	if err := k.OpenFirmware(inputs); err != nil {
		return err
	}
	wishes := c.Modules
	if r.For != nil && len(r.For.Firmware) > 0 {
		wishes = append(slices.Clip(wishes), &kmod.Module{Info: kmod.Info{Firmware: r.For.Firmware}})
	}
	blobs, missing, err := modules.Firmware(k.Firmware, wishes)
	if err != nil {
		return err
	}
	missing = slices.DeleteFunc(missing, func(name string) bool { return name == "" })
	if r.For != nil {
		r.Notes = append(r.Notes, missedFirmware(r.For.Asked, blobs)...)
	}
	if len(blobs) == 0 && len(o.firmware) > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("no firmware is in the archive: nothing in --firmware %s is what one of "+
			"the chosen modules asks for", strings.Join(o.firmware, ",")))
	}
	c.Firmware = blobs
	c.Sources = k.Sources
	if c.SecureBoot != nil {
		c.Sources = append(c.Sources, c.SecureBoot.Sources...)
	}
	if len(missing) > 0 {
		r.Notes = append(r.Notes, firmwareNote(missing, c.Modules))
	}
	return nil
}

func firmwareNote(missing []string, chosen []*kmod.Module) string {
	shown := missing[:min(8, len(missing))]
	text := fmt.Sprintf("%d of %d modules may ask for firmware that is not in the archive (%s", len(missing),
		len(chosen), strings.Join(shown, ", "))
	if len(missing) > len(shown) {
		text += ", ..."
	}
	return text + "): if your machines have such cards, add --firmware /lib/firmware or a firmware package"
}

func (o *options) readIPXE(r *result, arch contract.Arch) (map[string][]byte, error) {
	if o.ipxe == noLoaders {
		r.Notes = append(r.Notes, "no iPXE in the directory, as --ipxe none says: machines with BIOS cannot start "+
			"from it unless their firmware is iPXE")
		return nil, nil
	}
	if o.ipxe != "" {
		return bootdir.ReadIPXE(o.ipxe, arch)
	}
	if _, err := os.Stat(defaultIPXE); errors.Is(err, fs.ErrNotExist) {
		r.Notes = append(r.Notes,
			"no iPXE in the directory: machines whose firmware is not iPXE cannot start from it; install the package "+
				"ipxe or give --ipxe")
		return nil, nil
	}
	files, err := bootdir.ReadIPXE(defaultIPXE, arch)
	if err != nil && arch != contract.AMD64 { // the package installed is for another one: shim and GRUB are there
		r.Notes = append(r.Notes, fmt.Sprintf("no iPXE in the directory: %v", err))
		return nil, nil
	}
	return files, err
}

// openMemtest takes Memtest86+ for the menus of machines, and says for which firmware there is none. It returns the
// packages that it came from.
func (o *options) openMemtest(c *bootdir.Content, r *result) ([]contract.Source, error) {
	if len(o.memtest) == 0 {
		return nil, nil
	}
	programs, sources, err := memtest.Open(o.memtest, memtest.Installed)
	if err != nil {
		return nil, err
	}
	c.Memtest = programs
	for _, x := range []struct{ file, firmware string }{{contract.MemtestBIOS, "BIOS"},
		{contract.MemtestUEFI, "UEFI"}} {
		if programs[x.file] == nil {
			r.Notes = append(r.Notes, fmt.Sprintf("no Memtest86+ for machines with %s in the directory: name that one "+
				"with --memtest too, or the package", x.firmware))
		}
	}
	return sources, nil
}

// noLoaders is the word that leaves shim and GRUB, iPXE or ISOLINUX out.
const noLoaders = "none"

func (o *options) openLoaders(r *result, arch contract.Arch) (*secureboot.Loaders, error) {
	if o.shim == noLoaders {
		return nil, nil
	}
	l, err := secureboot.Open(arch, o.shim, o.grub)
	// Without one word about them, what is installed decides; with one, both are wanted.
	if errors.Is(err, secureboot.ErrMissing) && o.shim == "" && o.grub == "" {
		if o.media.boot && o.media.sign != "" {
			r.Notes = append(r.Notes, "no shim and GRUB in the directory: of machines with Secure Boot on, those "+
				"start whose firmware has the certificate of --cert, with `diskcast serve --uefi-loader uki`")
			return nil, nil
		}
		r.Notes = append(r.Notes,
			fmt.Sprintf("no shim and GRUB in the directory: machines with Secure Boot on cannot start from it; %v "+
				"(or --shim %s)", err, noLoaders))
		return nil, nil
	}
	return l, err
}

// openSignedIPXE takes the iPXE that its makers signed. It starts kernels by the shim of their distribution.
func (o *options) openSignedIPXE(c *bootdir.Content, r *result) (err error) {
	if o.ipxeShim == "" {
		return nil
	}
	if c.SecureBoot == nil {
		return errors.New("--ipxe-shim: no shim is there that knows who signed the kernel: give the distribution's " +
			"with " +
			"--shim and --grub")
	}
	if c.SignedIPXE, err = secureboot.OpenIPXE(c.Arch, o.ipxeShim); err != nil {
		return fmt.Errorf("--ipxe-shim: %w", err)
	}
	r.Notes = append(r.Notes, "machines are started by the signed iPXE with `diskcast serve --uefi-loader ipxe-shim`")
	return nil
}

// noteLoaders says where shim and GRUB do not go together with the rest.
func (o *options) noteLoaders(c *bootdir.Content, r *result) {
	if c.SecureBoot == nil {
		return
	}
	r.Notes = append(r.Notes, c.SecureBoot.Check(c.Kernel)...)
	if !c.SecureBoot.ProxyDHCP {
		then := "machines get iPXE, and those with Secure Boot on cannot start"
		if c.IPXE["snponly.efi"] == nil && c.IPXE["ipxe.efi"] == nil {
			then = "machines with UEFI get nothing, for there is no iPXE for them either"
		}
		r.Notes = append(r.Notes,
			fmt.Sprintf("GRUB %s does not know proxy DHCP: with `diskcast serve --dhcp proxy`, %s; give --grub a "+
				"GRUB 2.12 (Debian 13's package goes with Debian 12's shim and kernel), or see docs/booting.md",
				c.SecureBoot.Version, then))
	}
	if o.baseURL != "" && (!c.SecureBoot.HTTP || strings.Contains(o.baseURL, "${")) {
		r.Notes = append(r.Notes,
			"--base-url is for iPXE; this GRUB loads kernel and archive from where it came itself")
	}
	if !bootdir.GRUBTakes(o.append) {
		r.Notes = append(r.Notes,
			`GRUB does not hand --append on as iPXE does: it puts a backslash before \ and '`)
	}
}

var (
	pinForm     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	consoleForm = regexp.MustCompile(`^[A-Za-z]+[0-9]+(,[0-9]+[a-z]?[0-9]?r?)?$`)
)

func (o *options) check() error {
	if o.arch != "" && o.arch != string(contract.AMD64) && o.arch != string(contract.ARM64) {
		return fmt.Errorf("--arch %q is neither %s nor %s", o.arch, contract.AMD64, contract.ARM64)
	}
	if len(o.machines) > 0 && slices.Equal(o.modules, []string{"none"}) {
		return errors.New("--for picks from --modules, and --modules none has nothing to pick from")
	}
	if err := o.media.check(o.out); err != nil {
		return err
	}
	if err := o.checkMachines(); err != nil {
		return err
	}
	if len(o.memtest) > 0 && o.out == "" {
		return errors.New("--memtest is for the menus of machines that boot from the network: name a boot directory " +
			"with --out")
	}
	if o.ipxeShim != "" && o.out == "" {
		return errors.New("--ipxe-shim is for machines that boot from the network: name a boot directory with --out")
	}
	if err := o.checkLoaders(); err != nil {
		return err
	}
	if o.server != "" {
		if !serverURL(o.server) {
			return fmt.Errorf("--server %q is not a URL like https://10.0.0.1:8443", o.server)
		}
		if o.pin == "" {
			return errors.New("--server without --pin: nodes would not know whom to trust; `diskcast token --state " +
				"DIR` prints the pin")
		}
	}
	if o.pin != "" && !pinForm.MatchString(o.pin) {
		return fmt.Errorf("--pin %q is not sha256: and 64 hexadecimal digits; `diskcast token --state DIR` prints "+
			"the pin", o.pin)
	}
	if o.console != "" && !consoleForm.MatchString(o.console) {
		return fmt.Errorf("--console %q is not a serial console like ttyS0,115200", o.console)
	}
	if o.baseURL != "" {
		u, err := url.Parse(o.baseURL)
		// iPXE's own settings, as ${next-server}, may be in it.
		if err != nil && !strings.Contains(o.baseURL, "${") || err == nil && u.Scheme == "" ||
			strings.ContainsAny(o.baseURL, bootdir.Blanks) {
			return fmt.Errorf("--base-url %q is not a URL like http://10.0.0.1:8080/boot", o.baseURL)
		}
	}
	if strings.ContainsAny(o.append, "\n\r") {
		return errors.New("--append holds the end of a line")
	}
	if o.out == "" { // there is no iPXE
		return nil
	}
	if err := bootdir.CheckIPXE(o.append); err != nil {
		return fmt.Errorf("--append: %w: leave it out, or write it in another way", err)
	}
	return nil
}

// checkLoaders refuses flags that nothing would come of.
func (o *options) checkLoaders() error {
	if o.shim == noLoaders && o.grub != "" {
		return errors.New("--shim none leaves GRUB out too: name a shim, or leave --grub out")
	}
	for _, x := range []struct{ flag, value string }{{"--shim", o.shim}, {"--grub", o.grub}, {"--ipxe", o.ipxe},
		{"--base-url", o.baseURL}} {
		if x.value != "" && x.value != noLoaders && o.out == "" {
			return fmt.Errorf("%s is for machines that boot from the network: name a boot directory with --out, or "+
				"leave it out", x.flag)
		}
	}
	return nil
}

func parseEpoch(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: it must be seconds since 1970, from 0 to 4294967295 "+
			"(2106)", s)
	}
	return time.Unix(int64(n), 0), nil
}
