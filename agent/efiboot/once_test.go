package efiboot

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOnce has the next restart come to the disk, where the network is before it and nobody chose another entry.
func TestOnce(t *testing.T) {
	disk := makeDisk(t, "gpt", espGUID, debian)
	mine := to(t, "debian (diskcast)", espGUID, 2048, "EFI/debian/shimx64.efi")
	for _, c := range []struct {
		name  string
		nvram *nvram
		next  []byte // afterwards
		want  string
	}{
		{"the network is first", &nvram{vars: map[string][]byte{"Boot0000": pxe(), "Boot0003": mine,
			"BootOrder": {0, 0, 3, 0}}}, []byte{3, 0}, "the firmware starts Boot0003 next"},
		{"the disk is first", &nvram{vars: map[string][]byte{"Boot0000": pxe(), "Boot0003": mine,
			"BootOrder": {3, 0, 0, 0}}}, nil, ""},
		{"it is set already", &nvram{vars: map[string][]byte{"Boot0000": pxe(), "Boot0003": mine,
			"BootOrder": {0, 0, 3, 0}, "BootNext": {3, 0}}}, []byte{3, 0}, "Boot0003 is what the firmware starts next"},
		{"somebody chose another", &nvram{vars: map[string][]byte{"Boot0000": pxe(), "Boot0003": mine,
			"BootOrder": {0, 0, 3, 0}, "BootNext": {0, 0}}}, []byte{0, 0}, "BootNext names another entry, and stays"},
		{"it is refused", &nvram{vars: map[string][]byte{"Boot0000": pxe(), "Boot0003": mine,
			"BootOrder": {0, 0, 3, 0}}, refuse: map[string]error{"BootNext": unix.EPERM}}, nil, "protected"},
		{"it is forgotten", &nvram{vars: map[string][]byte{"Boot0000": pxe(), "Boot0003": mine,
			"BootOrder": {0, 0, 3, 0}}, forget: "BootNext"}, nil, "so the boot order counts"},
		{"there is no entry", &nvram{vars: map[string][]byte{"Boot0000": pxe(), "BootOrder": {0, 0}},
			refuse: map[string]error{"Boot0001": unix.ENOSPC}}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &Machine{Root: uefi(t, 64), Vars: c.nvram}
			if got := m.Once(); got != "" {
				t.Errorf("before there is an entry: %q", got)
			}
			words, err := m.Enter(disk)
			got := m.Once()
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q (%s, %v)", got, c.want, words, err)
			}
			if next := c.nvram.vars["BootNext"]; !bytes.Equal(next, c.next) {
				t.Errorf("BootNext is %x, want %x", next, c.next)
			}
		})
	}
}
