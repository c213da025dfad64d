package ata

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"
)

// page is an IDENTIFY DEVICE of the given words, with its checksum.
func page(words map[int]uint16) []byte {
	b := make([]byte, Sector)
	for n, v := range words {
		binary.LittleEndian.PutUint16(b[2*n:], v)
	}
	b[510] = 0xa5
	b[511] = -checksum(b)
	return b
}

func TestParseIdentity(t *testing.T) {
	id, err := ParseIdentity(page(map[int]uint16{
		0: 0x0040, 10: 0x4142, 11: 0x3132, 12: 0x2020, // "AB12"
		27: 0x5741, 28: 0x4e00, // "WAN\0"
		59: 0xd000, 60: 0xffff, 61: 0x0fff,
		82: 0x0402, 83: 0x4c00, 87: 0x4100, 89: 0x0032, 90: 0x80ff,
		100: 0xdab0, 101: 0x7470, 102: 1,
		106: 0x5000, 117: 2048,
		108: 0x5000, 109: 0xc500, 110: 0xa1b2, 111: 0xc3d4,
		119: 0x4100, 128: 0x0029, 169: 1, 217: 1, 69: 1 << 4,
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{Model: "WAN", Serial: "AB12", WWN: 0x5000c500a1b2c3d4, Sectors: 0x17470dab0, SectorSize: 4096,
		Trim: true, Encrypts: true, LBA48: true,
		Security: Security{Supported: true, Frozen: true, Enhanced: true, Takes: 100 * time.Minute,
			TakesEnhanced: 510 * time.Minute},
		Sanitize: Sanitize{Supported: true, BlockErase: true, Overwrite: true}, HPA: true, AMAC: true, DCO: true}
	if *id != want {
		t.Errorf("got  %+v\nwant %+v", *id, want)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"short":         func(b []byte) []byte { return b[:511] },
		"long":          func(b []byte) []byte { return append(b, 0) },
		"checksum":      func(b []byte) []byte { b[20]++; return b },
		"ATAPI":         func([]byte) []byte { return page(map[int]uint16{0: 0x8000}) },
		"odd sectors":   func([]byte) []byte { return page(map[int]uint16{106: 0x5000, 118: 1}) },
		"tiny sectors":  func([]byte) []byte { return page(map[int]uint16{106: 0x5000, 117: 1}) },
		"sector number": func([]byte) []byte { return page(map[int]uint16{83: 0x4400, 103: 2}) },
	} {
		if _, err := ParseIdentity(change(page(nil))); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestQEMU reads what the AHCI disk of QEMU 7.2 says of itself, as Linux handed it over.
func TestQEMU(t *testing.T) {
	text, err := os.ReadFile("testdata/qemu-ahci.hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	id, err := ParseIdentity(b)
	want := Identity{Model: "QEMU HARDDISK", Serial: "ata-zero", Sectors: 131072, SectorSize: 512, Trim: true,
		LBA48: true}
	if err != nil {
		t.Fatal(err)
	}
	want.Firmware, want.Rotates, want.WWN = id.Firmware, id.Rotates, id.WWN
	if *id != want || id.Firmware == "" {
		t.Errorf("got  %+v\nwant %+v", *id, want)
	}
}

// TestValidity believes words 82, 83, 119 and 87 only where they are marked valid.
func TestValidity(t *testing.T) {
	id, err := ParseIdentity(page(map[int]uint16{60: 100, 82: 0xffff, 83: 0x8fff, 87: 0x8100, 100: 5, 108: 1,
		119: 0xc100,
		128: 1}))
	if err != nil || id.HPA || id.DCO || id.AMAC || id.LBA48 || id.WWN != 0 || id.Security.Supported ||
		id.Sectors != 100 {
		t.Errorf("%v, %+v", err, id)
	}
}

func TestCDB(t *testing.T) {
	for _, c := range []struct {
		c    Command
		want []byte
	}{
		{Command{Protocol: PIOIn, Count: 1, Command: 0xec},
			[]byte{0x85, 0x08, 0x0e, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xec,
				0}},
		{Command{Protocol: PIOOut, Count: 1, Command: 0xf4},
			[]byte{0x85, 0x0a, 0x06, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xf4,
				0}},
		{Command{Protocol: NonData, Extend: true, Feature: 0x0112, Count: 0x0203, LBA: 0x060504030201, Device: 0x40,
			Command: 0xb4},
			[]byte{0x85, 0x07, 0x20, 1, 0x12, 2, 3, 4, 1, 5, 2, 6, 3, 0x40, 0xb4, 0}},
	} {
		if got := c.c.CDB(); !bytes.Equal(got[:], c.want) {
			t.Errorf("got  %x\nwant %x", got, c.want)
		}
	}
}

func TestParseSense(t *testing.T) {
	full := []byte{0x72, 1, 0, 0x1d, 0, 0, 0, 14, 9, 12, 1, 0x04, 0x80, 0x12, 6, 5, 4, 3, 2, 1, 0x40, 0x51}
	want := Registers{Status: 0x51, Error: 4, Device: 0x40, Count: 0x8012, LBA: 0x020406010305}
	if r, err := ParseSense(full); err != nil || r != want {
		t.Errorf("%+v, %v", r, err)
	}
	low := bytes.Clone(full)
	low[10] = 0
	if r, err := ParseSense(low); err != nil || r.Count != 0x12 || r.LBA != 0x010305 {
		t.Errorf("%+v, %v", r, err)
	}
	behind := append([]byte{0x72, 1, 0, 0x1d, 0, 0, 0, 22, 0, 6, 0, 0, 0, 0, 0, 0}, full[8:]...)
	if r, err := ParseSense(behind); err != nil || r != want {
		t.Errorf("behind another descriptor: %+v, %v", r, err)
	}
	fixed := []byte{0x70, 0, 1, 4, 0x51, 0x40, 0x12, 10, 0, 5, 3, 1, 0, 0x1d, 0, 0, 0, 0}
	if r, err := ParseSense(fixed); err != nil || r != (Registers{Status: 0x51, Error: 4, Device: 0x40, Count: 0x12,
		LBA: 0x010305}) {
		t.Errorf("fixed: %+v, %v", r, err)
	}
	// As libata has it for a command that the disk aborted.
	aborted := []byte{0x70, 0, 0xb, 4, 0x51, 0x40, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if r, err := ParseSense(aborted); err != nil || r != (Registers{Status: 0x51, Error: 4, Device: 0x40}) {
		t.Errorf("aborted: %+v, %v", r, err)
	}
	early := bytes.Clone(aborted)
	early[3], early[4] = 0, 0x58 // the command has not failed
	half := bytes.Clone(fixed)
	half[8] = 0xe0
	for name, b := range map[string][]byte{"none": nil, "short": full[:7], "cut": full[:12], "half": half,
		"early":         early,
		"other reason":  {0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0},
		"no descriptor": {0x72, 5, 0x20, 0, 0, 0, 0, 0}, "format": {0x7f, 0, 0, 0, 0, 0, 0, 0},
		"descriptor of no length": {0x72, 1, 0, 0x1d, 0, 0, 0, 200, 9, 0, 0, 0}} {
		if r, err := ParseSense(b); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestParseStatus(t *testing.T) {
	if s := ParseStatus(Registers{Count: 1 << 14, LBA: 0x8000}); !s.Running || s.Done || s.Share != 0.5 {
		t.Errorf("%+v", s)
	}
	if s := ParseStatus(Registers{Count: 1<<15 | 1<<13, LBA: 0xffff}); s.Running || !s.Done || !s.Frozen ||
		s.Share != 0 {
		t.Errorf("%+v", s)
	}
}

// wire answers one command.
type wire struct {
	got *Command
	r   Registers
}

func (w *wire) Do(c *Command) (Registers, error) { w.got = c; return w.r, nil }

func TestFindHidden(t *testing.T) {
	for _, c := range []struct {
		id      Identity
		r       Registers
		command byte
		native  uint64
	}{
		{Identity{HPA: true, LBA48: true}, Registers{LBA: 0xabcdef012344}, 0x27, 0xabcdef012345},
		{Identity{HPA: true}, Registers{LBA: 0xffffff, Device: 0xef}, 0xf8, 1 << 28},
		{Identity{HPA: true, AMAC: true, LBA48: true}, Registers{LBA: 9}, 0x78, 10},
	} {
		w := &wire{r: c.r}
		if h := FindHidden(w, &c.id); h.Native != c.native || w.got.Command != c.command || len(h.Unknown) > 0 {
			t.Errorf("%+v by command %02xh", h, w.got.Command)
		}
	}
	h, id := Hidden{Native: 150, Factory: 175}, Identity{Sectors: 100}
	if h.HPA(&id) != 50 || h.DCO(&id) != 25 {
		t.Errorf("%d, %d", h.HPA(&id), h.DCO(&id))
	}
	if h := (&Hidden{}); h.HPA(&id) != 0 || h.DCO(&id) != 0 {
		t.Error("something is hidden where nothing is known")
	}
}

func TestStart(t *testing.T) {
	for _, c := range []struct {
		op     Operation
		passes int
		lba    uint64
		count  uint16
	}{{CryptoScramble, 1, 0x43727970, 0}, {BlockErase, 1, 0x426b4572, 0}, {Overwrite, 3, 0x4f5700000000, 3}, {Overwrite,
		16, 0x4f5700000000, 0}} {
		w := &wire{}
		if err := Start(w, c.op, c.passes); err != nil || w.got.LBA != c.lba || w.got.Count != c.count ||
			w.got.Feature != uint16(c.op) || w.got.Command != 0xb4 {
			t.Errorf("%v, %+v", err, w.got)
		}
	}
	for _, passes := range []int{0, 17} {
		w := &wire{}
		if err := Start(w, Overwrite, passes); err == nil || w.got != nil {
			t.Errorf("%d passes: %v", passes, err)
		}
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add(page(map[int]uint16{10: 0x4142, 83: 0x4c00, 106: 0x5000, 117: 2048}))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := ParseIdentity(b)
		if err != nil {
			return
		}
		if id.SectorSize < 512 || id.SectorSize > 64<<10 || id.Sectors > 1<<48 || len(id.Serial) > maxWord ||
			len(id.Model) > maxWord || id.Security.Takes < 0 {
			t.Errorf("%+v", id)
		}
	})
}

func FuzzDCO(f *testing.F) {
	b := make([]byte, Sector)
	b[6], b[510] = 99, 0xa5
	b[511] = -checksum(b)
	if n, err := ParseDCO(b); err != nil || n != 100 {
		f.Fatalf("%d, %v", n, err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := ParseDCO(b); err == nil && (n == 0 || n > 1<<48) {
			t.Errorf("%d sectors", n)
		}
	})
}

func FuzzSense(f *testing.F) {
	f.Add([]byte{0x72, 1, 0, 0x1d, 0, 0, 0, 14, 9, 12, 1, 0x04, 0x80, 0x12, 6, 5, 4, 3, 2, 1, 0x40, 0x51})
	f.Add([]byte{0x70, 0, 1, 4, 0x51, 0x40, 0x12, 10, 0, 5, 3, 1, 0, 0x1d, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseSense(b)
		if err != nil && r != (Registers{}) {
			t.Errorf("registers %+v beside %v", r, err)
		}
		if s := ParseStatus(r); s.Share < 0 || s.Share >= 1 || r.LBA >= 1<<48 {
			t.Errorf("%+v", s)
		}
	})
}
