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
