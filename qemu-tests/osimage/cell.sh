#!/bin/sh
# Installs a cell's Debian on its disks as a person would, or has each layer's own checker look at them. It runs in a
# user-mode Linux, which sees the files of the machine: what it makes outside of the disks goes into memory.
# usage: cell.sh install|check LOADER ROOT
# In the environment of install: TREE is the Debian, FILES has the loaders' programs, SCRATCH is for files; UUID is of
# the root's file system, BOOT of /boot's, ESP of the EFI system partition, MD of the RAID; WORDS are for the kernel.
set -eu
verb=$1 loader=$2 root=$3
top=/mnt/fs
name=restored # of the machine: md has it in its names
group=lab-vg

# module loads modules of this kernel.
module() {
	for m in "$@"; do
		insmod /usr/lib/uml/modules/*/kernel/"$m".ko
	done
}

# The disks' usual names: GRUB's tools know no others, and md and LVM tell them by their numbers.
mount -t tmpfs tmpfs /run
mount -t sysfs sysfs /sys
for node in /dev/ubd*; do
	mv "$node" "/dev/sd${node#/dev/ubd}"
done
case $root in
lvm) module drivers/md/dm-mod ;;
md) module drivers/md/md-mod drivers/md/raid1 ;;
esac
# No udev runs here, and LVM does not know this kernel's disks.
export LVM_SYSTEM_DIR=/run/lvm-etc LVM_SUPPRESS_FD_WARNINGS=1
mkdir $LVM_SYSTEM_DIR
cat >$LVM_SYSTEM_DIR/lvm.conf <<'END'
devices { filter=["a|^/dev/sd|","r|.*|"] use_devicesfile=0 types=["ubd",16] }
activation { udev_sync=0 udev_rules=0 monitoring=0 }
global { event_activation=0 }
backup { backup=0 archive=0 }
END

case $loader in
grub-efi | systemd-boot | uki) rootpart=2 esp=/dev/sda1 boot= ;;
*) rootpart=1 esp= boot= ;;
esac
# EXTLINUX cannot be on XFS, whose superblock is where its boot sector would be, reads no LVM, and finds nothing in a
# subvolume of btrfs, for Debian's does not note its name: people give it a /boot of its own.
case $loader-$root in extlinux-xfs | extlinux-lvm | extlinux-btrfs) rootpart=2 boot=/dev/sda1 ;; esac
part=/dev/sda$rootpart
# EXTLINUX 6 reads no ext4 with block numbers of 64 bits.
ext4=
[ "$loader" != extlinux ] || ext4="-O ^64bit"

# mirror makes a RAID 1 of a partition of both disks: NAME PARTITION METADATA UUID
mirror() {
	mdadm --create "/dev/md/$1" --level=1 --raid-devices=2 --metadata="$3" --homehost=$name --name="$1" --uuid="$4" \
		--assume-clean --bitmap=none --run "/dev/sda$2" "/dev/sdb$2"
}

# root_ROOT makes the root's file system and mounts it: the device is $device, its line of fstab $fstab, what the kernel
# is told of it $words.
plain() {
	mkfs.ext4 -q -F -L root -U "$UUID" $ext4 -E lazy_itable_init=0,lazy_journal_init=0 "$device"
	mount "$device" $top
}
root_ext4() {
	device=$part fstab="UUID=$UUID / ext4 errors=remount-ro 0 1" words="root=UUID=$UUID"
	plain
}
root_xfs() {
	device=$part fstab="UUID=$UUID / xfs defaults 0 0" words="root=UUID=$UUID"
	mkfs.xfs -q -f -L root -m "uuid=$UUID" $part
	mount $part $top
}
root_btrfs() {
	device=$part fstab="UUID=$UUID / btrfs defaults,subvol=@rootfs 0 0"
	words="root=UUID=$UUID rootflags=subvol=@rootfs"
	mkfs.btrfs -q -f -L root -U "$UUID" $part
	mount $part $top
	btrfs subvolume create $top/@rootfs
	umount $top
	mount -o subvol=@rootfs $part $top
}
root_lvm() {
	device=/dev/mapper/lab--vg-root fstab="/dev/mapper/lab--vg-root / ext4 errors=remount-ro 0 1"
	words=root=/dev/mapper/lab--vg-root
	pvcreate -q -y -ff $part
	vgcreate -q -y $group $part
	lvcreate -q -y -Wn -L 8M -n swap $group
	lvcreate -q -y -Wn -l 100%FREE -n root $group
	mkswap -q /dev/mapper/lab--vg-swap
	plain
}
root_md() {
	fstab="UUID=$UUID / ext4 errors=remount-ro 0 1" words="root=UUID=$UUID"
	metadata=1.2
	[ $loader != extlinux ] || metadata=1.0 # for EXTLINUX the partition must read like the file system
	mirror root $rootpart $metadata "$MD"
	device=$(readlink -f /dev/md/root)
	plain
}

# in_root runs a program of GRUB's in the new root, which has none: /usr and the scripts are this machine's.
in_root() {
	mount --bind /usr $top/usr
	mkdir -p $top/etc/grub.d
	mount --bind /etc/grub.d $top/etc/grub.d
	for d in dev proc sys run; do
		mount --bind /$d $top/$d
	done
	chroot $top "$@"
	umount $top/dev $top/proc $top/sys $top/run $top/etc/grub.d $top/usr
	rmdir $top/etc/grub.d
}
menu() {
	mkdir -p $top/etc/default $top/boot/grub /dev/disk/by-uuid
	ln -s "$device" "/dev/disk/by-uuid/$UUID"
	cat >$top/etc/default/grub <<-END
		GRUB_DEFAULT=0
		GRUB_TIMEOUT=1
		GRUB_DISTRIBUTOR=Debian
		GRUB_CMDLINE_LINUX_DEFAULT="quiet diskcast.entry=$loader-$root"
		GRUB_CMDLINE_LINUX="$WORDS"
		GRUB_TERMINAL=serial
		GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
		GRUB_DISABLE_OS_PROBER=true
	END
	in_root grub-mkconfig -o /boot/grub/grub.cfg
}
efi() { # FILE PLACE: onto the EFI system partition
	mkdir -p "$SCRATCH/esp/$(dirname "$2")"
	cp "$1" "$SCRATCH/esp/$2"
}
all="${WORDS-} quiet diskcast.entry="

loader_grub_bios() {
	menu
	in_root grub-install --target=i386-pc --no-floppy /dev/sda
	[ $root != md ] || in_root grub-install --target=i386-pc --no-floppy /dev/sdb
}
loader_grub_efi() {
	menu
	# As Debian's grub-install leaves it with GRUB's and shim's signed programs.
	hints=$(in_root grub-probe --target=compatibility_hint /boot/grub)
	prefix=$(in_root grub-mkrelpath /boot/grub)
	efi "$FILES/EFI/BOOT/BOOTX64.EFI" EFI/debian/shimx64.efi
	efi "$FILES/EFI/BOOT/grubx64.efi" EFI/debian/grubx64.efi
	printf "search.fs_uuid %s root %s\nset prefix=(\$root)'%s'\nconfigfile \$prefix/grub.cfg\n" "$UUID" "$hints" \
		"$prefix" >"$SCRATCH/esp/EFI/debian/grub.cfg"
}
loader_systemd_boot() {
	id=d15cca57cccc40008000b00cb00cb00c
	echo $id >$top/etc/machine-id # after which kernel-install names its folder
	efi /usr/lib/systemd/boot/efi/systemd-bootx64.efi EFI/systemd/systemd-bootx64.efi
	efi /usr/lib/systemd/boot/efi/systemd-bootx64.efi EFI/BOOT/BOOTX64.EFI
	efi $top/boot/vmlinuz-$release "$id/$release/linux"
	efi $top/boot/initrd.img-$release "$id/$release/initrd.img-$release"
	mkdir -p "$SCRATCH/esp/loader/entries"
	echo "timeout 0" >"$SCRATCH/esp/loader/loader.conf"
	# The older entry has what the newer one has: only its words tell which was started.
	for v in "$release $loader-$root" "5.0.0-1 older"; do
		cat >"$SCRATCH/esp/loader/entries/$id-${v% *}.conf" <<-END
			title Debian GNU/Linux 12 (bookworm)
			version ${v% *}
			machine-id $id
			sort-key debian
			options $words ro $all${v#* }
			linux /$id/$release/linux
			initrd /$id/$release/initrd.img-$release
		END
	done
}
loader_uki() {
	printf '%s' "$words ro $all$loader-$root" >"$SCRATCH/cmdline"
	mkdir -p "$SCRATCH/esp/EFI/Linux"
	# The sections lie behind the stub's own, at the addresses that systemd-stub(7) has used since it has existed.
	objcopy --add-section .osrel=$top/usr/lib/os-release --change-section-vma .osrel=0x20000 \
		--add-section .cmdline="$SCRATCH/cmdline" --change-section-vma .cmdline=0x30000 \
		--add-section .linux=$top/boot/vmlinuz-$release --change-section-vma .linux=0x2000000 \
		--add-section .initrd=$top/boot/initrd.img-$release --change-section-vma .initrd=0x4000000 \
		/usr/lib/systemd/boot/efi/linuxx64.efi.stub "$SCRATCH/esp/EFI/Linux/debian-$release.efi"
}
loader_extlinux() {
	dir=$top/boot/extlinux
	at=/boot
	[ -z "$boot" ] || at=
	raid=
	[ $root != md ] || raid=--raid
	mkdir $dir
	extlinux $raid --install $dir
	cat >$dir/extlinux.conf <<-END
		SERIAL 0 115200
		DEFAULT linux
		LABEL older
			LINUX $at/vmlinuz-$release
			INITRD $at/initrd.img-$release
			APPEND $words ro ${all}older
		LABEL linux
			LINUX $at/vmlinuz-$release
			INITRD $at/initrd.img-$release
			APPEND $words ro $all$loader-$root
	END
	for disk in /dev/sda /dev/sdb; do
		[ ! -e $disk ] || dd if=/usr/lib/syslinux/mbr/mbr.bin of=$disk bs=440 count=1 conv=notrunc status=none
	done
}

install() {
	release=$(basename "$TREE"/usr/lib/modules/*)
	"root_$root"
	if [ -n "$boot" ]; then
		mkfs.ext4 -q -F -L boot -U "$BOOT" $ext4 -E lazy_itable_init=0,lazy_journal_init=0 $boot
		mkdir $top/boot
		mount $boot $top/boot
	fi
	cp -a "$TREE/." $top/
	echo "$fstab" >$top/etc/fstab
	[ -z "$boot" ] || echo "UUID=$BOOT /boot ext4 defaults 0 2" >>$top/etc/fstab
	if [ -n "$esp" ]; then
		mkdir -p $top/boot/efi "$SCRATCH/esp"
		echo "UUID=$(echo "$ESP" | sed 's/^..../&-/' | tr a-f A-F) /boot/efi vfat umask=0077 0 0" >>$top/etc/fstab
	fi
	"loader_$(echo $loader | tr - _)"
	if [ -n "$esp" ]; then
		if [ $root = md ]; then
			mirror esp 1 1.0 "$(echo "$MD" | tr c e)"
			esp=$(readlink -f /dev/md/esp)
		fi
		mkfs.fat -F 32 -s 1 -n ESP -i "$ESP" $esp
		mcopy -Q -s -m -i $esp "$SCRATCH"/esp/* ::/
	fi
	[ -z "$boot" ] || umount $top/boot
	umount $top
	down
}

# down leaves LVM and md in order.
down() {
	case $root in
	lvm) vgchange -q -an $group ;;
	md) mdadm --stop --scan ;;
	esac
}

check() {
	device=$part
	case $root in
	lvm)
		vgck $group
		vgchange -q -ay $group
		device=/dev/mapper/lab--vg-root
		;;
	md)
		mdadm --assemble /dev/md/root --readonly /dev/sda$rootpart /dev/sdb$rootpart
		device=$(readlink -f /dev/md/root)
		mdadm --detail $device | grep -q 'State : clean *$'
		;;
	esac
	case $root in
	xfs) xfs_repair -n $device ;;
	btrfs) btrfs check --readonly $device ;;
	*) e2fsck -fn $device ;;
	esac
	[ -z "$boot" ] || e2fsck -fn $boot
	[ -z "$esp" ] || fsck.fat -n $esp
	down
}

"$verb"
