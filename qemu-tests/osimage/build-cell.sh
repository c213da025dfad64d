#!/bin/sh
# Makes the tree of a Debian with sysvinit that is as small as one can be that starts from a disk by itself.
# usage: build-cell.sh TREE SUITE MIRROR PACKAGES MODULES HOSTNAME MDADM_CONF
# MODULES are those of its initial ramdisk, in words; MDADM_CONF is empty where the packages have no mdadm.
set -eu
tree=$1 suite=$2 mirror=$3 packages=$4 modules=$5 name=$6 mdadm=$7
umask 022
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
export modules name mdadm

# usrmerge would bring perl; the tree is merged from the beginning.
# What the machine will never load or read is left out by dpkg: an emulated processor unpacks the rest.
mmdebstrap --quiet --mode=root --architectures=amd64 --variant=minbase --format=directory --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/zoneinfo/*/*' \
	--dpkgopt='path-exclude=/lib/udev/hwdb.d/*' \
	--dpkgopt='path-exclude=/lib/modules/*/kernel/net/*' --dpkgopt='path-exclude=/lib/modules/*/kernel/sound/*' \
	--dpkgopt='path-exclude=/lib/modules/*/kernel/drivers/*' \
	--dpkgopt='path-include=/lib/modules/*/kernel/drivers/block/*' \
	--dpkgopt='path-include=/lib/modules/*/kernel/drivers/md/*' \
	--dpkgopt='path-include=/lib/modules/*/kernel/drivers/virtio/*' \
	--dpkgopt='path-exclude=/lib/modules/*/kernel/fs/*' \
	--dpkgopt='path-include=/lib/modules/*/kernel/fs/mbcache.ko' --dpkgopt='path-exclude=/lib/modules/*/kernel/arch/x86/kvm/*' \
	--dpkgopt='path-include=/lib/modules/*/kernel/fs/btrfs/*' --dpkgopt='path-include=/lib/modules/*/kernel/fs/ext4/*' \
	--dpkgopt='path-include=/lib/modules/*/kernel/fs/fat/*' --dpkgopt='path-include=/lib/modules/*/kernel/fs/jbd2/*' \
	--dpkgopt='path-include=/lib/modules/*/kernel/fs/nls/*' --dpkgopt='path-include=/lib/modules/*/kernel/fs/xfs/*' \
	--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
	--setup-hook='printf "Package: usrmerge\nPin: release *\nPin-Priority: -1\n" >"$1/etc/apt/preferences.d/usrmerge"' \
	--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
	--essential-hook='printf "MODULES=list\nCOMPRESS=zstd\n" >"$1/etc/initramfs-tools/conf.d/small"' \
	--essential-hook='printf "%s\n" virtio_pci virtio_blk $modules >"$1/etc/initramfs-tools/modules"' \
	--customize-hook='echo "$name" >"$1/etc/hostname"; printf "127.0.0.1 localhost\n127.0.1.1 %s\n" "$name" >"$1/etc/hosts"' \
	--customize-hook='sed -i -e "/^[1-6]:.*getty/d" "$1/etc/inittab"; echo "T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100" >>"$1/etc/inittab"' \
	--customize-hook='[ -z "$mdadm" ] || { printf "%s" "$mdadm" >"$1/etc/mdadm/mdadm.conf"; chroot "$1" update-initramfs -u; }' \
	"$suite" "$tree" "deb [signed-by=$keyring] $mirror $suite main"

# Device nodes: the kernel makes them anew in devtmpfs.
rm -rf "$tree"/dev/* "$tree"/run/* "$tree"/var/cache/apt/*.bin "$tree"/var/log/*.log
