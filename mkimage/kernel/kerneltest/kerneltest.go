// Package kerneltest makes kernel images for tests: headers without a kernel.
package kerneltest

import "encoding/binary"

// Image makes an image that says it is of a release.
func Image(release string) []byte {
	image := make([]byte, 0x400, 0x500)
	copy(image, "MZ")
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(image[0x20e:], 0x200)
	image = append(image, release+" (builder@host) #1 SMP"...)
	return append(image, 0)
}

// ARM64 makes an Image for 64-bit ARM that says it is of a release.
func ARM64(release string) []byte {
	image := make([]byte, 64, 0x100)
	copy(image, "MZ")
	copy(image[56:], "ARM\x64")
	image = append(image, "Linux version "+release+" (builder@host) #1 SMP"...)
	return append(image, 0)
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
