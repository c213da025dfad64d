package bootdir

import (
	"fmt"
	"net/url"
	"strings"
)

// GRUBConfigFile is what Debian's GRUB reads of the server that it came from, as /grub/grub.cfg.
const GRUBConfigFile = "grub/grub.cfg"

// GRUBConfig is grub/grub.cfg: what boot.ipxe is for iPXE.
func GRUBConfig(c *Content) string {
	// $cmdpath is the place that GRUB itself was loaded from, as (tftp,10.0.0.1); $prefix is that with /grub at its
	// end, and without the folder that GRUB may lie in.
	base := "$cmdpath"
	if c.SecureBoot.HTTP {
		if dir, ok := grubPath(c.BaseURL); ok {
			base = dir
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, grubHead, c.Arch.Shim(), c.Arch.Fallback(), c.Release)
	// No initrd=: GRUB passes the archive in memory, and the EFI stub of the kernel would look for a file of that name.
	fmt.Fprintf(&b, grubLoop, base+"/"+KernelFile, GRUBWords(Cmdline(c)), base+"/"+ArchiveFile)
	b.WriteString(grubTail)
	return b.String()
}

// grubPath writes http://10.0.0.1:8080/boot as GRUB does: (http,10.0.0.1:8080)/boot. Settings of iPXE mean nothing to
// it.
func grubPath(base string) (string, bool) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || strings.Contains(base, "$") {
		return "", false
	}
	return "(http," + u.Host + ")" + strings.TrimSuffix(u.Path, "/"), true
}

// GRUBTakes reports whether GRUB can hand on the words of a kernel command line as iPXE does. GRUB puts a backslash
// before these two.
func GRUBTakes(cmdline string) bool { return !strings.ContainsAny(cmdline, `\'`) }

// GRUBWords quotes a kernel command line for GRUB's shell. The kernel cuts it at blanks outside double quotes; so must
// be cut here, because GRUB would escape the quotes. A word with a blank in it gets them back from GRUB.
func GRUBWords(cmdline string) string {
	var words []string
	var word strings.Builder
	quoted := false
	end := func() {
		if w := word.String(); w != "" {
			words = append(words, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		word.Reset()
	}
	for _, r := range cmdline {
		switch {
		case r == '"':
			quoted = !quoted
		case !quoted && (r == ' ' || r == '\t'):
			end()
		default:
			word.WriteRune(r)
		}
	}
	end()
	return strings.Join(words, " ")
}

// The server fills in node-MAC.cfg: it calls own_disk where the machine is to start from its own disk.
//
// Leaving is no way to the firmware's next boot device: this GRUB always leaves with success, after which firmware ends
// its boot order and shows its menu (UEFI 2.10, 3.1.1). So the loader on the disk is started from here: a
// distribution's, Windows', else the one that firmware starts without being told. The last comes last because it may be
// a program that enters the others into the firmware and restarts. GRUB tells a program that it lies on $root, wherever
// it was loaded from: a shim that believes to lie in the network finds no files.
const grubHead = `# Made by mkimage.
function own_disk {
  for loader in (hd*,gpt*)/EFI/*/%[1]s (hd*,gpt*)/EFI/Microsoft/Boot/bootmgfw.efi ` +
	`(hd*,gpt*)/EFI/BOOT/%[2]s (hd*,msdos*)/EFI/BOOT/%[2]s; do
    if [ -f "$loader" ]; then
      echo "diskcast: starting $loader"
      regexp --set=1:root '^\(([^)]*)\)' "$loader"
      if chainloader "$loader"; then
        boot
      fi
    fi
  done
  echo "diskcast: no disk has a boot loader that starts; back to the firmware"
  sleep 5
  exit 1
}

echo
echo "diskcast: $net_default_mac with address $net_default_ip starts Linux %[3]s"
source "$cmdpath/grub/node-$net_default_mac.cfg"
`

// A kernel that is loaded is not loaded again: Debian 12's GRUB ends in an exception when it is. The loop has words in
// place of a count, because GRUB cannot count.
const grubLoop = `
set kernel=
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  if [ -z "$kernel" ]; then
    if linux "%s" "BOOTIF=01-$net_default_mac" %s; then
      set kernel=loaded
    fi
  fi
  if [ -n "$kernel" ]; then
    if initrd "%s"; then
      echo "diskcast: starting the kernel"
      boot
    fi
  fi
  echo
  echo "diskcast: the node could not be started (attempt $try of 20); what GRUB says of it is above."
  echo "diskcast: bad shim signature: shim, GRUB and kernel are not of one distribution, or the kernel is not signed."
  echo "diskcast: else: is the server up, does it serve its boot directory, and can $net_default_ip reach ` +
	`$net_default_server?"
  if [ "$try" != 20 ]; then
    echo "diskcast: next attempt in 5 seconds"
    sleep 5
  fi
done
`

const grubTail = `
echo "diskcast: giving up; the machine goes on with its own disk."
own_disk
`
