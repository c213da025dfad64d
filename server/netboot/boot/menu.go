package boot

import (
	"fmt"
	"strings"
)

// menuWait is how long a menu waits for somebody before the machine goes on with its own disk, in seconds.
const menuWait = 15

// Memory tests that a menu offers where the boot directory has them: Memtest86+, for BIOS and for UEFI.
const (
	MemtestBIOS = "memtest.bin"
	MemtestUEFI = "memtest.efi"
)

// What is asked for behind a menu, by ?pick= of the script.
const (
	pickAgent = "agent"
	pickOwn   = "own"
)

// Names that the timeline has for a menu. Their last part is that of the script whose place they take.
const (
	menuScript = "menu/" + Script
	menuGRUB   = "menu/grub.cfg"
)

// menu is the menu for iPXE. Every way out of it that is not chosen ends at the machine's own disk: an iPXE without
// menus, a key that leaves it, nobody. The own disk is asked for, so that the server knows, and started all the same
// when the server does not answer.
func (d *Dir) menu(mac string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#!ipxe\n:menu\nmenu diskcast: %s starts its own disk in %d seconds || goto own\n", mac, menuWait)
	b.WriteString("item own Its own disk\n")
	b.WriteString("item agent Wait for a session\n")
	for _, x := range []struct{ platform, file string }{{"efi", MemtestUEFI}, {"pcbios", MemtestBIOS}} {
		if d.Has(x.file) {
			fmt.Fprintf(&b, "iseq ${platform} %s && item %s Test its memory ||\n", x.platform, x.file)
		}
	}
	fmt.Fprintf(&b, "choose --default own --timeout %d pick || goto own\ngoto ${pick} || goto own\n", menuWait*1000)
	dashed := strings.ReplaceAll(mac, ":", "-")
	fmt.Fprintf(&b, ":agent\nchain %s?mac=%s&pick=%s || goto menu\n", Script, dashed, pickAgent)
	for _, file := range []string{MemtestUEFI, MemtestBIOS} {
		if d.Has(file) {
			fmt.Fprintf(&b, ":%s\nimgfree\nkernel %s || goto menu\nboot || goto menu\n", file, file)
		}
	}
	fmt.Fprintf(&b, ":own\nchain %s?mac=%s&pick=%s ||\n%s", Script, dashed, pickOwn, ownDisk)
	return b.String()
}

// grubMenu is the menu for GRUB, which grub/node-MAC.cfg has it read in a context of its own: what is chosen there,
// and what comes when the menu is left, is in both.
func (d *Dir) grubMenu(mac string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "set timeout=%d\nset default=0\n", menuWait)
	fmt.Fprintf(&b, "menuentry \"Its own disk\" {\n  source \"$cmdpath/grub/own-%s.cfg\"\n  own_disk\n}\n", mac)
	b.WriteString("menuentry \"Wait for a session\" {\n" + grubToAgent + "}\n")
	if d.Has(MemtestUEFI) {
		b.WriteString("menuentry \"Test its memory\" {\n  chainloader \"$cmdpath/" + MemtestUEFI + "\"\n}\n")
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
