package diskrule

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
)

// A lab machine with everything in it.
var (
	hdd0 = session.Disk{Path: "/dev/sda", Size: 4e12, Model: "ST4000NM0035", Serial: "ZC1", WWN: "naa.5000c500a1",
		Bus: "ata", BusPath: "pci-0000:00:1f.2-ata-2", Rotational: true}
	hdd1 = session.Disk{Path: "/dev/sdb", Size: 4e12, Model: "ST4000NM0035", Serial: "ZC2", WWN: "naa.5000c500a2",
		Bus: "ata", BusPath: "pci-0000:00:1f.2-ata-10", Rotational: true}
	ssd = session.Disk{Path: "/dev/sdc", Size: 480e9, Model: "INTEL SSDSC2KB48", Serial: "PH1", WWN: "naa.55cd2e4",
		Bus: "ata", BusPath: "pci-0000:00:1f.2-ata-3"}
	nvme0 = session.Disk{Path: "/dev/nvme0n1", Size: 960e9, Model: "Samsung SSD 980", Serial: "S64A",
		WWN: "eui.0025385a", Bus: "nvme", BusPath: "pci-0000:01:00.0-nvme-1"}
	stick = session.Disk{Path: "/dev/sdd", Size: 16e9, Model: "DataTraveler 3.0", Serial: "60A4", Bus: "usb",
		BusPath: "pci-0000:00:14.0-usb-0:2:1.0-scsi-0:0:0:0", Removable: true}
	case1 = session.Disk{Path: "/dev/sde", Size: 2e12, Model: "Elements", Serial: "WX1", Bus: "usb",
		BusPath: "pci-0000:00:14.0-usb-0:3:1.0-scsi-0:0:0:0", Rotational: true}
	pmem = session.Disk{Path: "/dev/pmem0", Size: 100e9, Unfit: "persistent memory"}
	// A LUN by two paths, and one by one.
	san = []session.Disk{
		{Path: "/dev/sdf", Size: 1e12, Model: "LUN", Serial: "A", WWN: "naa.600a", Bus: "scsi", HCTL: "2:0:0:1",
			BusPath: "pci-0000:03:00.0-scsi-0:0:0:1"},
		{Path: "/dev/sdg", Size: 1e12, Model: "LUN", Serial: "B", WWN: "naa.600b", Bus: "scsi", HCTL: "2:0:1:0",
			BusPath: "pci-0000:03:00.0-scsi-0:0:1:0"},
		{Path: "/dev/sdh", Size: 1e12, Model: "LUN", Serial: "A", WWN: "naa.600a", Bus: "scsi", HCTL: "3:0:0:1",
			BusPath: "pci-0000:03:00.1-scsi-0:0:0:1"},
	}
	lab = []session.Disk{nvme0, hdd0, hdd1, ssd, stick, case1}
)

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		disks []session.Disk
		rule  session.Target
		want  string // path, or what the error holds
	}{
		"a stick does not count":               {[]session.Disk{ssd, stick}, session.Target{}, "/dev/sdc"},
		"nor a USB case that is not removable": {[]session.Disk{ssd, case1}, session.Target{}, "/dev/sdc"},
		"a stick alone is not the only disk": {[]session.Disk{stick}, session.Target{},
			"only removable or USB disks"},
		"and its driver may be missing": {[]session.Disk{stick}, session.Target{MinSize: 1e9},
			"driver may be missing"},
		"a stick that is named": {lab, session.Target{Serial: "60A4"}, "/dev/sdd"},
		"a stick by type": {[]session.Disk{ssd, stick}, session.Target{Type: session.TypeUSB},
			"/dev/sdd"},
		"a stick by path":                 {lab, session.Target{Path: "/dev/sdd"}, "/dev/sdd"},
		"smallest leaves the stick alone": {lab, session.Target{Smallest: true}, "/dev/sdc"},
		"smallest of the USB disks": {lab, session.Target{Type: session.TypeUSB, Smallest: true},
			"/dev/sdd"},
		"largest, of which there are two": {lab, session.Target{Largest: true}, "fits 2 disks"},
		"largest, the first":              {lab, session.Target{Largest: true, First: true}, "/dev/sda"},
		"port 2 comes before port 10":     {[]session.Disk{hdd1, hdd0}, session.Target{First: true}, "/dev/sda"},
		"nvme":                            {lab, session.Target{Type: session.TypeNVMe}, "/dev/nvme0n1"},
		"ssd, of which nvme is one":       {lab, session.Target{Type: session.TypeSSD}, "fits 2 disks"},
		"the smaller ssd": {lab, session.Target{Type: session.TypeSSD, Smallest: true},
			"/dev/sdc"},
		"hdd in a size class that has none": {lab, session.Target{Type: session.TypeHDD, MaxSize: 1e12},
			"larger than the rule's"},
		"wwn as the kernel writes it": {lab, session.Target{WWN: "naa.5000c500a2"}, "/dev/sdb"},
		"wwn as udev writes it":       {lab, session.Target{WWN: "0x5000C500A2"}, "/dev/sdb"},
		"wwn of udev's link":          {lab, session.Target{WWN: "wwn-0x5000c500a2"}, "/dev/sdb"},
		"place":                       {lab, session.Target{ByPath: "pci-0000:00:1f.2-ata-3"}, "/dev/sdc"},
		"place with a pattern":        {lab, session.Target{ByPath: "*-nvme-1"}, "/dev/nvme0n1"},
		"a place is not the beginning of one": {lab, session.Target{ByPath: "pci-0000:00:1f.2-ata-1"},
			"another place"},
		"by hctl":               {san, session.Target{HCTL: "2:0:1:*"}, "/dev/sdg"},
		"not usb, the smallest": {lab, session.Target{Type: "!usb", Smallest: true}, "/dev/sdc"},
		"not hdd, nor small":    {lab, session.Target{Type: "!hdd", MinSize: 500e9}, "/dev/nvme0n1"},
		"not of the only type":  {[]session.Disk{nvme0}, session.Target{Type: "!nvme"}, "of type nvme"},
		"a disk by two paths": {san,
			session.Target{WWN: "naa.600a"}, "sdf and /dev/sdh say that they are the same"},
		"a disk by the first path": {san, session.Target{WWN: "naa.600a", First: true}, "/dev/sdf"},
		"memory beside a disk":     {[]session.Disk{pmem, ssd}, session.Target{}, "/dev/sdc"},
		"memory by its path": {[]session.Disk{pmem, ssd},
			session.Target{Path: "/dev/pmem0"}, "persistent memory"},
		"memory alone":       {[]session.Disk{pmem}, session.Target{Smallest: true}, "persistent memory"},
		"memory and a stick": {[]session.Disk{pmem, stick}, session.Target{}, "only removable or USB disks"},
		"model":              {lab, session.Target{Model: "intel ssd*"}, "/dev/sdc"},
		"model of two":       {lab, session.Target{Model: "ST4000*"}, "fits 2 disks"},
		"a rule for one disk and another's sum": {lab, session.Target{Serial: "ZC1", Type: session.TypeSSD},
			"not of type ssd"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(c.disks, c.rule)
			if strings.HasPrefix(c.want, "/") {
				if err != nil || got.Path != c.want {
					t.Errorf("got %s, %v; want %s", got.Path, err, c.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "nothing was written") {
				t.Errorf("got %s, %v; want an error with %q", got.Path, err, c.want)
			}
		})
	}
}

// After a restart the kernel gives names anew: the disk is found by what does not change.
func TestFind(t *testing.T) {
	at := func(d session.Disk, path string) session.Disk { d.Path = path; return d }
	moved := func(d session.Disk, place string) session.Disk { d.BusPath = place; return d }
	withSerial := func(d session.Disk, serial string) session.Disk { d.Serial = serial; return d }
	zeros := session.Disk{Path: "/dev/sda", Size: 4e9, Model: "TEAM", Serial: "S-A", WWN: "0x0000000000000000",
		BusPath: "pci-0000:00:1f.2-ata-3"}
	bare := session.Disk{Path: "/dev/vda", Size: 4e9, WWN: "eui.0000000000000000"}
	nameless := session.Disk{Path: "/dev/vda", Size: 1e9, BusPath: "pci-0000:00:04.0"}
	other := session.Disk{Path: "/dev/vdb", Size: 1e9, BusPath: "pci-0000:00:05.0"}
	fake := session.Disk{Path: "/dev/sda", Size: 1e9, Model: "USB3.0", Serial: "0123456789ABCDEF", Bus: "usb",
		BusPath: "usb-0:1:1.0"}
	fake2 := fake
	fake2.Path, fake2.BusPath = "/dev/sdb", "usb-0:2:1.0"
	ns1 := session.Disk{Path: "/dev/nvme0n1", Size: 1e9, Serial: "S", WWN: "nvme.1af4-53-51454d55-00000001",
		Bus: "nvme", BusPath: "pci-0000:00:04.0-nvme-1"}
	ns2 := ns1
	ns2.Path, ns2.WWN, ns2.BusPath = "/dev/nvme0n2", "nvme.1af4-53-51454d55-00000002", "pci-0000:00:04.0-nvme-2"
	for name, c := range map[string]struct {
		first session.Disk
		now   []session.Disk
		want  string
	}{
		"names changed places": {hdd0, []session.Disk{at(hdd1, "/dev/sda"), at(hdd0, "/dev/sdb")},
			"/dev/sdb"},
		"in another slot": {hdd0, []session.Disk{moved(hdd0, "pci-0000:00:1f.2-ata-4")},
			": another place"},
		"two with one wwn and serial": {hdd0,
			[]session.Disk{at(moved(hdd0, "pci-0000:00:1f.2-ata-4"), "/dev/sda"), at(hdd0, "/dev/sdb")}, "/dev/sdb"},
		"a wwn of zeros, another disk": {zeros, []session.Disk{withSerial(zeros, "S-B")}, ": another serial"},
		"a wwn of zeros, its own place": {zeros,
			[]session.Disk{at(zeros, "/dev/sdb"), withSerial(moved(zeros, "pci-0000:00:1f.2-ata-9"), "S-B")},
			"/dev/sdb"},
		"nothing to be known by": {bare, []session.Disk{bare}, "no WWN, serial or place"},
		"fillers are nothing to be known by": {withSerial(bare, "To Be Filled By O.E.M."),
			[]session.Disk{withSerial(bare, "To Be Filled By O.E.M.")}, "no WWN, serial or place"},
		"its serial has gone": {hdd0, []session.Disk{withSerial(hdd0, "")}, ": another serial"},
		"gone":                {hdd0, []session.Disk{at(hdd1, "/dev/sda")}, "is not there"},
		"exchanged in its slot": {hdd0,
			[]session.Disk{{Path: "/dev/sda", Size: 4e12, Model: hdd0.Model, Serial: "ZC9", WWN: "naa.9",
				BusPath: hdd0.BusPath}}, "is not there"},
		"no serial: by its place": {nameless,
			[]session.Disk{at(other, "/dev/vda"), at(nameless, "/dev/vdb")}, "/dev/vdb"},
		"no serial, gone": {nameless, []session.Disk{at(other, "/dev/vda")}, "is not there"},
		"one serial on two sticks": {fake2, []session.Disk{at(fake2, "/dev/sda"), at(fake, "/dev/sdb")},
			"/dev/sda"},
		"one serial on two sticks, both moved": {fake2,
			[]session.Disk{fake, {Path: "/dev/sdb", Size: 1e9, Model: "USB3.0", Serial: fake.Serial,
				BusPath: "usb-0:9:1.0"}}, "is not there"},
		"another namespace of one controller": {ns1, []session.Disk{at(ns2, "/dev/nvme0n1")}, "is not there"},
		"its own namespace": {ns2, []session.Disk{at(ns2, "/dev/nvme0n1"), at(ns1, "/dev/nvme0n2")},
			"/dev/nvme0n1"},
		"a file": {session.Disk{Path: "/tmp/d", Size: 5},
			[]session.Disk{{Path: "/tmp/e", Size: 5}, {Path: "/tmp/d", Size: 5}}, "/tmp/d"},
		"another size": {session.Disk{Path: "/tmp/d", Size: 5}, []session.Disk{{Path: "/tmp/d", Size: 6}},
			"is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Find(c.now, c.first.ID())
			if strings.HasPrefix(c.want, "/") {
				if err != nil || got.Path != c.want {
					t.Errorf("got %s, %v; want %s", got.Path, err, c.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s, %v", got.Path, err)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	for name, c := range map[string]struct {
		disks  []session.Disk
		chosen session.Disk
		rule   session.Target
		want   string // of the error; empty: it holds
	}{
		"the only disk":                  {[]session.Disk{ssd, stick}, ssd, session.Target{}, ""},
		"one of two":                     {[]session.Disk{ssd, hdd0}, ssd, session.Target{}, "fits 2 disks"},
		"the stick, which is not meant":  {[]session.Disk{ssd, stick}, stick, session.Target{}, "means /dev/sdc"},
		"the smallest":                   {lab, ssd, session.Target{Smallest: true}, ""},
		"not the smallest":               {lab, hdd0, session.Target{Smallest: true}, "means /dev/sdc"},
		"its serial":                     {lab, hdd1, session.Target{Serial: "ZC2"}, ""},
		"another's serial":               {lab, hdd0, session.Target{Serial: "ZC2"}, "means /dev/sdb"},
		"a name that it has no more":     {lab, hdd0, session.Target{Path: "/dev/sdb"}, ""},
		"a stick by path":                {lab, stick, session.Target{Path: "/dev/sda"}, ""},
		"a path, and a size that is not": {lab, stick, session.Target{Path: "/dev/sdd", MinSize: 1e12}, "smaller than"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Holds(c.disks, &c.chosen, c.rule)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}
