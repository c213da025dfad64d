// Package kerneltest makes kernel images for tests: headers without a kernel.
package kerneltest

import "encoding/binary"

// Image makes an image that says it is of a release: a boot sector, two sectors of setup code with the release, and 256
// bytes for the kernel.
func Image(release string) []byte {
	image := make([]byte, 3*512+256)
	copy(image, "MZ")
	image[0x1f1] = 2
	binary.LittleEndian.PutUint32(image[0x1f4:], 256/16)
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(image[0x206:], 0x20f)
	binary.LittleEndian.PutUint16(image[0x20e:], 0x200)
	copy(image[0x400:3*512], release+" (builder@host) #1 SMP")
	return image
}

// ARM64 makes an Image for 64-bit ARM that says it is of a release: with a header as for UEFI, and one section of 256
// bytes with the release.
func ARM64(release string) []byte {
	const pe, text = 64, 0x100
	image := make([]byte, text+256)
	copy(image, "MZ")
	copy(image[56:], "ARM\x64")
	binary.LittleEndian.PutUint32(image[0x3c:], pe)
	copy(image[pe:], "PE")
	binary.LittleEndian.PutUint16(image[pe+6:], 1) // sections
	binary.LittleEndian.PutUint32(image[pe+24+16:], 256)
	binary.LittleEndian.PutUint32(image[pe+24+20:], text)
	copy(image[text:], "Linux version "+release+" (builder@host) #1 SMP")
	return image
}

// Zboot wraps what was compressed into the header of a kernel that UEFI can start.
func Zboot(kind string, packed []byte) []byte {
	image := make([]byte, 64, 64+len(packed))
	copy(image, "MZ")
	copy(image[4:], "zimg")
	binary.LittleEndian.PutUint32(image[8:], 64)
	binary.LittleEndian.PutUint32(image[12:], uint32(len(packed)))
	copy(image[24:], kind)
	return append(image, packed...)
}
