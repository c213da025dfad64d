package grub

import (
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// fakeFiles is a disk for tests: "DEVICE:/path" -> content, and what devices are called.
type fakeFiles struct {
	files  map[string]string
	uuids  map[string]int
	labels map[int]string
	holds  Layer
	made   []Made
	crypts []Encrypted
	unseen int // a partition that is not read; 0 for none
}

func (f *fakeFiles) Made() []Made { return f.made }

func (f *fakeFiles) Unread() string { return "" }

func (f *fakeFiles) Encrypted() []Encrypted { return f.crypts }

func (f *fakeFiles) Holds(l Layer) bool { return f.holds == l }

func (f *fakeFiles) Unseen(n int) bool { return n != 0 && f.unseen == n }

var _ Files = (*fakeFiles)(nil)

func key(dev int, name string) string { return fmt.Sprintf("%d:%s", dev, path.Clean(name)) }

func (f *fakeFiles) ReadFile(dev int, name string, max int64) ([]byte, error) {
	s, ok := f.files[key(dev, name)]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key(dev, name), fs.ErrNotExist)
	}
	return []byte(s), nil
}

func (f *fakeFiles) Exists(dev int, name string, dir bool) bool {
	if !dir {
		_, ok := f.files[key(dev, name)]
		return ok
	}
	for k := range f.files {
		if strings.HasPrefix(k, key(dev, name)+"/") {
			return true
		}
	}
	return false
}

func (f *fakeFiles) TooLinked(int, string) bool { return false }

func (f *fakeFiles) Listed(dev int, name string) (dir, is bool) {
	dir = f.Exists(dev, name, true)
	return dir, dir || f.Exists(dev, name, false)
}

func (f *fakeFiles) List(dev int, name string) ([]string, error) {
	var out []string
	for k := range f.files {
		if rest, ok := strings.CutPrefix(k, key(dev, name)+"/"); ok && !strings.Contains(rest, "/") {
			out = append(out, rest)
		}
	}
	if out == nil {
		return nil, fs.ErrNotExist
	}
	sort.Strings(out)
	return out, nil
}

func (f *fakeFiles) Blocks(dev int, first, count int64) ([]byte, error) {
	s, ok := f.files[fmt.Sprintf("%d:%d+%d", dev, first, count)]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(s), nil
}

func (f *fakeFiles) Facts(dev int) (Facts, bool) {
	for k := range f.files {
		if strings.HasPrefix(k, fmt.Sprintf("%d:", dev)) {
			facts := Facts{FS: "ext4", Label: f.labels[dev]}
			for uuid, n := range f.uuids {
				if n == dev {
					facts.UUID = uuid
				}
			}
			return facts, true
		}
	}
	return Facts{}, false
}

// debianLike has every construct that the configuration of a Debian or Ubuntu machine has.
const debianLike = `#
# made for this test
#
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="DEFAULT"
fi

if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
if [ "${prev_saved_entry}" ]; then
  set saved_entry="${prev_saved_entry}"
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod efi_gop
    insmod efi_uga
  fi
}
if [ x$feature_default_font_path = xy ] ; then
   font=unicode
else
insmod part_gpt
    font="/usr/share/grub/unicode.pf2"
fi
if loadfont $font ; then
  set gfxmode=auto
  load_video
fi
terminal_output gfxterm
if [ "${recordfail}" = 1 ] ; then
  set timeout=30
else
  if [ x$feature_timeout_style = xy ] ; then
    set timeout_style=menu
    set timeout=5
  # comment in the middle
  else
    set timeout=5
  fi
fi
function gfxmode {
	set gfxpayload="${1}"
}
set linux_gfx_mode=
export linux_gfx_mode
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class os $menuentry_id_option 'gnulinux-simple-1111' {
	load_video
	insmod gzio
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	insmod part_gpt
	insmod ext2
	set root='hd0,gpt2'
	if [ x$feature_platform_search_hint = xy ]; then
	  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 --hint-efi=hd0,gpt2 --hint-baremetal=ahci0,gpt2  1111
	else
	  search --no-floppy --fs-uuid --set=root 1111
	fi
	echo	'Loading Linux 6.1.0-56-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-56-amd64 root=UUID=1111 ro  console=ttyS0,115200 quiet
	echo	'Loading initial ramdisk ...'
	initrd	/boot/initrd.img-6.1.0-56-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1111' {
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-56-amd64' --class debian $menuentry_id_option ` +
	`'gnulinux-6.1.0-56-amd64-advanced-1111' {
		set root='hd0,gpt2'
		linux	/boot/vmlinuz-6.1.0-56-amd64 root=UUID=1111 ro quiet
		initrd	/boot/initrd.img-6.1.0-56-amd64
	}
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-50-amd64' --class debian $menuentry_id_option ` +
	`'gnulinux-6.1.0-50-amd64-advanced-1111' {
		set root='hd0,gpt2'
		linux	/boot/vmlinuz-6.1.0-50-amd64 root=UUID=1111 ro "dyndbg=file a.c +p" quiet
		initrd	/boot/intel-ucode.img /boot/initrd.img-6.1.0-50-amd64
	}
}
if [ "$grub_platform" = "efi" ]; then
	fwsetup --is-supported
	if [ "$?" = 0 ]; then
		menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
			fwsetup
		}
	fi
fi
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
`

const esp = "search.fs_uuid 1111 root hd0,gpt2 \nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"

func debian(def, env string) *fakeFiles {
	f := &fakeFiles{uuids: map[string]int{"1111": 2}, files: map[string]string{
		"1:/EFI/debian/grub.cfg":         esp,
		"2:/boot/vmlinuz-6.1.0-56-amd64": "k", "2:/boot/initrd.img-6.1.0-56-amd64": "i",
		"2:/boot/vmlinuz-6.1.0-50-amd64": "k", "2:/boot/initrd.img-6.1.0-50-amd64": "i", "2:/boot/intel-ucode.img": "i",
		"2:/boot/grub/grub.cfg": strings.Replace(debianLike, "DEFAULT", def, 1),
	}}
	if env != "" {
		f.files["2:/boot/grub/grubenv"] = envMagic + env + strings.Repeat("#", 1024-len(envMagic)-len(env))
	}
	return f
}

var (
	simpleEntry = &Entry{
		Title:   "Debian GNU/Linux",
		Kernel:  File{2, "/boot/vmlinuz-6.1.0-56-amd64"},
		Initrds: []File{{2, "/boot/initrd.img-6.1.0-56-amd64"}},
		Args:    "BOOT_IMAGE=/boot/vmlinuz-6.1.0-56-amd64 root=UUID=1111 ro console=ttyS0,115200 quiet",
	}
	oldEntry = &Entry{
		Title:   "Debian GNU/Linux, with Linux 6.1.0-50-amd64",
		Kernel:  File{2, "/boot/vmlinuz-6.1.0-50-amd64"},
		Initrds: []File{{2, "/boot/intel-ucode.img"}, {2, "/boot/initrd.img-6.1.0-50-amd64"}},
		Args:    `BOOT_IMAGE=/boot/vmlinuz-6.1.0-50-amd64 root=UUID=1111 ro "dyndbg=file a.c +p" quiet`,
	}
)
