package convert

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func TestPartclone(t *testing.T) {
	t.Parallel()
	path, data := sample(t)
	for _, c := range []struct{ name, tool string }{{"-a0", "extfs"}, {"-a1", "extfs"}, {"-a1 -k 7", "extfs"},
		{"-a1 -K", "extfs"}, {"-a1 -k 3 -K", "extfs"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			need.Tools(t, "partclone."+c.tool)
			dir := volumetest.Dir(t)
			out := filepath.Join(dir, "image")
			args := append(strings.Fields(c.name), "-c", "-s", path, "-o", out, "-L", filepath.Join(dir, "log"))
			volumetest.Run(t, "partclone."+c.tool, args...)
			d := openDisk(t, out)
			got := content(t, d)
			// partclone takes what the file system uses; of the sample, nothing else is there.
			same(t, data[:sampleSize], got)
			restored := filepath.Join(dir, "restored")
			if err := os.WriteFile(restored, got, 0o600); err != nil {
				t.Fatal(err)
			}
			volumetest.Run(t, "e2fsck", "-fn", restored)

			p, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			for name, at := range map[string]int{"header": 60, "bitmap": 200, "data": len(p) - 5000} {
				bad := bytes.Clone(p)
				bad[at] ^= 1
				if err := readPartclone(bytes.NewReader(bad), testScratch(t)); err == nil &&
					(name != "data" || c.name != "-a0") {
					t.Errorf("damage in the %s was not noticed", name)
				}
			}
			if err := readPartclone(bytes.NewReader(p[:len(p)-9]), testScratch(t)); err == nil ||
				!strings.Contains(err.Error(), "truncated") {
				t.Errorf("a truncated image: %v", err)
			}
		})
	}
}

// build makes a partclone image in any mode, for those that the packaged partclone does not write.
func build(data []byte, block int, mode uint16, strip int, reseed, version1 bool) []byte {
	blocks := len(data) / block
	var out []byte
	if version1 {
		out = make([]byte, partcloneHead1)
		copy(out, "partclone-image")
		copy(out[15:], "EXTFS")
		copy(out[30:], "0001")
		le.PutUint32(out[36:], uint32(block))
		le.PutUint64(out[40:], uint64(len(data)))
		le.PutUint64(out[48:], uint64(blocks))
		for i := range blocks {
			out = append(out, byte(1-i%2))
		}
		out = append(out, partcloneEnd...)
		for i := 0; i < blocks; i += 2 {
			out = append(append(out, data[i*block:(i+1)*block]...), 1, 2, 3, 4)
		}
		return out
	}
	out = make([]byte, partcloneHead2)
	copy(out, "partclone-image")
	copy(out[30:], "0002")
	le.PutUint16(out[34:], 0xc0de)
	copy(out[36:], "EXTFS")
	le.PutUint64(out[52:], uint64(len(data)))
	le.PutUint64(out[60:], uint64(blocks))
	le.PutUint32(out[84:], uint32(block))
	le.PutUint16(out[96:], mode)
	le.PutUint16(out[98:], map[uint16]uint16{sumNone: 0, sumCRC32: 4, sumXXH64: 8, sumXXH128: 16, sumLegacy: 4}[mode])
	le.PutUint32(out[100:], uint32(strip))
	out[105] = 1
	if reseed {
		out[104] = 1
	}
	le.PutUint32(out[106:], rawCRC(out[:106]))
	bitmap := make([]byte, (blocks+7)/8)
	for i := 0; i < blocks; i += 2 {
		bitmap[i/8] |= 1 << (i % 8)
	}
	out = append(out, bitmap...)
	out = le.AppendUint32(out, rawCRC(bitmap))
	s, n := newSummer(mode), 0
	end := func() {
		if s != nil {
			out = append(out, s.sum(le)...)
			if reseed {
				s.Reset()
			}
		} else if mode == sumLegacy {
			out = append(out, 9, 9, 9, 9)
		}
		n = 0
	}
	for i := 0; i < blocks; i += 2 {
		p := data[i*block : (i+1)*block]
		out = append(out, p...)
		if s != nil {
			_, _ = s.Write(p)
		}
		if n++; n == strip {
			end()
		}
	}
	if n > 0 {
		end()
	}
	return out
}

func everySecond(data []byte, block int) []byte {
	want := bytes.Clone(data)
	for i := block; i < len(want); i += 2 * block {
		clear(want[i : i+block])
	}
	return want
}

func TestPartcloneModes(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 16*1024)
	const block = 1024
	want := everySecond(data, block)
	for _, c := range []struct {
		mode             uint16
		strip            int
		reseed, version1 bool
	}{{sumNone, 0, false, false}, {sumCRC32, 5, true, false}, {sumXXH64, 5, true, false}, {sumXXH64, 4, false, false},
		{sumXXH128, 2560, true, false}, {sumXXH128, 3, false, false}, {sumLegacy, 1, true, false},
		{0, 0, false, true}} {
		image := build(data, block, c.mode, c.strip, c.reseed, c.version1)
		d := testScratch(t)
		if err := readPartclone(bytes.NewReader(image), d); err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		d.done()
		same(t, want, content(t, d))
		if c.mode == sumXXH64 || c.mode == sumXXH128 {
			image[len(image)-40] ^= 1
			if err := readPartclone(bytes.NewReader(image), testScratch(t)); err == nil ||
				!strings.Contains(err.Error(), "checksum") {
				t.Errorf("%+v: damage was not noticed: %v", c, err)
			}
		}
	}
}
