package drive

import (
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/erase/ata"
)

// sgIO is the request of scsi/sg.h that runs one SCSI command on a block device.
const sgIO = 0x2285

// Directions of sgHeader.
const (
	sgNone     = -1
	sgToDevice = -2
	sgToHost   = -3
)

// sgHeader is struct sg_io_hdr.
type sgHeader struct {
	interfaceID  int32
	direction    int32
	cmdLen       uint8
	maxSense     uint8
	iovecs       uint16
	dataLen      uint32
	data         unsafe.Pointer
	cmd          unsafe.Pointer
	sense        unsafe.Pointer
	timeout      uint32 // ms
	flags        uint32
	packID       int32
	userPtr      unsafe.Pointer
	status       uint8
	maskedStatus uint8
	msgStatus    uint8
	senseLen     uint8
	hostStatus   uint16
	driverStatus uint16
	residual     int32
	duration     uint32
	info         uint32
}

// port runs ATA commands through the SCSI layer.
type port struct{ f *os.File }

// Do runs a command.
func (p *port) Do(c *ata.Command) (ata.Registers, error) {
	cdb, sense := c.CDB(), make([]byte, ata.MaxSense)
	h := &sgHeader{interfaceID: 'S', direction: sgNone, cmdLen: uint8(len(cdb)), maxSense: uint8(len(sense)),
		timeout: uint32(min(c.Timeout, 49*24*time.Hour).Milliseconds())}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&cdb)
	pin.Pin(&sense[0])
	h.cmd, h.sense = unsafe.Pointer(&cdb), unsafe.Pointer(&sense[0])
	if len(c.Data) > 0 {
		pin.Pin(&c.Data[0])
		h.data, h.dataLen = unsafe.Pointer(&c.Data[0]), uint32(len(c.Data))
		h.direction = sgToHost
		if c.Protocol == ata.PIOOut {
			h.direction = sgToDevice
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, p.f.Fd(), sgIO, uintptr(unsafe.Pointer(h))); errno != 0 {
		return ata.Registers{}, fmt.Errorf("%s: %w", c.Name, errno)
	}
	return outcome(c, h, sense[:min(int(h.senseLen), len(sense))])
}

// outcome judges what the SCSI layer says of a command.
func outcome(c *ata.Command, h *sgHeader, sense []byte) (ata.Registers, error) {
	const checkCondition = 2
	if h.hostStatus != 0 {
		return ata.Registers{}, fmt.Errorf("%s: the disk's controller gave up (host status %02xh, driver status %02xh)",
			c.Name, h.hostStatus, h.driverStatus)
	}
	if len(sense) == 0 {
		switch {
		case h.status != 0:
			return ata.Registers{}, fmt.Errorf("%s: SCSI status %02xh without a reason", c.Name, h.status)
		case c.Protocol == ata.NonData:
			return ata.Registers{}, fmt.Errorf("%s: the disk's registers were not handed back", c.Name)
		}
		return ata.Registers{}, short(c, h)
	}
	r, err := ata.ParseSense(sense)
	switch {
	case err != nil:
		return r, fmt.Errorf("%s: %w", c.Name, err)
	case r.Failed():
		return r, &ata.Error{Command: c.Name, Regs: r}
	case h.status != 0 && h.status != checkCondition:
		return r, fmt.Errorf("%s: SCSI status %02xh", c.Name, h.status)
	}
	return r, short(c, h)
}

func short(c *ata.Command, h *sgHeader) error {
	if c.Protocol == ata.PIOIn && h.residual != 0 {
		return fmt.Errorf("%s: %d of %d bytes are missing", c.Name, h.residual, h.dataLen)
	}
	return nil
}
