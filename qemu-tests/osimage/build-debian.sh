#!/bin/sh
# Makes the tree of a small Debian and of its EFI system partition.
# Beside it, in LOADERS, come the signed boot loaders that start it over the network, and an initial ramdisk for a root on btrfs.
# usage: build-debian.sh ROOT ESP LOADERS SUITE MIRROR PACKAGES [ARCH EFI GRUB]
# ARCH, and what it is called in the names of UEFI programs and in the folders of GRUB: amd64 x64 x86_64 or arm64 aa64 arm64.
set -eu
root=$1 esp=$2 loaders=$3 suite=$4 mirror=$5 packages=$6
arch=${7:-amd64} efi=${8:-x64} grub=${9:-x86_64}
umask 022
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$esp/EFI/BOOT"
fallback=BOOT$(echo "$efi" | tr a-z A-Z).EFI
export esp loaders arch efi grub fallback

# The initial ramdisk gets the three modules that a virtual disk with ext4 needs and nothing else: it is unpacked by an
# emulated processor. MODULES=dep would look at the machine that builds.
# The signed boot loaders are taken out of their packages: installing those would run grub-install.
mmdebstrap --quiet --mode=root --architectures="$arch" --variant=minbase --format=directory --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
	--essential-hook='printf "MODULES=list\nCOMPRESS=zstd\n" >"$1/etc/initramfs-tools/conf.d/small"' \
	--essential-hook='printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"' \
	--customize-hook='chroot "$1" sh -ec "cp -r /etc/initramfs-tools /tmp/btrfs; echo btrfs >>/tmp/btrfs/modules; mkinitramfs -d /tmp/btrfs -o /tmp/initrd \$(ls /lib/modules)"' \
	--customize-hook='mv "$1/tmp/initrd" "$loaders/initrd-btrfs.img"; rm -r "$1/tmp/btrfs"' \
	--customize-hook='chroot "$1" sh -c "mkdir /tmp/efi && cd /tmp/efi && apt-get -qq -o APT::Sandbox::User=root download shim-signed grub-efi-$arch-signed"' \
	--customize-hook='for deb in "$1"/tmp/efi/*.deb; do dpkg-deb -x "$deb" "$1/tmp/efi/tree"; done' \
	--customize-hook='cp "$1/tmp/efi/tree/usr/lib/shim/shim$efi.efi.signed" "$esp/EFI/BOOT/$fallback"' \
	--customize-hook='cp "$1/tmp/efi/tree/usr/lib/grub/$grub-efi-signed/grub$efi.efi.signed" "$esp/EFI/BOOT/grub$efi.efi"' \
	--customize-hook='cp "$1/tmp/efi/tree/usr/lib/shim/shim$efi.efi.signed" "$1/tmp/efi/tree/usr/lib/grub/$grub-efi-signed/grubnet$efi.efi.signed" "$loaders/"' \
	--customize-hook='rm -r "$1/tmp/efi"' \
	"$suite" "$root" "deb [signed-by=$keyring] $mirror $suite main"

# Device nodes: the kernel makes them anew in devtmpfs.
rm -rf "$root"/dev/* "$root"/run/*
