// Package initramfs is the userland of a node: the small system of Go commands that a machine runs from memory between
// its firmware and the restored operating system.
//
// It is one binary in the manner of busybox, made of u-root's commands, of three of ours (agent, uinit, modprobe) and
// of a few files in /etc. The commands are listed in tools.go; initramfs/build compiles them into an archive at project
// build time and mkimage adds kernel modules and site settings to it later, on a machine that needs no Go toolchain.
// docs/booting.md follows a machine through all of it.
package initramfs
