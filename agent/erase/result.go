package erase

import (
	"fmt"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/diskrule"
)

// Terms of NIST SP 800-88 Rev. 1.
const (
	Clear = "clear" // nothing can be read any more through the disk's ordinary interface
	Purge = "purge" // nor with a laboratory's means
	None  = "none"  // neither can be said; Reason has why
)

// Result is what was done to a disk, for the receipt. A failed erase has one too.
type Result struct {
	V      int    `json:"v"`
	Disk   Disk   `json:"disk"`
	Method string `json:"method"`
	Passes int    `json:"passes,omitempty"`
	// Seed makes again, in hex, what overwrite has written and where the sample was.
	Seed string `json:"seed"`
	// OK says that the method came to its end and that nothing was found afterwards that should not be there; Failure
	// says what was wrong.
	OK      bool   `json:"ok"`
	Failure string `json:"failure,omitempty"`
	Term    string `json:"term"` // clear, purge or none
	Reason  string `json:"reason"`
	// Began and Ended are by the node's clock, which may be wrong; Seconds, between them, are not.
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Seconds  float64   `json:"seconds"`
	ReadBack ReadBack  `json:"read_back"`
	// Unreached is what the method did not get at; Unseen is what only the disk can say was erased.
	Unreached []Area   `json:"unreached"`
	Unseen    []Area   `json:"unseen"`
	Notes     []string `json:"notes,omitempty"`
}

// Version of Result.
const Version = 1

// Disk is which disk it was.
type Disk struct {
	Path       string `json:"path"` // what it was called then
	Model      string `json:"model"`
	Serial     string `json:"serial"`
	WWN        string `json:"wwn"`
	Firmware   string `json:"firmware,omitempty"`
	BusPath    string `json:"bus_path,omitempty"`
	Size       int64  `json:"size"` // bytes
	SectorSize int    `json:"sector_size"`
	Rotates    bool   `json:"rotates"`
	Namespace  uint32 `json:"namespace,omitempty"` // of an NVMe disk
}

// some names the first of many namespaces.
func some(ids []uint32) string {
	const most = 16
	if len(ids) > most {
		return fmt.Sprintf("%v and %d more", ids[:most], len(ids)-most)
	}
	return fmt.Sprint(ids)
}

// Kinds of Area.
const (
	AreaHPA         = "hpa"         // host protected area, or accessible max address
	AreaDCO         = "dco"         // device configuration overlay
	AreaReserve     = "reserve"     // sectors that were replaced, and the reserve of flash
	AreaNamespaces  = "namespaces"  // other namespaces of the controller
	AreaUnallocated = "unallocated" // capacity of the controller that is in no namespace
	AreaRefused     = "refused"     // places where the disk took nothing
	AreaUnknown     = "unknown"     // it could not be found out whether there is something
)

// Area is a part of a disk that its users do not see, or that refused.
type Area struct {
	Kind  string `json:"kind"`
	Bytes int64  `json:"bytes"` // 0: not known
	Words string `json:"words"`
}

// disk describes what was erased.
func (f *facts) describe() Disk {
	d := Disk{Path: f.disk.Path, Model: f.disk.Model, Serial: f.disk.Serial, WWN: f.disk.WWN, BusPath: f.disk.BusPath,
		Size: f.dev.Size(), SectorSize: f.dev.SectorSize(), Rotates: f.rotates()}
	switch {
	case f.ata != nil:
		d.Model, d.Firmware = longer(d.Model, f.ata.Model), f.ata.Firmware
		d.Serial = longer(d.Serial, f.ata.Serial)
		if d.WWN == "" && f.ata.WWN != 0 {
			d.WWN = fmt.Sprintf("naa.%016x", f.ata.WWN)
		}
	case f.nvme != nil:
		d.Model, d.Firmware, d.Namespace = longer(d.Model, f.nvme.Model), f.nvme.Firmware, f.nsid
		d.Serial = longer(d.Serial, f.nvme.Serial)
	}
	return d
}

// longer prefers what the disk says of itself: the kernel cuts an ATA model to 16 characters.
func longer(kernel, disk string) string {
	if len(disk) > len(kernel) {
		return disk
	}
	return kernel
}

func (f *facts) rotates() bool {
	if f.ata != nil {
		return f.ata.Rotates
	}
	return f.disk.Rotational
}

// areas sorts what users do not see into what the method did not get at and what only the disk can speak for.
func (f *facts) areas(m *method) (unreached, unseen []Area) {
	unreached, unseen = []Area{}, []Area{}
	put := func(a Area, needs reach) {
		if m.reach >= needs {
			unseen = append(unseen, a)
		} else {
			unreached = append(unreached, a)
		}
	}
	if f.ata != nil {
		sector := int64(f.ata.SectorSize)
		if n := int64(f.hidden.HPA(f.ata)) * sector; n > 0 {
			put(Area{AreaHPA, n, "a host protected area (or accessible max address) hides " + diskrule.Bytes(n)}, reachNative)
		}
		if n := int64(f.hidden.DCO(f.ata)) * sector; n > 0 {
			put(Area{AreaDCO, n, "a device configuration overlay hides " + diskrule.Bytes(n)}, reachAll)
		}
		for _, u := range f.hidden.Unknown {
			put(Area{AreaUnknown, 0, u}, reachAll)
		}
	}
	if f.nvme != nil {
		if len(f.others) > 0 {
			unreached = append(unreached, Area{AreaNamespaces, 0, "namespaces " + some(f.others) + " of the same controller"})
		}
		if n := f.nvme.Unallocated; n > 0 {
			a := Area{AreaUnallocated, int64(min(n, 1<<62)), diskrule.Bytes(int64(min(n, 1<<62))) +
				" of the controller are in no namespace, and may have been in one"}
			if strings.HasPrefix(m.name, "nvme-sanitize") {
				unseen = append(unseen, a)
			} else {
				unreached = append(unreached, a)
			}
		}
	}
	put(Area{AreaReserve, 0, "sectors that the disk has replaced, and the reserve of flash, which the host cannot " +
		"address"}, reachAll)
	return unreached, unseen
}
