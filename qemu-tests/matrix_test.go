package qemutests

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/pairs"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// matrixDisk is what a disk may be plugged into.
type matrixDisk struct {
	name   string
	bus    vm.Bus
	says   string // the inventory's name of the bus
	sector int    // bytes
}

var matrixDisks = []matrixDisk{
	{"virtio", vm.VirtioBlk, "virtio", 512}, {"nvme", vm.NVMe, "nvme", 512}, {"nvme-4k", vm.NVMe, "nvme", 4096},
	{"ahci", vm.AHCI, "ata", 512}, {"virtio-scsi", vm.SCSI, "scsi", 512}, {"lsi", vm.LSI, "scsi", 512},
	{"megasas", vm.MegaSAS, "scsi", 512}, {"usb", vm.USBDisk, "usb", 512},
}

// matrixCard is a network card: QEMU's name of it, and the drivers that the kernel may have for it.
type matrixCard struct {
	name, model string
	drivers     []string
	newer       bool // Debian 12's QEMU lacks it, its backports' has it
}

var matrixCards = []matrixCard{
	{name: "virtio-net", model: "virtio-net-pci", drivers: []string{"virtio_net"}},
	{name: "e1000", model: "e1000", drivers: []string{"e1000"}},
	{name: "e1000e", model: "e1000e", drivers: []string{"e1000e"}},
	{name: "rtl8139", model: "rtl8139", drivers: []string{"8139cp", "8139too"}},
	{name: cardVMXNET3, model: "vmxnet3", drivers: []string{"vmxnet3"}},
	{name: "usb-net", model: vm.USBNet, drivers: []string{"cdc_ether", "rndis_host"}},
	{name: cardIGB, model: "igb", drivers: []string{"igb"}, newer: true},
}

// matrixOnly skips the matrix outside of `make test-matrix`, and returns the kernel's package.
func matrixOnly(t *testing.T) string {
	t.Helper()
	if os.Getenv("DISKCAST_MATRIX") == "" {
		t.Skip("make test-matrix runs this (DISKCAST_MATRIX=1)")
	}
	kernel := os.Getenv("DISKCAST_USB_KERNEL")
	if kernel == "" {
		need.Skip(t, "DISKCAST_USB_KERNEL names no package of a kernel: .ci/kernel-deb amd64 fetches one")
	}
	return kernel
}

// TestMatrix brings machines of each way, disk and card from power-on to a restored disk, which the host compares with
// the image byte for byte.
func TestMatrix(t *testing.T) {
	kernel := matrixOnly(t)
	rows := matrixRows()
	t.Logf("%d machines", len(rows))
	for _, no := range leftOut() {
		t.Log("left out:", no)
	}
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(r pairs.Row) bool { return r[0] != rows[0][0] })
		if n < 0 {
			n = len(rows)
		}
		name, of := rows[0][0], rows[:n]
		t.Run(name, func(t *testing.T) {
			m := newMatrix(t, wayOf(name), kernel)
			for _, r := range of {
				t.Run(r[1]+"_"+r[2], func(t *testing.T) { m.row(t, r[1], r[2]) })
			}
		})
		rows = rows[n:]
	}
}

// matrix is the site of one way.
type matrix struct {
	*bench
	*way
	firmware vm.Firmware
	extra    []string
	images   map[int]*osimage.Image // by the size of their sectors
}

// newMatrix makes the site with both images.
func newMatrix(t *testing.T, w *way, kernel string) *matrix {
	t.Helper()
	m := &matrix{way: w, images: map[int]*osimage.Image{}}
	p := w.prepare(t)
	m.bench = setupBy(t, 90*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: kernel}
	}, func(*osimage.Image) site.Options { return p.site })
	m.firmware, m.extra = p.firmware, p.extra
	if p.cert != nil {
		m.firmware = m.enrolled(p.cert)
	}
	if p.begun != nil {
		m.extra = append(m.extra, p.begun(m.bench, kernel)...)
	}
	var err error
	if m.images[512], err = osimage.Growable(m.ctx, osimage.Cache(), "ext4", nil); err != nil {
		t.Fatal(err)
	}
	if m.images[4096], err = osimage.Sectors4K(m.ctx, osimage.Cache(), nil); err != nil {
		t.Fatal(err)
	}
	for sector, im := range m.images {
		m.add(fmt.Sprint("sectors", sector), im)
	}
	return m
}

// row is one machine.
func (m *matrix) row(t *testing.T, disk, card string) {
	d := matrixDisks[slices.IndexFunc(matrixDisks, func(d matrixDisk) bool { return d.name == disk })]
	c := matrixCards[slices.IndexFunc(matrixCards, func(c matrixCard) bool { return c.name == card })]
	ctx, cancel := context.WithTimeout(m.ctx, patience(cmp.Or(m.limit, 6*time.Minute)))
	defer cancel()
	b := &bench{T: t, Site: m.Site, ctx: ctx, dir: m.dir}
	im := m.images[d.sector]
	var qemu string
	if c.newer {
		qemu = newerQEMU(t, m.firmware)
	}
	n := b.node(disk+"_"+card, site.Hardware{Memory: 1024, Disks: []int64{im.Size}, Buses: []vm.Bus{d.bus},
		Sector: d.sector, NIC: c.model, Firmware: m.firmware, QEMU: qemu, Extra: m.extra, DiskFirst: m.media,
		ROM: card != "virtio-net" && m.roms})
	defer keepConsole(t, n, m.name+"_"+disk+"_"+card)
	defer n.Unplug()
	rule := []string{"--then", "poweroff"}
	if d.says == "usb" {
		rule = append(rule, "--disk", "type=usb")
	}
	if d.sector != 512 {
		b.refusedSectors(n, rule)
	}
	se := b.create(fmt.Sprint("sectors", d.sector), []*site.Node{n}, rule...)
	if d.sector == 512 {
		b.on(n)
	}
	v := b.done(se)
	b.off(n)
	steps(t, n, v.Parts[n.ID].Steps, m.steps)
	inv := b.inventory(n)
	if len(inv.Disks) != 1 || inv.Disks[0].Bus != d.says || inv.Disks[0].SectorSize != d.sector ||
		inv.Disks[0].Serial != disk+"_"+card+"-0" {
		t.Errorf("the node says of its disk %+v, want one on %s, sectors of %d bytes", inv.Disks, d.says, d.sector)
	}
	if len(inv.NICs) != 1 || !slices.Contains(c.drivers, inv.NICs[0].Driver) || !inv.NICs[0].Boot {
		t.Errorf("the node says of its card %+v, want one by %s", inv.NICs, strings.Join(c.drivers, " or "))
	}
	if len(inv.Undriven) > 0 {
		t.Errorf("devices without a driver: %+v", inv.Undriven)
	}
	if got, want := sum(t, n.Disk), sum(t, im.Disk); got != want {
		t.Errorf("the disk's SHA-256 is %s, the image's %s: `cmp -l %s %s`", got, want, n.Disk, im.Disk)
	}
}

// refusedSectors sees that an image whose file system has blocks of 1024 bytes is refused, in words, on a disk whose
// sectors are larger, and that nothing was written. The machine stays on.
func (b *bench) refusedSectors(n *site.Node, rule []string) {
	b.Helper()
	se := b.create("sectors512", []*site.Node{n}, rule...)
	b.on(n)
	v, err := se.Over(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	st, err := os.Stat(n.Disk)
	if err != nil {
		b.Fatal(err)
	}
	if p := v.Parts[n.ID]; p.State != doc.Failed || !strings.Contains(p.Reason, "sectors of 4096 cannot carry") {
		b.Errorf("an image of blocks of 1024 bytes on sectors of 4096: %s, %q", p.State, p.Reason)
	} else {
		b.Logf("refused: %s", p.Reason)
	}
	b.blank(n.Disk, 0, st.Size())
}

// newerQEMU is the QEMU of Debian 12's backports for machines with this firmware.
func newerQEMU(t *testing.T, f vm.Firmware) string {
	t.Helper()
	program := vm.QEMU
	if f.ARM64 {
		program = vm.QEMUARM64
	}
	dir := os.Getenv("DISKCAST_NEWER_QEMU")
	if dir == "" {
		need.Skip(t, "DISKCAST_NEWER_QEMU names no folder of QEMU 8.0 or later: .ci/qemu-backports makes one")
	}
	return filepath.Join(dir, program)
}

// keepConsole leaves what a machine said in build/boot, also when all went well.
func keepConsole(t *testing.T, n *site.Node, name string) {
	t.Helper()
	dir := filepath.Join(osimage.ModuleRoot(), "build", "boot")
	text, err := os.ReadFile(n.Log)
	if err == nil {
		if err = os.MkdirAll(dir, 0o755); err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".console"), text, 0o644)
		}
	}
	if err != nil {
		t.Errorf("its console is not kept: %v", err)
	}
}

// medium makes sticks and CDs for the site, of a kernel that may be of either architecture.
func (b *bench) medium(kernel, console string, more ...string) {
	b.Helper()
	var id struct{ Pin string }
	if err := b.JSON(b.ctx, &id, "token", "--state", b.State, "--json"); err != nil {
		b.Fatal(err)
	}
	if err := proc.Run(b.ctx, nil, filepath.Join(osimage.ModuleRoot(), "build", "bin", "mkimage"), append([]string{
		"--kernel", kernel, "--server", "https://10.77.0.1:8443", "--pin", id.Pin, "--console", console},
		more...)...); err != nil {
		b.Fatal(err)
	}
}
