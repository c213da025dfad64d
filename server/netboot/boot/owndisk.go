package boot

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot"
)

// How GRUB starts a machine's own disk. Firmware that is left to go on by itself tries the network by every other
// protocol first, which takes minutes; but what it would have started must be started, and nothing else.

// Why GRUB did not start a machine's own disk: what it then asks for as grub/WHY-MAC.cfg, so that the server knows. It
// is answered with a restart, at which the server leaves the disk to the firmware.
const (
	lostNone    = "none"
	lostSeveral = "several"
	lostWindows = "windows"
	lostFailed  = "failed"
	lostLeft    = "left"
)

// lostWords are what the operator is told.
var lostWords = map[string]string{
	lostNone:    "GRUB found no boot loader on its disks",
	lostSeveral: "GRUB found boot loaders of several systems on its disks, and cannot know which is the machine's",
	lostWindows: "GRUB found Windows, whose BitLocker may be bound to the way in which it is started",
	lostFailed:  "the boot loader of its own disk did not start from GRUB",
	lostLeft:    "only its firmware can start it",
}

// grubRestart answers GRUB that did not start the disk.
const grubRestart = `echo "diskcast: the machine restarts, and its firmware then starts its own disk"
sleep 3
reboot
`

// grubSearch finds the one loader that can be meant where nothing is known of the machine. Every folder of EFI but BOOT
// is a system's, which counts once, by the program that firmware's entry would name: shim before what it starts. A
// fallback counts where there is none, and speaks against a system on another partition. Unified kernels may each have
// an entry, of which nothing is known here.
const grubSearch = `function diskcast_system {
  if [ -f "$1" ]; then
    regexp --set=1:diskcast_at '^(.*)/[^/]*$' "$1"
    if regexp '/[Bb][Oo][Oo][Tt]$' "$diskcast_at"; then
      true
    elif [ -z "$diskcast_one" ]; then
      set diskcast_one="$1"
      set diskcast_dir="$diskcast_at"
    elif [ "$diskcast_at" != "$diskcast_dir" ]; then
      set diskcast_why=several
    fi
  fi
}
function diskcast_kernel {
  if [ -f "$1" ]; then
    if [ -z "$diskcast_one" ]; then
      set diskcast_why=several
    fi
  fi
}
function diskcast_fallback {
  if [ -f "$1" ]; then
    regexp --set=1:diskcast_at '^([^)]*)' "$1"
    regexp --set=1:diskcast_dir '^([^)]*)' "$diskcast_one"
    if [ -z "$diskcast_one" ]; then
      set diskcast_one="$1"
    elif [ "$diskcast_at" != "$diskcast_dir" ]; then
      set diskcast_why=several
    fi
  fi
}
function diskcast_find {
  for loader in (hd*,*)/EFI/*/shimx64.efi (hd*,*)/EFI/*/shim.efi (hd*,*)/EFI/*/systemd-bootx64.efi \
    (hd*,*)/EFI/*/grubx64.efi (hd*,*)/EFI/*/grub.efi (hd*,*)/EFI/*/refind_x64.efi (hd*,*)/EFI/*/BOOTX64.EFI; do
    diskcast_system "$loader"
  done
  for loader in (hd*,*)/EFI/Linux/*.efi; do
    diskcast_kernel "$loader"
  done
  for loader in (hd*,*)/EFI/BOOT/BOOTX64.EFI; do
    diskcast_fallback "$loader"
  done
  for loader in (hd*,*)/EFI/Microsoft/Boot/bootmgfw.efi; do
    if [ -f "$loader" ]; then
      set diskcast_why=windows
    fi
  done
}
`

// loaders is grubSearch with the names that boot loaders have for the directory's architecture.
func (d *Dir) loaders() string {
	return strings.NewReplacer("x64.efi", d.arch.EFI()+".efi", bootdir.AMD64.Fallback(), d.arch.Fallback()).
		Replace(grubSearch)
}

// grubKnown finds the file of the one partition that the machine's agent named.
const grubKnown = `function diskcast_find {
  for loader in (hd*,*)/%s; do
    if [ -f "$loader" ]; then
      regexp --set=1:diskcast_at '^\(([^)]*)\)' "$loader"
      set diskcast_id=
      probe --set=diskcast_id --part-uuid "($diskcast_at)"
      if [ "$diskcast_id" = "%s" ]; then
        if [ -n "$diskcast_one" ]; then
          set diskcast_why=several
        fi
        set diskcast_one="$loader"
      fi
    fi
  done
}
`

// grubStart starts what was found. GRUB tells a program that it lies on $root, wherever it was loaded from: a shim that
// believes to lie in the network finds no files. GRUB has no word for the firmware to go on: Debian 12's always leaves
// with success, after which firmware shows its menu (UEFI 2.10, 3.1.1). So the machine restarts, by the server's word,
// which then answers its firmware in another way. Without the server nothing better is left than to leave.
const grubStart = `function own_disk {
  set diskcast_one=
  set diskcast_dir=
  set diskcast_why=
  diskcast_find
  if [ -z "$diskcast_why" ]; then
    set diskcast_why=none
    if [ -n "$diskcast_one" ]; then
      set diskcast_why=failed
      echo "diskcast: starting $diskcast_one"
      regexp --set=1:root '^\(([^)]*)\)' "$diskcast_one"
      if chainloader "$diskcast_one"; then
        boot
      fi
    fi
  fi
  echo "diskcast: the own disk was not started from here: $diskcast_why"
  source "$cmdpath/grub/$diskcast_why-%s.cfg"
  sleep 5
  exit 1
}
`

// grubDisk defines own_disk for the machine. Where only the firmware may start the disk, GRUB should not have been
// asked: what sent the machine here was not this server's DHCP, and a restart would bring it here again. What
// mkimage's grub.cfg tries is left to be tried then.
func (d *Dir) grubDisk(mac string, s netboot.Start) string {
	switch {
	case s.Firmware != "":
		return ""
	case s.File != "":
		return fmt.Sprintf(grubKnown, strings.TrimPrefix(s.File, "/"), s.Partition) + fmt.Sprintf(grubStart, mac)
	}
	return d.loaders() + fmt.Sprintf(grubStart, mac)
}
