package cmd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/session"
)

func TestDiskRules(t *testing.T) {
	for in, want := range map[string]session.Target{
		"only":                                         {},
		"path=/dev/sda":                                {Path: "/dev/sda"},
		"type=ssd,min=200G,smallest":                   {Type: "ssd", MinSize: 200 << 30, Smallest: true},
		"serial=S4X, first":                            {Serial: "S4X", First: true},
		"wwn=naa.5000c500,model=Samsung*":              {WWN: "naa.5000c500", Model: "Samsung*"},
		"by-path=pci-0000:00:1f.2-ata-1":               {ByPath: "pci-0000:00:1f.2-ata-1"},
		"path=/dev/disk/by-path/pci-0-ata-1":           {ByPath: "pci-0-ata-1"},
		"hctl=*:0:1:0":                                 {HCTL: "*:0:1:0"},
		"type=!usb,smallest,min=100G":                  {Type: "!usb", Smallest: true, MinSize: 100 << 30},
		"path=/dev/disk/by-id/wwn-0x5000c500a":         {WWN: "0x5000c500a"},
		"path=/dev/disk/by-id/nvme-eui.0025385a":       {WWN: "eui.0025385a"},
		"path=/dev/disk/by-id/scsi-35000c500a":         {WWN: "naa.5000c500a"},
		"path=/dev/disk/by-id/virtio-S-1":              {Serial: "S-1"},
		"path=/dev/disk/by-id/ata-Samsung_SSD_860_S3Z": {Serial: "S3Z"},
		"max=2T,largest":                               {MaxSize: 2 << 40, Largest: true},
	} {
		got, err := parseDisk(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
	for in, want := range map[string]string{
		"": "none of", "sda": "none of", "path=sda": "not under /dev", "type=floppy": "none of nvme",
		"smallest,largest":           "smallest and the largest",
		"path=/dev/disk/by-id/ata-X": "serial=", "only=1": "none of", "smallest=1": "none of", "serial=": "none of",
		"path=/dev/disk/by-id/wwn-0x5-part1": "serial=", "path=/dev/disk/by-id/dm-name-root": "serial=",
		"path=/dev/disk/by-id/wwn-0x5,wwn=7": "serial=", "type=!": "says not which", "type=!!usb": "none of nvme",
		"hctl=[":        "pattern",
		"min=2T,max=1T": "empty", "model=[": "pattern",
	} {
		if _, err := parseDisk(in); err == nil || ExitCode(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}
