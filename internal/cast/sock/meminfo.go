package sock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// getMemInfo reads SO_MEMINFO (Linux 4.12): bytes in the receive queue, its limit, and seven more. x/sys has the number
// but no call for it.
func getMemInfo(fd int, info *[9]uint32, size *uint32) error {
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(size)), 0)
	if e != 0 {
		return e
	}
	return nil
}
