package vm

import (
	"cmp"
	"fmt"

	"github.com/diskcast/diskcast/internal/accel"
)

// USBNet is the model of a network adapter that is plugged into a USB port: RNDIS or CDC Ethernet, as the guest likes.
const USBNet = "usb-net"

func (v *VM) args(accel Accel) []string {
	o := v.o
	a := []string{
		"-name", o.Name, "-nodefaults", "-no-user-config",
		"-machine", v.board(), "-display", "none",
		"-m", itoa(o.Memory), "-smp", itoa(o.CPUs),
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
		"-device", "virtio-rng-pci",
	}
	a = append(a, accel.Args...)
	if o.UUID != "" {
		a = append(a, "-uuid", o.UUID)
	}
	if o.Firmware.Code != "" {
		a = append(a,
			"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+o.Firmware.Code,
			"-drive", "if=pflash,format=raw,unit=1,file="+o.Firmware.Vars)
	}
	if o.Firmware.SecureBoot {
		// The guest's system must not write to the keys by itself: only from system management mode may it be done.
		a = append(a, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	boot := 1
	for i, n := range o.NICs {
		model := cmp.Or(n.Model, "virtio-net-pci")
		dev := fmt.Sprintf("%s,netdev=net%d,mac=%s", model, i, n.MAC)
		if o.BootNIC && i == 0 && !v.own {
			dev += fmt.Sprintf(",bootindex=%d", boot)
			boot++
		}
		switch {
		case model == USBNet:
			a = append(a, "-device", fmt.Sprintf("qemu-xhci,id=xnet%d", i))
			dev += fmt.Sprintf(",bus=xnet%d.0", i)
		case n.NoROM || !o.BootNIC || i > 0:
			dev += ",romfile=" // no option ROM: only the first NIC offers PXE
		}
		backend := n.Netdev
		if backend == "" {
			backend = fmt.Sprintf("tap,ifname=%s,script=no,downscript=no", n.Tap)
		}
		a = append(a, "-netdev", fmt.Sprintf("%s,id=net%d", backend, i), "-device", dev)
	}
	for i, d := range o.Disks {
		// cache=unsafe: the guest's flushes do not become fsyncs of the host. A pulled plug still loses what the
		// guest had not written; it does not take the host's page cache with it.
		a = append(a, "-drive", fmt.Sprintf("if=none,id=%s,format=raw,cache=unsafe,discard=unmap,file=%s", diskID(i),
			d.Path))
		for _, dev := range v.devices(i, boot+i) {
			if !v.late[i] {
				a = append(a, "-device", dev.arg())
			}
		}
	}
	if o.Kernel != "" {
		a = append(a, "-kernel", o.Kernel, "-append", o.Append)
		if o.Initrd != "" {
			a = append(a, "-initrd", o.Initrd)
		}
	}
	return append(a, o.Extra...)
}

// board is the machine's. graphics=off makes SeaBIOS and the iPXE ROM talk on the serial port, so that a failed PXE
// boot can be read.
func (v *VM) board() string {
	switch f := v.o.Firmware; {
	case f.ARM64:
		return "virt"
	case f.SecureBoot:
		return accel.Board + ",smm=on"
	case f.Code != "":
		return accel.Board
	case len(v.late) > 0:
		// Disks can be plugged in where others are only on the older board.
		return "pc,graphics=off"
	}
	return accel.Board + ",graphics=off"
}
