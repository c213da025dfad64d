package drive

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/diskcast/diskcast/agent/erase"
	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

var _ erase.Device = (*Drive)(nil)

// TestLayout holds the structures that the kernel reads against their size in its headers.
func TestLayout(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 8 && unsafe.Sizeof(sgHeader{}) != 88 {
		t.Errorf("sg_io_hdr has %d bytes, not 88", unsafe.Sizeof(sgHeader{}))
	}
	var c nvmeCommand
	if unsafe.Sizeof(c) != 72 || unsafe.Offsetof(c.addr) != 24 || unsafe.Offsetof(c.dw10) != 40 ||
		unsafe.Offsetof(c.timeout) != 64 {
		t.Errorf("nvme_passthru_cmd has %d bytes, addr at %d, cdw10 at %d, timeout at %d", unsafe.Sizeof(c),
			unsafe.Offsetof(c.addr), unsafe.Offsetof(c.dw10), unsafe.Offsetof(c.timeout))
	}
}

// kinds are a file and a loop device, with random bytes in them.
func kinds(t *testing.T) map[string]string {
	t.Helper()
	need.Root(t)
	need.Tools(t, "losetup")
	out := map[string]string{}
	for _, kind := range []string{"file", "loop device"} {
		path := volumetest.Sparse(t, 8<<20)
		if err := os.WriteFile(path, bytes.Repeat([]byte("secret. "), 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if kind == "loop device" {
			path, _ = volumetest.Loop(t, path, 512)
		}
		out[kind] = path
	}
	return out
}

func TestRanges(t *testing.T) {
	for kind, path := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			v, err := Open(session.Disk{Path: path, SectorSize: 512})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(session.Disk{Path: path, SectorSize: 512}); err == nil || !strings.Contains(err.Error(),
				"in use") {
				t.Errorf("opened twice: %v", err)
			}
			if v.Size() != 8<<20 || v.SectorSize() != 512 || !v.CanDiscard() || v.CanSecureDiscard() {
				t.Errorf("size %d, sectors of %d, discard %v, secure discard %v", v.Size(), v.SectorSize(),
					v.CanDiscard(),
					v.CanSecureDiscard())
			}
			if c, _ := v.NVMe(); c != nil || v.ATA() != nil {
				t.Error("it takes NVMe or ATA commands")
			}
			if err := v.Zero(1<<20, 2<<20); err != nil {
				t.Fatal(err)
			}
			if err := v.Discard(4<<20, 1<<20); err != nil {
				t.Fatal(err)
			}
			if err := v.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte("secret. "), 1<<20)
			clear(want[1<<20 : 3<<20])
			clear(want[4<<20 : 5<<20])
			if !bytes.Equal(got, want) {
				t.Error("other bytes than the two ranges changed, or not all of them")
			}
		})
	}
}

func TestNotOpened(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{odd: "whole sectors", "/dev/null": "neither", filepath.Join(t.TempDir(),
		"none"): "no such file"} {
		if _, err := Open(session.Disk{Path: path, SectorSize: 512}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", path, err, want)
		}
	}
}

func TestPartition(t *testing.T) {
	need.Root(t)
	need.Tools(t, "losetup", "addpart", "delpart")
	dev, _ := volumetest.Loop(t, volumetest.Sparse(t, 64<<20), 512, "--partscan")
	volumetest.Run(t, "addpart", dev, "1", "2048", "32768")
	t.Cleanup(func() { volumetest.Run(t, "delpart", dev, "1") })
	if _, err := Open(session.Disk{Path: dev + "p1", SectorSize: 512}); err == nil || !strings.Contains(err.Error(),
		"only whole disks") {
		t.Errorf("%v", err)
	}
}

func TestTakesATA(t *testing.T) {
	for name, c := range map[string]struct {
		file, content string
		want          bool
	}{
		"libata": {"vendor", "ATA     \n", true}, "a USB stick": {"vendor", "SanDisk \n", false},
		"SAT": {"vpd_pg89", "\x00\x89\x02\x38\x00\x00", true}, "another page": {"vpd_pg89", "\x00\x83\x02\x38\x00\x00",
			false}, "a short page": {"vpd_pg89", "\x00\x89", false},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "device"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "device", c.file), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := takesATA(dir); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOutcome(t *testing.T) {
	ok := []byte{0x72, 1, 0, 0x1d, 0, 0, 0, 14, 9, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50}
	refused := append(bytes.Clone(ok[:8]), 9, 12, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x51)
	for name, c := range map[string]struct {
		p     ata.Protocol
		h     sgHeader
		sense []byte
		want  string // of the error; empty: none
	}{
		"done": {ata.NonData, sgHeader{status: 2}, ok, ""},
		"refused": {ata.NonData, sgHeader{status: 2}, refused,
			"refused by the disk (status 51h, error 04h)"},
		"data without registers": {ata.PIOIn, sgHeader{}, nil, ""},
		"short data":             {ata.PIOIn, sgHeader{residual: 12, dataLen: 512}, nil, "12 of 512 bytes are missing"},
		"no registers":           {ata.NonData, sgHeader{}, nil, "not handed back"},
		"busy":                   {ata.NonData, sgHeader{status: 8}, nil, "status 08h"},
		"timed out":              {ata.NonData, sgHeader{hostStatus: 3}, nil, "gave up"},
		"no such command": {ata.PIOIn, sgHeader{status: 2}, []byte{0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20,
			0, 0, 0, 0, 0}, "without the disk's registers"},
		"status beside good registers": {ata.NonData, sgHeader{status: 0x18}, ok, "SCSI status 18h"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := outcome(&ata.Command{Name: "C", Protocol: c.p}, &c.h, c.sense)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}
