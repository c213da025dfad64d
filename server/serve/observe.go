package serve

import (
	"log/slog"
	"net/netip"
	"path"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/netboot/boot"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// observer turns what DHCP, TFTP and HTTP see of machines that boot into steps of their timelines.
type observer struct {
	engine  *engine.Engine
	booting func(mac string)
	// secure is told who is sent to HTTPS; nil: nobody is.
	secure func(mac string, addr netip.Addr)
	astray func() string // why machines do not come from the boot directory to this server; empty when they do
	iface  int
	log    *slog.Logger
}

func (o *observer) dhcp(s dhcp.Seen) {
	mac := s.Client.MAC.String()
	if s.Client.Kind != dhcp.Plain {
		o.booting(mac)
	}
	defer func() { // behind the step that begins a boot
		if relay := s.Client.Relay.String(); relay != "" && s.Client.Kind != dhcp.Plain && !s.Silent {
			o.engine.Relayed(mac, s.Addr, relay)
		}
	}()
	switch {
	case s.Client.Kind == dhcp.Plain:
		if s.Final {
			o.engine.Learn(mac, s.Addr)
			o.engine.AsksForAddress(mac, s.Addr)
		}
	case s.Silent:
		o.engine.Saw(mac, s.Addr, doc.StepLocal, "not answered: when idle, this machine is never booted by this server")
	case s.Problem != "":
		o.engine.Problem(mac, s.Addr, s.Problem)
	case path.Base(s.Given) == dhcp.OwnDisk:
		if s.Final {
			o.engine.Asked(mac, s.Addr, s.Client.Transaction, s.Client.Kind.String()+" on UEFI")
			o.engine.Saw(mac, s.Addr, doc.StepLocal, "told to boot its own disk")
		}
	default:
		if o.secure != nil && s.Final && strings.HasPrefix(s.Given, "https://") {
			o.secure(mac, s.Addr)
		}
		firmware := "BIOS"
		if s.Client.UEFI() {
			firmware = "UEFI"
		}
		o.engine.Asked(mac, s.Addr, s.Client.Transaction, s.Client.Kind.String()+" on "+firmware+", sent to "+s.Given)
	}
}

func (o *observer) fetch(f boot.Fetch) {
	if f.Lost != "" {
		if f.Start {
			o.engine.Lost(f.MAC, f.Lost)
		}
		return
	}
	step := engine.FetchStep(f.File)
	if f.File == boot.LocalDisk {
		step = doc.StepLocal
	}
	// The kernel and initramfs are steps when they are there, the small files when they are asked for.
	whole := step == doc.StepKernel || step == doc.StepInitramfs
	if step == "" || whole == f.Start {
		return
	}
	mac := f.MAC
	if mac == "" && (f.Via == "tftp" || f.Addr.Is6()) {
		// Beside the site's DHCP server nobody told us the address; the kernel knows it, having just answered the
		// machine.
		mac = o.neighbour(f.Addr)
	}
	o.engine.Saw(mac, f.Addr, step, engine.FetchMessage(f.File, f.Via, f.Bytes))
	if step == doc.StepInitramfs {
		if why := o.astray(); why != "" {
			o.engine.Problem(mac, f.Addr, why)
		}
	}
}

func (o *observer) neighbour(a netip.Addr) string {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	list, err := netlink.NeighList(o.iface, family)
	if err != nil {
		o.log.Debug("neighbours", "err", err)
		return ""
	}
	for _, n := range list {
		if b, ok := netip.AddrFromSlice(n.IP); ok && b.Unmap() == a && len(n.HardwareAddr) == 6 {
			return n.HardwareAddr.String()
		}
	}
	return ""
}
