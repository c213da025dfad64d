package convert

import (
	"fmt"
	"io"
	"strings"
)

// Contained says, of a block device, that it begins as a file of another program's does: a disk image that was copied
// there by its bytes, as dd does, or is kept there, as virtual machines do with qcow2. Such a device is captured as it
// is; the note is empty for any other.
func Contained(r io.ReaderAt, device string) string {
	head := make([]byte, sniffSize)
	n, _ := r.ReadAt(head, 0) // an error of the source shows itself when it is captured
	k := sniff(head[:n])
	if k.name == "" || k.name == "squashfs" { // one is a disk, the other a file system
		return ""
	}
	way := fmt.Sprintf("copy it to a file (`dd if=%s of=FILE bs=1M`), and import that", device)
	if k.way != "" {
		way = strings.NewReplacer("IN", device).Replace(k.way)
	}
	return fmt.Sprintf("The device begins with the header of a file of the format %s. It is captured byte for byte, "+
		"as a device with such a file on it; "+
		"if you mean the disk that is in the file: %s.", k.what, way)
}
