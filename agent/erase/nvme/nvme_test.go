package nvme

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
)

var le = binary.LittleEndian

func controllerPage() []byte {
	b := make([]byte, Page)
	copy(b[4:], "S1234               ")
	copy(b[24:], "Model of a maker                        ")
	copy(b[64:], "1.0     ")
	le.PutUint16(b[256:], 1<<1|1<<3)
	le.PutUint64(b[280:], 1<<40)
	le.PutUint64(b[296+8:], 1)
	le.PutUint32(b[328:], 1<<0|1<<2)
	le.PutUint32(b[516:], 32)
	b[524] = 1<<1 | 1<<2
	return b
}

func TestParseIdentity(t *testing.T) {
	id, err := ParseIdentity(controllerPage())
	want := Identity{Model: "Model of a maker", Serial: "S1234", Firmware: "1.0", Namespaces: 32, Format: true,
		Management: true, EraseAll: true, FormatCrypto: true,
		SanitizeCrypto: true, SanitizeOverwrite: true, Total: 1 << 40, Unallocated: 1<<64 - 1}
	if err != nil || *id != want {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, id, want)
	}
	for _, b := range [][]byte{nil, make([]byte, Page-1), make([]byte, Page+1), make([]byte, Page)} {
		if _, err := ParseIdentity(b); err == nil {
			t.Errorf("%d bytes were taken", len(b))
		}
	}
}

// TestQEMU reads what the NVMe controller of QEMU 7.2 says of itself.
func TestQEMU(t *testing.T) {
	text, err := os.ReadFile("testdata/qemu-nvme.hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	id, err := ParseIdentity(b)
	if err != nil || id.Model != "QEMU NVMe Ctrl" || id.Serial != "nvme-two" || !id.Format || !id.Management ||
		id.FormatCrypto ||
		id.FormatAll || id.EraseAll || id.SanitizeBlock || id.SanitizeCrypto || id.SanitizeOverwrite ||
		id.Namespaces != 256 {
		t.Errorf("%v, %+v", err, id)
	}
}

func namespacePage(blocks uint64, flbas, formats byte, lbaf uint32) []byte {
	b := make([]byte, Page)
	le.PutUint64(b, blocks)
	b[25], b[26], b[29] = formats, flbas, 0xa
	index := int(flbas&0xf) | int(flbas>>5&3)<<4
	le.PutUint32(b[128+4*index:], lbaf)
	return b
}

func TestParseNamespace(t *testing.T) {
	n, err := ParseNamespace(namespacePage(1000, 0x32, 20, 12<<16|8))
	want := Namespace{Blocks: 1000, BlockSize: 4096, Metadata: 8, format: 18, extended: true, protection: 0xa}
	if err != nil || *n != want || n.Size() != 4096000 {
		t.Errorf("%v, %+v", err, n)
	}
	for name, b := range map[string][]byte{"short": make([]byte, 512), "not active": namespacePage(0, 0, 0, 9<<16),
		"format of none": namespacePage(1, 1, 0, 9<<16),
		"small blocks":   namespacePage(1, 0, 0, 8<<16), "large blocks": namespacePage(1, 0, 0, 17<<16),
		"too many": namespacePage(1<<60, 0, 0, 9<<16)} {
		if n, err := ParseNamespace(b); err == nil {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

// wire writes down the commands and answers them.
type wire struct {
	got  []Command
	data []byte
}

func (w *wire) Do(c *Command) error {
	w.got = append(w.got, *c)
	copy(c.Data, w.data)
	return nil
}

func TestFormat(t *testing.T) {
	w := &wire{}
	n := &Namespace{format: 18, extended: true, protection: 0xa}
	if err := Format(w, 3, n, EraseCrypto, 0); err != nil {
		t.Fatal(err)
	}
	// LBAFU 1, SES 2, PIL 1, PI 2, MSET 1, LBAFL 2.
	if want := uint32(1<<12 | 2<<9 | 1<<8 | 2<<5 | 1<<4 | 2); w.got[0].DW10 != want || w.got[0].NSID != 3 ||
		w.got[0].Opcode != 0x80 {
		t.Errorf("%+v, want dword 10 %x", w.got[0], want)
	}
}

func TestStart(t *testing.T) {
	w := &wire{}
	for _, c := range []struct {
		a      Action
		passes int
		want   uint32
	}{{BlockErase, 1, 2}, {CryptoErase, 1, 4}, {Overwrite, 1, 0x13}, {Overwrite, 16, 3}} {
		if err := Start(w, c.a, c.passes); err != nil || w.got[len(w.got)-1].DW10 != c.want {
			t.Errorf("%v, %+v", err, w.got[len(w.got)-1])
		}
	}
	if err := Start(w, Overwrite, 17); err == nil {
		t.Error("17 passes")
	}
}

func TestOthers(t *testing.T) {
	list := make([]byte, Page)
	for i, id := range []uint32{1, 2, 9} {
		le.PutUint32(list[4*i:], id)
	}
	w := &wire{data: list}
	if got, err := Others(w, &Identity{Management: true}, 2); err != nil || !slices.Equal(got, []uint32{1, 9}) ||
		w.got[0].DW10 != cnsAllocated {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := Others(w, &Identity{}, 3); err == nil {
		t.Errorf("a namespace that the controller does not list: %v", got)
	}
}

func TestParseStatus(t *testing.T) {
	b := make([]byte, statusLog)
	le.PutUint16(b, 0x4000)
	le.PutUint16(b[2:], 2|3<<3|1<<8)
	le.PutUint32(b[4:], 0x13)
	if s, err := ParseStatus(b); err != nil || s != (Status{State: Running, Share: 0.25, Passes: 3, Command: 0x13}) {
		t.Errorf("%+v, %v", s, err)
	}
	b[2] = 5
	if s, err := ParseStatus(b); err == nil {
		t.Errorf("an unknown state: %+v", s)
	}
	if _, err := ParseStatus(b[:511]); err == nil {
		t.Error("a short log")
	}
}

func TestError(t *testing.T) {
	if s := (&Error{"Sanitize", 0x401d}).Error(); !strings.Contains(s, "status 01dh: a sanitize is running") {
		t.Error(s)
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add(controllerPage())
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := ParseIdentity(b); err == nil && (len(id.Serial) > maxWord || len(id.Model) > maxWord ||
			id.Namespaces == 0) {
			t.Errorf("%+v", id)
		}
	})
}

func FuzzNamespace(f *testing.F) {
	f.Add(namespacePage(1000, 0x32, 20, 12<<16|8))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := ParseNamespace(b); err == nil && (n.Size() <= 0 || n.BlockSize < 512 || n.BlockSize > 64<<10) {
			t.Errorf("%+v", n)
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add(make([]byte, Page))
	f.Fuzz(func(t *testing.T, b []byte) {
		ids, err := ParseList(b)
		if err == nil && (len(ids) > Page/4 || !slices.IsSorted(ids)) {
			t.Errorf("%v", ids)
		}
	})
}

func FuzzStatus(f *testing.F) {
	f.Add(make([]byte, statusLog))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseStatus(b); err == nil && (s.Share < 0 || s.Share >= 1 || s.Passes > 31) {
			t.Errorf("%+v", s)
		}
	})
}
