package boot

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// Memory tests that a menu offers where the boot directory has them.
const (
	MemtestBIOS = bootdir.MemtestBIOS
	MemtestUEFI = bootdir.MemtestUEFI
)

// Memtest is the file of the test of memory for machines with UEFI, or with a BIOS, and whether it is there now.
func (d *Dir) Memtest(uefi bool) (file string, has bool) {
	file = MemtestBIOS
	if uefi {
		file = MemtestUEFI
	}
	return file, d.Has(file)
}

// What is asked for behind a menu, by ?pick= of the script.
const (
	pickAgent = "agent"
	pickOwn   = "own"
)

// Names that the timeline has for a menu. Their last part is that of the script whose place they take.
const (
	menuScript    = "menu/" + Script
	menuGRUB      = "menu/grub.cfg"
	memtestScript = "memtest/" + Script
	memtestGRUB   = "memtest/grub.cfg"
)

// menu is the menu for iPXE. Every way out of it that is not chosen ends at the machine's own disk: an iPXE without
// menus, a key that leaves it, nobody. The own disk is asked for, so that the server knows, and started all the same
// when the server does not answer.
func (d *Dir) menu(mac string) string {
	c := d.Choices.Of(mac)
	var b strings.Builder
	fmt.Fprintf(&b, "#!ipxe\n:menu\nmenu diskcast: %s starts its own disk in %d seconds || goto own\n", mac, c.Seconds)
	b.WriteString("item own Its own disk\n")
	fmt.Fprintf(&b, "item agent %s\n", c.Agent)
	for _, x := range []struct{ platform, file string }{{"efi", MemtestUEFI}, {"pcbios", MemtestBIOS}} {
		if c.Memtest && d.Has(x.file) {
			fmt.Fprintf(&b, "iseq ${platform} %s && item %s Test its memory ||\n", x.platform, x.file)
		}
	}
	fmt.Fprintf(&b, "choose --default own --timeout %d pick || goto own\ngoto ${pick} || goto own\n", c.Seconds*1000)
	dashed := strings.ReplaceAll(mac, ":", "-")
	fmt.Fprintf(&b, ":agent\nchain %s?mac=%s&pick=%s || goto menu\n", Script, dashed, pickAgent)
	for _, file := range []string{MemtestUEFI, MemtestBIOS} {
		if c.Memtest && d.Has(file) {
			fmt.Fprintf(&b, ":%s\nimgfree\nkernel %s%s || goto menu\nboot || goto menu\n", file, file, d.serial())
		}
	}
	fmt.Fprintf(&b, ":own\nchain %s?mac=%s&pick=%s ||\n%s", Script, dashed, pickOwn, ownDisk)
	return b.String()
}

// grubMenu is the menu for GRUB, which grub/node-MAC.cfg has it read in a context of its own: what is chosen there,
// and what comes when the menu is left, is in both.
func (d *Dir) grubMenu(mac string) string {
	c := d.Choices.Of(mac)
	var b strings.Builder
	fmt.Fprintf(&b, "set timeout=%d\nset default=0\n", c.Seconds)
	fmt.Fprintf(&b, "menuentry \"Its own disk\" {\n  source \"$cmdpath/grub/own-%s.cfg\"\n  own_disk\n}\n", mac)
	fmt.Fprintf(&b, "menuentry \"%s\" {\n%s}\n", c.Agent, grubToAgent)
	if c.Memtest && d.Has(MemtestUEFI) {
		fmt.Fprintf(&b, "menuentry \"Test its memory\" {\n  %s\n}\n", d.grubTest())
	}
	return b.String()
}

// grubToAgent reads GRUB's configuration once more, past the menu.
const grubToAgent = "set diskcast_pick=" + pickAgent + "\nexport diskcast_pick\nconfigfile \"$cmdpath/grub/grub.cfg\"\n"

// grubToMenu leads GRUB to its menu, and to the own disk when the menu is left or does not come.
func grubToMenu(mac string) string {
	return fmt.Sprintf(`if [ "$diskcast_pick" != %s ]; then
  export cmdpath
  configfile "$cmdpath/grub/menu-%s.cfg"
  source "$cmdpath/grub/own-%s.cfg"
  own_disk
fi
`, pickAgent, mac, mac)
}

// memtest has iPXE start the test of the machine's memory. Where it does not start (the file is gone, Secure Boot
// refuses it), the machine goes on to the agent, at whose console it was chosen.
func (d *Dir) memtest(mac string) string {
	return fmt.Sprintf("#!ipxe\necho diskcast: a test of its memory, as was chosen at its console\n"+
		"iseq ${platform} efi && set test %s || set test %s\n"+
		"kernel ${test}%s && boot ||\n"+
		"echo diskcast: ${test} does not start\nimgfree\nchain %s?mac=%s&pick=%s\n",
		MemtestUEFI, MemtestBIOS, d.serial(), Script, strings.ReplaceAll(mac, ":", "-"), pickAgent)
}

// grubMemtest has GRUB do the same: it goes on over the network where the test does not start.
func (d *Dir) grubMemtest() string {
	return "echo \"diskcast: a test of its memory, as was chosen at its console\"\nif " + d.grubTest() +
		"; then\n  boot\nfi\n"
}

// grubTest is GRUB's line that loads the test, as Debian's package has it: Memtest86+ is a kernel to a boot loader.
// chainloader would hand it no words, and is reported not to start it behind shim (bugs.gentoo.org/931825).
func (d *Dir) grubTest() string { return "linux \"$cmdpath/" + MemtestUEFI + "\"" + d.serial() }

// serial has Memtest86+ speak on a serial console of the nodes' kernel, as well as on the screen: on the last that is
// one of the four lines that it knows. It begins with a blank, and is empty where nodes have none.
func (d *Dir) serial() string {
	m, err := d.Manifest()
	if err != nil {
		return "" // a directory that mkimage did not make
	}
	words := ""
	for _, w := range strings.Fields(m.Cmdline) {
		line, of := strings.CutPrefix(w, "console=ttyS")
		line, mode, _ := strings.Cut(line, ",")
		if !of || len(line) != 1 || line < "0" || line > "3" {
			continue
		}
		speed := mode[:len(mode)-len(strings.TrimLeft(mode, "0123456789"))] // of 115200n8
		words = " console=ttyS" + line + "," + cmp.Or(speed, "9600")        // as the kernel has it without one
	}
	return words
}
