package drive

import (
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/erase/nvme"
)

// Requests of linux/nvme_ioctl.h.
const (
	nvmeID       = 0x4e40
	nvmeAdminCmd = 0xc0484e41
)

// nvmeCommand is struct nvme_passthru_cmd.
type nvmeCommand struct {
	opcode, flags uint8
	_             uint16
	nsid          uint32
	_, _          uint32 // dwords 2 and 3
	_             uint64 // metadata
	addr          uint64
	_             uint32 // length of metadata
	dataLen       uint32
	dw10, dw11    uint32
	_, _, _, _    uint32 // dwords 12 to 15
	timeout       uint32 // ms
	_             uint32 // result
}

// asNVMe finds out which namespace the disk is.
func (v *Drive) asNVMe() {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, v.f.Fd(), nvmeID, 0)
	if errno == 0 && n > 0 && n < nvme.Every {
		v.nvme, v.nsid = &controller{v.f}, uint32(n)
	}
}

// controller runs admin commands through a namespace's block device.
type controller struct{ f *os.File }

// Do runs a command.
func (c *controller) Do(cmd *nvme.Command) error {
	k := &nvmeCommand{opcode: cmd.Opcode, nsid: cmd.NSID, dw10: cmd.DW10, dw11: cmd.DW11,
		timeout: uint32(min(cmd.Timeout,
			49*24*time.Hour).Milliseconds())}
	var pin runtime.Pinner
	defer pin.Unpin()
	if len(cmd.Data) > 0 {
		pin.Pin(&cmd.Data[0])
		k.addr, k.dataLen = uint64(uintptr(unsafe.Pointer(&cmd.Data[0]))), uint32(len(cmd.Data))
	}
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, c.f.Fd(), nvmeAdminCmd, uintptr(unsafe.Pointer(k)))
	switch {
	case errno != 0:
		return fmt.Errorf("%s: %w", cmd.Name, errno)
	case status != 0:
		return &nvme.Error{Command: cmd.Name, Status: uint16(status)}
	}
	return nil
}
