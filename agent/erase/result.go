package erase

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/erasure"
)

// some names the first of many namespaces.
func some(ids []uint32) string {
	const most = 16
	if len(ids) > most {
		return fmt.Sprintf("%v and %d more", ids[:most], len(ids)-most)
	}
	return fmt.Sprint(ids)
}

// disk describes what was erased.
func (f *facts) describe() erasure.Disk {
	d := erasure.Disk{Path: f.disk.Path, Model: f.disk.Model, Serial: f.disk.Serial, WWN: f.disk.WWN,
		BusPath: f.disk.BusPath,
		Size:    f.dev.Size(), SectorSize: f.dev.SectorSize(), Rotates: f.rotates()}
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

// longer prefers what the disk says of itself where it goes on from what the kernel says, which cuts an ATA model to 16
// characters. A bridge has a name of its own, by which the plan knows the disk, and so does its result.
func longer(kernel, disk string) string {
	if strings.HasPrefix(disk, kernel) {
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
func (f *facts) areas(m *method) (unreached, unseen []erasure.Area) {
	unreached, unseen = []erasure.Area{}, []erasure.Area{}
	area := func(kind string, bytes int64, words string) erasure.Area {
		return erasure.Area{Kind: kind, Bytes: bytes, Words: words}
	}
	put := func(a erasure.Area, needs reach) {
		if m.reach >= needs {
			unseen = append(unseen, a)
		} else {
			unreached = append(unreached, a)
		}
	}
	if f.ata != nil {
		sector := int64(f.ata.SectorSize)
		if n := int64(f.hidden.HPA(f.ata)) * sector; n > 0 {
			put(area(erasure.AreaHPA, n, "a host protected area (or accessible max address) hides "+diskrule.Bytes(n)),
				reachNative)
		}
		if n := int64(f.hidden.DCO(f.ata)) * sector; n > 0 {
			put(area(erasure.AreaDCO, n, "a device configuration overlay hides "+diskrule.Bytes(n)), reachAll)
		}
		for _, u := range f.hidden.Unknown {
			put(area(erasure.AreaUnknown, 0, u), reachAll)
		}
	}
	if f.nvme != nil {
		if len(f.others) > 0 {
			unreached = append(unreached, area(erasure.AreaNamespaces, 0, "namespaces "+some(f.others)+" of the same "+
				"controller"))
		}
		if n := f.nvme.Unallocated; n > 0 {
			a := area(erasure.AreaUnallocated, int64(min(n, 1<<62)), diskrule.Bytes(int64(min(n, 1<<62)))+
				" of the controller are in no namespace, and may have been in one")
			if strings.HasPrefix(m.name, "nvme-sanitize") {
				unseen = append(unseen, a)
			} else {
				unreached = append(unreached, a)
			}
		}
	}
	put(area(erasure.AreaReserve, 0, "sectors that the disk has replaced, and the reserve of flash, which the host "+
		"cannot "+
		"address"), reachAll)
	return unreached, unseen
}
