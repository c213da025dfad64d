package convert

import (
	"fmt"
	"io"
)

const footerSize = 512

// footer looks at the end of what may be a raw disk: a fixed VHD is a raw disk with a footer of 512 bytes, and Apple's
// disk images are told by theirs only. It returns the size of the disk, and a note if that is less than the file's.
func footer(r io.ReaderAt, size int64) (int64, string, error) {
	if size < 2*footerSize {
		return size, "", nil
	}
	f := make([]byte, footerSize)
	if _, err := r.ReadAt(f, size-footerSize); err != nil && err != io.EOF {
		return 0, "", err
	}
	switch {
	case string(f[:8]) == "koly\x00\x00\x00\x04" && be.Uint32(f[8:]) == footerSize:
		return 0, "", kind{what: "Apple disk image (DMG)",
			way: convertBy("qemu-img convert -f dmg -O raw IN OUT")}.refuse()
	case string(f[:8]) == "cdsaencr":
		return 0, "", kind{what: "encrypted Apple disk image",
			way: convertBy("hdiutil convert IN -format UDTO -o OUT")}.refuse()
	case string(f[:8]) != "conectix" || !vhdSum(f):
		return size, "", nil
	}
	// Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format": the current size is at 48, the type
	// at 60.
	disk := int64(be.Uint64(f[48:]))
	if kind := be.Uint32(f[60:]); kind != 2 {
		return 0, "", fmt.Errorf("it ends as a VHD of type %d does, and does not begin as one: its beginning is "+
			"missing", kind)
	}
	if disk != size-footerSize {
		return 0, "", fmt.Errorf("it is a fixed VHD of a disk of %d bytes, and has %d: it was cut or joined wrongly",
			disk, size-footerSize)
	}
	return disk, "It is a fixed VHD: the footer of 512 bytes at its end is no part of the disk.", nil
}

// vhdSum checks a VHD footer's checksum: the complement of the sum of its bytes, without those of the sum itself.
func vhdSum(f []byte) bool {
	sum := uint32(0)
	for i, c := range f {
		if i < 64 || i >= 68 {
			sum += uint32(c)
		}
	}
	return ^sum == be.Uint32(f[64:])
}
