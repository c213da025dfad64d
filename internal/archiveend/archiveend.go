// Package archiveend tells a node whether the archive that it was booted with was unpacked to its end.
//
// The kernel unpacks the archive into a file system that may have half of the machine's memory (Linux,
// Documentation/filesystems/tmpfs.rst). When that is full it says so in its log ("Initramfs unpacking failed: write
// error"), which is quiet, and goes on with what was unpacked so far: a node without its drivers, which looks like a
// machine without disks. It goes on in the same way where it cannot unpack the archive. So mkimage puts a file behind
// all others.
package archiveend

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Name is the file's name: an archive is sorted by name, and ~ is the last character of ASCII that can be in one.
const Name = "~end"

// settings is a file near the beginning of the same archives. Without it the archive is not mkimage's, and has no end
// to look for.
const settings = "etc/diskcast/site.json"

// Check returns an error for a node below root whose archive was not unpacked to its end; memory is what the node has,
// in bytes.
func Check(root string, memory int64) error {
	if _, err := os.Lstat(filepath.Join(root, settings)); err != nil {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(root, Name)); err == nil {
		return nil
	}
	return because(kernelLog(), memory)
}

// The kernel's words (init/initramfs.c), and what it says when its file system is full.
const (
	failed = "Initramfs unpacking failed: "
	full   = "write error"
)

// because is the error for an archive whose unpacking the kernel's log tells of. A log that says nothing of it has lost
// that line; the usual cause is memory.
func because(log string, memory int64) error {
	_, said, ok := strings.Cut(log, failed)
	said, _, _ = strings.Cut(said, "\n")
	if ok && said != full {
		return fmt.Errorf("the kernel could not unpack its archive to the end (%q), and drivers are missing: it came "+
			"damaged, or this kernel does not know how it is packed; `mkimage verify` of the boot directory looks at "+
			"it, and mkimage makes it anew", said)
	}
	return fmt.Errorf("the archive did not fit into this node's memory of %d MiB, and drivers are missing: give the "+
		"machine more, "+
		"or make the boot directory with fewer modules and less firmware (mkimage --modules, --firmware)", memory>>20)
}

// kernelLog is what the kernel's log still has (syslog(2)), or nothing where it may not be read.
func kernelLog() string {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	if err != nil {
		return ""
	}
	log := make([]byte, size)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, log)
	if err != nil {
		return ""
	}
	return string(log[:n])
}
