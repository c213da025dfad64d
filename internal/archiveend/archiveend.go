// Package archiveend tells a node whether the archive that it was booted with fitted into its memory.
//
// The kernel unpacks the archive into a file system that may have half of the machine's memory (Linux,
// Documentation/filesystems/tmpfs.rst). When that is full it says so in its log ("Initramfs unpacking failed: write
// error"), which is quiet, and goes on with what was unpacked so far: a node without its drivers, which looks like a
// machine without disks. So mkimage puts a file behind all others.
package archiveend

import (
	"fmt"
	"os"
	"path/filepath"
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
	return fmt.Errorf("the archive did not fit into this node's memory of %d MiB, and drivers are missing: give the "+
		"machine more, "+
		"or make the boot directory with fewer modules and less firmware (mkimage --modules, --firmware)", memory>>20)
}
