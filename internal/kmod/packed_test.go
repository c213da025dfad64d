package kmod

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestPack(t *testing.T) {
	tool := need.Tool(t, "zstd")
	p, err := NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	for name, module := range map[string][]byte{"none": {}, "small": []byte("\x7fELF"),
		"large": bytes.Repeat([]byte("0123456789abcdef"), 1<<20)} {
		packed := p.Pack(module)
		if !bytes.Equal(packed, p.Pack(module)) {
			t.Errorf("%s: the same module gave different bytes", name)
		}
		got, err := Unpack(bytes.NewReader(packed))
		if err != nil || !bytes.Equal(got, module) {
			t.Errorf("%s: %d bytes came back of %d, %v", name, len(got), len(module), err)
		}
		if len(module) == 0 {
			continue
		}
		cmd := exec.Command(tool, "-dc")
		cmd.Stdin = bytes.NewReader(packed)
		if out, err := cmd.Output(); err != nil || !bytes.Equal(out, module) {
			t.Errorf("%s: zstd unpacks %d bytes of %d, %v", name, len(out), len(module), err)
		}
		for _, n := range []int{1, len(packed) / 2, len(packed) - 1} {
			if _, err := Unpack(bytes.NewReader(packed[:n])); err == nil {
				t.Errorf("%s: %d of %d bytes pass for the module", name, n, len(packed))
			}
		}
		packed[len(packed)-1] ^= 1
		if _, err := Unpack(bytes.NewReader(packed)); err == nil {
			t.Errorf("%s: a wrong sum passes", name)
		}
	}
}

func TestUnpackHasALimit(t *testing.T) {
	p, err := NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	packed := p.Pack(make([]byte, 1000))
	if got, err := unpack(bytes.NewReader(packed), 1000); err != nil || len(got) != 1000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := unpack(bytes.NewReader(packed), 999); err == nil || !strings.Contains(err.Error(), "999 bytes") {
		t.Errorf("one byte too many: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	p, err := NewPacker()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Pack([]byte("\x7fELF, and so on")))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, data []byte) {
		module, err := unpack(bytes.NewReader(data), 1<<20)
		if err == nil && len(module) > 1<<20 {
			t.Fatalf("%d bytes", len(module))
		}
	})
}
