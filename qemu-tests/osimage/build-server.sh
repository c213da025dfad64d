#!/bin/sh
# Makes the tree of a Debian on which a server of diskcast is to be installed. Its only package source is a folder of
# its own that offers what the server's package recommends and a kernel: the machine has no network but the lab's.
# usage: build-server.sh ROOT SUITE MIRROR PACKAGES OFFERED
set -eu
root=$1 suite=$2 mirror=$3 packages=$4 offered=$5
umask 022
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
export offered

# The initial ramdisk gets the modules that a virtual disk with ext4 needs: MODULES=dep would look at the machine that
# builds.
mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
	--essential-hook='printf "MODULES=list\nCOMPRESS=zstd\n" >"$1/etc/initramfs-tools/conf.d/small"' \
	--essential-hook='printf "virtio_pci\nvirtio_blk\next4\n" >"$1/etc/initramfs-tools/modules"' \
	--customize-hook='mkdir -p "$1/srv/debian"' \
	--customize-hook='chroot "$1" sh -c "cd /srv/debian && apt-get -qq -o APT::Sandbox::User=root download $offered \$(ls /lib/modules | sed s/^/linux-image-/)"' \
	"$suite" "$root" "deb [signed-by=$keyring] $mirror $suite main"

# mmdebstrap's settings of apt are those of its own run; the machine's are Debian's.
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/apt/sources.list.d/*
(
	cd "$root/srv/debian"
	for deb in *.deb; do
		dpkg-deb -f "$deb"
		sum=$(sha256sum "$deb")
		printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "${sum%% *}"
	done >Packages
)
echo 'deb [trusted=yes] file:/srv/debian ./' >"$root/etc/apt/sources.list"
chroot "$root" apt-get -qq -o APT::Sandbox::User=root update

# Device nodes: the kernel makes them anew in devtmpfs.
rm -rf "$root"/dev/* "$root"/run/*
