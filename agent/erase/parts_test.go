package erase

import (
	"bytes"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/erasure"
)

// TestPlaces holds a sample against what it must be at any size: in order, whole blocks, inside the disk, both ends in
// it, everywhere something.
func TestPlaces(t *testing.T) {
	for _, size := range []int64{block, placeSize, placeSize + block, diskSize, 256 * mib, 256*mib + block,
		500107862016,
		1000204886016, 20e12 / block * block, 1<<50 - block} {
		for s := range 5 {
			all := places(size, [32]byte{byte(s)})
			end, read, gap := int64(0), int64(0), int64(0)
			for _, p := range all {
				if p.off < end || p.off%block != 0 || p.n <= 0 || p.n > placeSize || p.n%block != 0 {
					t.Fatalf("size %d: place %+v after %d", size, p, end)
				}
				gap = max(gap, p.off-end)
				end, read = p.off+p.n, read+p.n
			}
			if all[0].off != 0 || end != size {
				t.Errorf("size %d: from %d to %d", size, all[0].off, end)
			}
			if gap > 2*size/subsections || read > 300*mib || read < min(size, 100*mib) {
				t.Errorf("size %d: %d bytes in %d places, with a gap of %d", size, read, len(all), gap)
			}
		}
	}
	if a, b := places(1<<40, [32]byte{1}), places(1<<40, [32]byte{2}); a[40] == b[40] && a[41] == b[41] &&
		a[42] == b[42] {
		t.Error("two seeds have the same places")
	}
}

// TestFill makes the same bytes at a place however it is cut.
func TestFill(t *testing.T) {
	for name, f := range map[string]filler{"zeros": pattern{0}, "three": pattern("abc"),
		"long": pattern(bytes.Repeat([]byte("0123456"), 9)), "stream": newStream([]byte("seed"), "x")} {
		whole := make([]byte, 64<<10)
		f.fill(whole, 0)
		for _, cut := range []int{16, 512, 4096, 4112, 60000} {
			part := make([]byte, len(whole)-cut)
			f.fill(part, int64(cut))
			if !bytes.Equal(part, whole[cut:]) {
				t.Errorf("%s: other bytes from %d on", name, cut)
			}
		}
	}
	p := make([]byte, 6)
	if pattern("abc").fill(p, 1<<40+1); string(p) != "cabcab" { // 2^40+1 is 2 more than a multiple of 3
		t.Errorf("%s", p)
	}
	a, b := make([]byte, 32), make([]byte, 32)
	newStream([]byte("seed"), "x").fill(a, 0)
	newStream([]byte("seed"), "y").fill(b, 0)
	if bytes.Equal(a, b) || bytes.Equal(a[:16], a[16:]) {
		t.Error("the stream repeats itself")
	}
}

// TestMethods has a way to do each method that can be asked for, and no other.
func TestMethods(t *testing.T) {
	if len(methods) != len(erasure.Methods) {
		t.Errorf("%d methods, of %d that can be asked for", len(methods), len(erasure.Methods))
	}
	for _, name := range erasure.Methods {
		if m := lookUp(name); m == nil || m.can == nil || m.run == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestLarge notes and reads back a sample of a disk of which nobody reads everything.
func TestLarge(t *testing.T) {
	d := withATA(newDisk())
	d.size = 1 << 42
	res, err := newWorld(t, d).erase(erasure.Spec{Method: erasure.ATAErase})
	if err != nil || res.ReadBack.Witnesses < 2*subsections || res.ReadBack.Zeros != res.ReadBack.Blocks ||
		res.ReadBack.Blocks < 2*subsections*placeSize/block {
		t.Fatalf("%v, %+v", err, res.ReadBack)
	}
	d = withATA(newDisk())
	d.size, d.lies = 1<<42, true
	res, err = newWorld(t, d).erase(erasure.Spec{Method: erasure.ATAErase})
	if err == nil || res.ReadBack.Kept != res.ReadBack.Blocks {
		t.Errorf("%v, %+v", err, res.ReadBack)
	}
}

func TestNotReadBack(t *testing.T) {
	res, err := newWorld(t, full(erasure.NVMeSanitizeBlock)).erase(erasure.Spec{Method: erasure.NVMeSanitizeBlock,
		ReadBack: erasure.ReadNone})
	if err != nil || !res.OK || res.ReadBack.Bytes != 0 || !strings.Contains(res.Reason, "nothing was read back") {
		t.Errorf("%v, %+v", err, res)
	}
}
