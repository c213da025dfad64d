package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// GRUBConfig is the name of GRUB's configuration in the boot directory.
const GRUBConfig = "grub/grub.cfg"

// What GRUB is told by grub/node-MAC.cfg. The function own_disk is in mkimage's grub.cfg; grubDisk's takes its place.
const (
	grubLocal = `echo "diskcast: it boots its own disk"
own_disk
`
	grubNetwork = "# This machine starts over the network.\n"
	grubNotHere = `echo "diskcast: this server does not boot this machine; it boots its own disk"
own_disk
`
	grubChosen = `echo "diskcast: its own disk"
`
)

// What GRUB asks for of a machine. mkimage's grub.cfg asks for node, and what that is answered with for the others.
const (
	askNode = "node"
	askMenu = "menu"
	askOwn  = "own"
)

// grubLeave has the machine restart, for its firmware to start the disk.
func grubLeave(mac string) string {
	return fmt.Sprintf("source \"$cmdpath/grub/%s-%s.cfg\"\n", lostLeft, mac)
}

// grubOther leads a GRUB of arm64 to its own configuration: every GRUB asks for the same file, whatever folder it came
// from, and knows by itself what it runs on.
const grubOther = `if [ "$grub_cpu" = "arm64" ]; then
  regexp --set=1:diskcast_net '^(\([^)]*\))' "$cmdpath"
  set cmdpath="$diskcast_net/arm64"
  source "$cmdpath/grub/grub.cfg"
fi
`

// grubNone is for a GRUB whose architecture has no boot directory here.
const grubNone = `echo "diskcast: this server has no boot directory for machines of $grub_cpu; mkimage makes one"
sleep 10
exit 1
`

// grubConfig is GRUB's configuration where other architectures have theirs beside this directory; ok is false where
// there are none, and the file itself is served.
func (d *Dir) grubConfig(name string) (text string, ok bool, err error) {
	name, bad := clean(name)
	if bad != nil || name != GRUBConfig || d.beside == nil || !d.Has(bootdir.ARM64.Prefix()+GRUBConfig) {
		return "", false, nil
	}
	f, info, err := d.Open(GRUBConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return grubOther + grubNone, true, nil
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	own, err := io.ReadAll(io.LimitReader(f, info.Size()))
	return grubOther + string(own), true, err
}

// grubAsk is a file that no boot directory holds: what the machine boots.
type grubAsk struct{ what, mac string }

// grubNode reads which machine asks by the name of a file such as grub/node-MAC.cfg.
func grubNode(name string) (ask grubAsk, ok bool) {
	name, err := clean(name)
	if err != nil {
		return grubAsk{}, false
	}
	name, prefix := strings.CutPrefix(name, "grub/")
	what, name, dash := strings.Cut(name, "-")
	name, suffix := strings.CutSuffix(name, ".cfg")
	hw, err := net.ParseMAC(name)
	if !prefix || !dash || !suffix || err != nil || len(hw) != 6 ||
		what != askNode && what != askMenu && what != askOwn && lostWords[what] == "" {
		return grubAsk{}, false
	}
	return grubAsk{what, hw.String()}, true
}

// optional reports whether a boot loader asks for the file as a matter of course and goes on without it: shim for lists
// of what was revoked and for more keys, GRUB for lists of its modules and for configurations that are more special
// than grub.cfg; or for the file that DHCP sends those to that are to boot their own disk.
func optional(name string) bool {
	name, err := clean(name)
	if err != nil {
		return false
	}
	base := path.Base(name)
	return base == dhcp.OwnDisk || strings.HasPrefix(base, "revocations") ||
		strings.HasPrefix(base, "shim_certificate") ||
		name != GRUBConfig && (strings.HasPrefix(name, "grub/") || strings.HasPrefix(name, "boot/grub/"))
}

// GRUBCan reports whether an architecture's GRUB has a feature that mkimage looked for and wrote into the manifest:
// dhcp.GRUBHTTP, dhcp.GRUBProxy.
func (d *Dir) GRUBCan(arch bootdir.Arch, feature string) bool {
	m, err := d.Of(arch).Manifest()
	if err != nil || m.GRUB == nil || m.Arch.OrDefault() != arch {
		return false
	}
	switch feature {
	case dhcp.GRUBHTTP:
		return m.GRUB.HTTP
	case dhcp.GRUBProxy:
		return m.GRUB.ProxyDHCP
	}
	return false
}
