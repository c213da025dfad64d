#!/bin/sh
# Starts systemd as the first process of a tree of its own, in namespaces of its own and in the network that this is
# started in.
# usage: box.sh GROUP DISK OFFSET DIR
set -eu
group=$1 disk=$2 offset=$3 root=$4/root groups=$4/groups
case ${BOX_STEP-} in
"") # The lab's /sys hides the control groups: they are mounted where only this script sees them.
	BOX_STEP=group exec unshare --mount --propagation private sh "$0" "$@" ;;
group)
	mkdir -p "$groups"
	mount -t cgroup2 cgroup2 "$groups"
	mkdir "$groups/$group"
	echo $$ >"$groups/$group/cgroup.procs"
	BOX_STEP=system exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --mount-proc sh "$0" "$@" ;;
esac
mkdir -p "$root"
mount -o loop,offset="$offset" "$disk" "$root"
mount -t tmpfs -o mode=755 dev "$root/dev"
for d in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
	set -- $d
	mknod -m 666 "$root/dev/$1" c "$2" "$3"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs shm "$root/dev/shm"
mount -t proc proc "$root/proc"
# The kernel's settings are those of all who run on it: as in other containers they are not written from here.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 run "$root/run"
# The bridge has a link when one of its cables has.
ip link add up0 type veth peer name up1
ip link set up0 master br0 up
ip link set up1 up
# No disks, no clock of its own, and the network is there.
: >"$root/etc/fstab"
cp -a "$(dirname "$root")/home/." "$root/root/"
cd "$root"
mkdir .old
pivot_root . .old
umount -l /.old
rmdir /.old
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv \
	--bounding-set -sys_time,-sys_boot,-sys_module,-sys_rawio,-syslog,-wake_alarm,-mac_admin,-mknod \
	/lib/systemd/systemd --log-target=console </dev/null
