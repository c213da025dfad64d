package inventory

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
	"github.com/diskcast/diskcast/internal/session"
)

// What a component of a device's path in sysfs is.
var (
	pciRE = rx.New(`^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	// an interface: bus-ports:configuration.interface
	usbRE    = rx.New(`^[0-9]+-([0-9.]+:[0-9]+\.[0-9]+)$`)
	ataRE    = rx.New(`^ata[0-9]+$`)
	hostRE   = rx.New(`^host([0-9]+)$`)
	scsiRE   = rx.New(`^([0-9]+):([0-9]+):([0-9]+):([0-9]+)$`)
	nvmeRE   = rx.New(`^nvme[0-9]+n([0-9]+)$`)
	virtioRE = rx.New(`^virtio[0-9]+$`)
	mmcRE    = rx.New(`^mmc[0-9]+$`)
	xenRE    = rx.New(`^vbd-[0-9]+$`)
	// hosts are what hangs on a device that is on no PCI bus, as those of boards and of virtio-mmio are.
	hostsRE = rx.New(`^(mmc_host|virtio[0-9]+|ata[0-9]+|usb[0-9]+|host[0-9]+)$`)
)

// place reads from sysfs on which bus a disk is, and where it is plugged in, in the words of udev's path_id as far as
// they do not depend on the order in which drivers were loaded: pci-0000:00:1f.2-ata-1, pci-0000:01:00.0-nvme-1,
// pci-0000:00:14.0-usb-0:2:1.0-scsi-0:0:0:0. Both are empty for a device that hangs on no bus that is known here.
func (r *Reader) place(name string) (bus, place string) {
	at, err := os.Readlink(r.path("sys/block", name))
	if err != nil {
		return "", ""
	}
	_, at, ok := strings.Cut(at, "devices/")
	if !ok {
		return "", ""
	}
	var words []string
	var pci, platform string
	var ata bool
	parts := strings.Split(filepath.Clean(at), "/")
	for i, p := range parts {
		dir := filepath.Join("sys/devices", filepath.Join(parts[:i]...))
		if platform == "" && i > 0 && hostsRE().MatchString(p) {
			platform = "platform-" + parts[i-1]
		}
		switch {
		case pciRE().MatchString(p):
			pci, words, bus = "pci-"+p, nil, "" // the innermost counts
		case virtioRE().MatchString(p):
			bus = "virtio"
		case usbRE().MatchString(p):
			words, bus = append(words, "usb-0:"+usbRE().FindStringSubmatch(p)[1]), session.BusUSB
		case ataRE().MatchString(p):
			ata = true
			bus = "ata"
			if n := r.line(dir, p, "ata_port", p, "port_no"); n != "" {
				words = append(words, "ata-"+n)
			}
		case xenRE().MatchString(p):
			bus, words = "xen", append(words, "xen-"+p) // its number is the toolstack's
		case mmcRE().MatchString(p):
			bus = "mmc"
			words = append(words, "mmc")
		case scsiRE().MatchString(p) && !ata:
			m := scsiRE().FindStringSubmatch(p)
			words = append(words, fmt.Sprintf("scsi-%d:%s:%s:%s", r.hostNumber(parts[:i], m[1]), m[2], m[3], m[4]))
			if bus == "" || bus == "virtio" {
				bus = "scsi"
			}
		case nvmeRE().MatchString(p):
			bus = "nvme"
			nsid := r.line(filepath.Join(dir, p), "nsid")
			if nsid == "" {
				nsid = nvmeRE().FindStringSubmatch(p)[1]
			}
			words = append(words, "nvme-"+nsid)
		}
	}
	switch {
	case pci != "":
		words = append([]string{pci}, words...)
	case platform != "":
		words = append([]string{platform}, words...)
	}
	return bus, strings.Join(words, "-")
}

// hostNumber counts a SCSI host among those of its controller: the kernel's own number depends on which driver came
// first.
func (r *Reader) hostNumber(parents []string, number string) int {
	own, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	i := slices.IndexFunc(parents, hostRE().MatchString)
	if i < 0 {
		return 0
	}
	list, err := os.ReadDir(r.path("sys/devices", filepath.Join(parents[:i]...)))
	if err != nil {
		return 0
	}
	first := own
	for _, e := range list {
		if m := hostRE().FindStringSubmatch(e.Name()); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				first = min(first, n)
			}
		}
	}
	return own - first
}
