package erase

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/agent/erase/nvme"
	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/session"
)

// facts is what a disk says of itself before anything is done to it.
type facts struct {
	dev  Device
	disk session.Disk

	ata      *ata.Identity // nil: noATA says why
	noATA    string
	hidden   *ata.Hidden
	sanitize ata.Status // where the feature set is there
	failed   error      // of the last ATA sanitize

	nvme     *nvme.Identity // nil: noNVMe says why
	noNVMe   string
	nsid     uint32
	ns       *nvme.Namespace
	others   []uint32 // namespaces beside this one
	nvmeLast nvme.Status
}

// examine asks a disk. What cannot be asked is no error: it takes methods away.
func examine(dev Device, disk session.Disk) *facts {
	f := &facts{dev: dev, disk: disk, noATA: "no ATA commands reach it", noNVMe: "it is no NVMe namespace"}
	if p := dev.ATA(); p != nil {
		if err := f.askATA(p); err != nil {
			f.ata, f.noATA = nil, err.Error()
		}
	}
	if c, nsid := dev.NVMe(); c != nil {
		if err := f.askNVMe(c, nsid); err != nil {
			f.nvme, f.noNVMe = nil, err.Error()
		}
	}
	return f
}

func (f *facts) askATA(p ata.Port) (err error) {
	if f.ata, err = ata.Identify(p); err != nil {
		return fmt.Errorf("its ATA commands cannot be trusted: %w", err)
	}
	// What is between here and the disk may have several disks, and ATA commands may go to another one than reads and
	// writes.
	if err := f.same("IDENTIFY DEVICE", f.ata.Serial, int64(f.ata.Sectors)*int64(f.ata.SectorSize)); err != nil {
		return err
	}
	f.hidden = ata.FindHidden(p, f.ata)
	if f.ata.Sanitize.Supported {
		f.sanitize, f.failed = ata.GetStatus(p)
	}
	return nil
}

func (f *facts) askNVMe(c nvme.Controller, nsid uint32) (err error) {
	f.nsid = nsid
	if f.nvme, err = nvme.Identify(c); err != nil {
		return err
	}
	if f.ns, err = nvme.IdentifyNamespace(c, nsid); err != nil {
		return err
	}
	if err := f.same("Identify", f.nvme.Serial, f.ns.Size()); err != nil {
		return err
	}
	if f.others, err = nvme.Others(c, f.nvme, nsid); err != nil {
		return err
	}
	if id := f.nvme; id.SanitizeBlock || id.SanitizeCrypto || id.SanitizeOverwrite {
		f.nvmeLast, err = nvme.GetStatus(c)
	}
	return err
}

// same tells whether who answers commands is the disk that the rule chose.
func (f *facts) same(who, serial string, size int64) error {
	switch {
	case size != f.dev.Size():
		return fmt.Errorf("%s is of a disk of %d bytes, the kernel's disk has %d: the commands may reach another disk",
			who,
			size, f.dev.Size())
	case serial != "" && f.disk.Serial != "" && serial != f.disk.Serial:
		return fmt.Errorf("%s has the serial %q, the kernel's disk has %q: the commands may reach another disk", who,
			serial,
			f.disk.Serial)
	}
	return nil
}

// offered lists the methods that the disk can, and of the others why not.
func (f *facts) offered() (can []string, cannot map[string]error) {
	cannot = map[string]error{}
	for i := range methods {
		if err := methods[i].can(f); err != nil {
			cannot[methods[i].name] = err
		} else {
			can = append(can, methods[i].name)
		}
	}
	return can, cannot
}

// check says why a method cannot be used on this disk, and which can.
func (f *facts) check(m *method) error {
	err := m.can(f)
	if err == nil {
		return nil
	}
	can, _ := f.offered()
	others := "no method can be used on it as it is"
	if len(can) > 0 {
		others = "it can be erased by " + strings.Join(can, ", ")
	}
	return fmt.Errorf("%s cannot be erased by %s: %w; nothing was written; %s", diskrule.Describe(f.disk), m.name, err,
		others)
}

// words says what an operator should know of the disk before it is erased.
func (f *facts) words() []string {
	var w []string
	if f.ata != nil {
		if s := f.ata.Security; s.Frozen {
			w = append(w, "its firmware settings are frozen (SECURITY FREEZE LOCK), so there is no ATA security erase")
		}
		if n := f.hidden.HPA(f.ata); n > 0 {
			w = append(w, "a host protected area hides "+diskrule.Bytes(int64(n)*int64(f.ata.SectorSize)))
		}
		if n := f.hidden.DCO(f.ata); n > 0 {
			w = append(w, "a device configuration overlay hides "+diskrule.Bytes(int64(n)*int64(f.ata.SectorSize)))
		}
		for _, u := range f.hidden.Unknown {
			w = append(w, "not known: "+u)
		}
	}
	if len(f.others) > 0 {
		w = append(w, "its controller has other namespaces: "+some(f.others))
	}
	return w
}
