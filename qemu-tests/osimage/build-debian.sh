#!/bin/sh
# Makes the tree of a small Debian and of its EFI system partition.
# Beside it, in LOADERS, come the signed boot loaders that start it over the network, and an initial ramdisk for a root on btrfs.
# usage: build-debian.sh ROOT ESP LOADERS SUITE MIRROR PACKAGES
set -eu
root=$1 esp=$2 loaders=$3 suite=$4 mirror=$5 packages=$6
umask 022
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$esp/EFI/BOOT"
export esp loaders

# The initial ramdisk gets the three modules that a virtual disk with ext4 needs and nothing else: it is unpacked by an
# emulated processor. MODULES=dep would look at the machine that builds.
# The signed boot loaders are taken out of their packages: installing those would run grub-install.
mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
	--essential-hook='printf "MODULES=list\nCOMPRESS=zstd\n" >"$1/etc/initramfs-tools/conf.d/small"' \
	--essential-hook='printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"' \
	--customize-hook='chroot "$1" sh -ec "cp -r /etc/initramfs-tools /tmp/btrfs; echo btrfs >>/tmp/btrfs/modules; mkinitramfs -d /tmp/btrfs -o /tmp/initrd \$(ls /lib/modules)"' \
	--customize-hook='mv "$1/tmp/initrd" "$loaders/initrd-btrfs.img"; rm -r "$1/tmp/btrfs"' \
	--customize-hook='chroot "$1" sh -c "mkdir /tmp/efi && cd /tmp/efi && apt-get -qq -o APT::Sandbox::User=root download shim-signed grub-efi-amd64-signed"' \
	--customize-hook='for deb in "$1"/tmp/efi/*.deb; do dpkg-deb -x "$deb" "$1/tmp/efi/tree"; done' \
	--customize-hook='cp "$1/tmp/efi/tree/usr/lib/shim/shimx64.efi.signed" "$esp/EFI/BOOT/BOOTX64.EFI"' \
	--customize-hook='cp "$1/tmp/efi/tree/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$esp/EFI/BOOT/grubx64.efi"' \
	--customize-hook='cp "$1/tmp/efi/tree/usr/lib/shim/shimx64.efi.signed" "$1/tmp/efi/tree/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed" "$loaders/"' \
	--customize-hook='rm -r "$1/tmp/efi"' \
	"$suite" "$root" "deb [signed-by=$keyring] $mirror $suite main"

# Device nodes: the kernel makes them anew in devtmpfs.
rm -rf "$root"/dev/* "$root"/run/*
