package diskrule

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
)

var (
	sda = session.Disk{Path: "/dev/sda", Size: 500e9, SectorSize: 512, Model: "ST500", Serial: "Z3TABCDE",
		WWN: "naa.5000c500"}
	nvme = session.Disk{Path: "/dev/nvme0n1", Size: 1e12, SectorSize: 512, Model: "Samsung", Serial: "S64A"}
	usb  = session.Disk{Path: "/dev/sdb", Size: 16e9, SectorSize: 512, Removable: true}
	rom  = session.Disk{Path: "/dev/vdb", Size: 1e9, SectorSize: 512, ReadOnly: true}
)

func TestChoose(t *testing.T) {
	all := []session.Disk{nvme, sda, usb}
	tests := []struct {
		name  string
		disks []session.Disk
		rule  session.Target
		want  string
		err   []string // what the message must hold
	}{
		{"the only disk", []session.Disk{sda}, session.Target{}, "/dev/sda", nil},
		{"path", all, session.Target{Path: "/dev/sda"}, "/dev/sda", nil},
		{"serial", all, session.Target{Serial: "s64a"}, "/dev/nvme0n1", nil},
		{"wwn as serial", all, session.Target{Serial: "naa.5000c500"}, "/dev/sda", nil},
		{"at least", all, session.Target{MinSize: 600e9}, "/dev/nvme0n1", nil},
		{"size class", all, session.Target{MinSize: 100e9, MaxSize: 600e9}, "/dev/sda", nil},
		{"read-only does not count", []session.Disk{sda, rom}, session.Target{}, "/dev/sda", nil},
		{"ambiguous", all, session.Target{MinSize: 100e9}, "",
			[]string{"fits 2 disks", "nothing was written", "/dev/nvme0n1 1.00 TB", "serial S64A",
				"/dev/sdb 16.0 GB (16000000000 bytes), 512-byte sectors, removable: smaller than"}},
		{"two disks, no rule", []session.Disk{sda, nvme}, session.Target{}, "",
			[]string{"(the only disk) fits 2 disks"}},
		{"none", all, session.Target{Serial: "x", Path: "/dev/sda"}, "",
			[]string{"no disk fits", "path /dev/sda, serial x", "/dev/nvme0n1", ": another path", ": another serial"}},
		{"no disk at all", nil, session.Target{}, "", []string{"no disk", "driver"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Choose(tt.disks, tt.rule)
			if len(tt.err) == 0 && err != nil {
				t.Fatal(err)
			}
			if got.Path != tt.want {
				t.Errorf("chose %q, want %q (%v)", got.Path, tt.want, err)
			}
			for _, part := range tt.err {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}
