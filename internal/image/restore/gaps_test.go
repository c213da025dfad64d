package restore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume/table"
)

const gapsMiB = 1 << 20

// swapHeader makes a disk seem to be a swap area of its size, whose reader calls everything but the first page free.
func swapHeader(b []byte) {
	binary.LittleEndian.PutUint32(b[1024:], 1)
	binary.LittleEndian.PutUint32(b[1028:], uint32(len(b)/4096-1))
	copy(b[4086:], "SWAPSPACE2")
}

// dosEntries writes a boot sector with entries of type, start, sectors.
func dosEntries(b []byte, entries ...uint32) {
	copy(b[440:], []byte{1, 2, 3, 4})
	for i := 0; i+2 < len(entries); i += 3 {
		e := b[446+16*(i/3):]
		e[4] = byte(entries[i])
		binary.LittleEndian.PutUint32(e[8:], entries[i+1])
		binary.LittleEndian.PutUint32(e[12:], entries[i+2])
	}
	b[510], b[511] = 0x55, 0xaa
}

func gptOn(t *testing.T, b []byte, sizes ...int64) {
	t.Helper()
	if err := table.Write(imagetest.NewMemory(b, 512), imagetest.GPT(int64(len(b)), 512, sizes...), int64(len(b)),
		512); err != nil {
		t.Fatal(err)
	}
}

// Whatever a table names or does not name, no byte that is not zero is lost. Each disk has random bytes from 5 to 7
// MiB, and seems to be a swap area as a whole, as if a table had been laid over it.
func TestNothingIsLost(t *testing.T) {
	const size = 24 * gapsMiB
	for _, c := range []struct {
		name    string
		refused bool
		make    func(t *testing.T, b []byte)
	}{
		{"entry without a type", true, func(t *testing.T, b []byte) { dosEntries(b, 0, 64, 40000, 0xef, 136, 100) }},
		{"type 0 behind a partition", true,
			func(t *testing.T, b []byte) { dosEntries(b, 0x83, 2048, 2048, 0, 8192, 20000) }},
		{"overlap", true, func(t *testing.T, b []byte) { dosEntries(b, 0x83, 2048, 8192, 0x83, 10239, 9000) }},
		{"beyond the end", true, func(t *testing.T, b []byte) { dosEntries(b, 0x83, 2048, 8192, 0x83, 12000, 90000) }},
		{"no entry", true, func(t *testing.T, b []byte) { dosEntries(b) }},
		{"between and behind", false,
			func(t *testing.T, b []byte) { dosEntries(b, 0x83, 2048, 2048, 0x83, 16384, 8192) }},
		{"container without partitions", false,
			func(t *testing.T, b []byte) { dosEntries(b, 0x83, 2048, 2048, 0x05, 8192, 30000) }},
		{"GPT, loader between", false, func(t *testing.T, b []byte) { gptOn(t, b, gapsMiB, 2*gapsMiB) }},
		{"GPT, both copies damaged", true, func(t *testing.T, b []byte) {
			gptOn(t, b, 10*gapsMiB)
			b[520] ^= 1
			b[size-500] ^= 1
		}},
		{"GPT, first sector overwritten", true, func(t *testing.T, b []byte) {
			gptOn(t, b, 10*gapsMiB)
			clear(b[:512])
		}},
		{"GPT, first and second sector overwritten", true, func(t *testing.T, b []byte) {
			gptOn(t, b, 10*gapsMiB)
			clear(b[:1024])
		}},
		{"GPT whose backup's place has other bytes", true, func(t *testing.T, b []byte) {
			gptOn(t, b, gapsMiB)
			imagetest.Random(b[size-8192:], 7)
		}},
		{"GPT, the MBR names the middle of a partition", true, func(t *testing.T, b []byte) {
			gptOn(t, b, 10*gapsMiB)
			e := b[446+16:]
			e[4] = 0x83
			binary.LittleEndian.PutUint32(e[8:], 9000)
			binary.LittleEndian.PutUint32(e[12:], 9000)
		}},
		{"dos beside a GPT that contradicts it", true, func(t *testing.T, b []byte) {
			gptOn(t, b, 10*gapsMiB)
			clear(b[446:510])
			dosEntries(b, 0x83, 4096, 20000)
		}},
		{"file system's boot sector with entries", true, func(t *testing.T, b []byte) {
			copy(b, []byte{0xeb, 0x3c, 0x90, 'M', 'S', 'D', 'O', 'S', '5', '.', '0', 0, 2, 4, 1, 0, 2, 0, 2, 0, 0,
				0xf8})
			dosEntries(b, 0x0e, 63, 20000)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := make([]byte, size)
			swapHeader(src)
			c.make(t, src)
			imagetest.Random(src[5*gapsMiB:7*gapsMiB], 3)
			im := captured(t, src, 512, capture.Options{})
			if tbl := im.Config().Table; tbl.Refused != c.refused || c.refused && len(tbl.Notes) == 0 {
				t.Errorf("refused %v, notes %q", tbl.Refused, tbl.Notes)
			}
			target := dirty(size, 512)
			if _, err := restore.Local(context.Background(), im, target,
				restore.LocalOptions{Verify: true}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(src, target.Bytes()) {
				for i := range src {
					if src[i] != target.Bytes()[i] {
						t.Fatalf("byte %d is %d, was %d", i, target.Bytes()[i], src[i])
					}
				}
			}
		})
	}
}

// gapDisk has two partitions and random bytes behind them, at 16 MiB.
func gapDisk(t *testing.T) []byte {
	b := make([]byte, 24*gapsMiB)
	gptOn(t, b, gapsMiB, 2*gapsMiB)
	imagetest.Random(b[16*gapsMiB:16*gapsMiB+5000], 5)
	return b
}

func TestDropGaps(t *testing.T) {
	src := gapDisk(t)
	im := captured(t, src, 512, capture.Options{Survey: []capture.SurveyOption{capture.DropGaps()}})
	notes := strings.Join(im.Config().Table.Notes, " ")
	if im.Config().Stored > gapsMiB ||
		!strings.Contains(notes, " bytes that lie in no partition and are not zero are not in the image") {
		t.Errorf("%d bytes stored, notes %q", im.Config().Stored, notes)
	}
	if _, err := restore.NewPlan(im.Config(), im.Index(), 8*gapsMiB, 512); err != nil {
		t.Error(err)
	}
}

// On a smaller disk only bytes that are not zero count, and they are named.
func TestGapsThatDoNotFit(t *testing.T) {
	im := captured(t, gapDisk(t), 512, capture.Options{})
	_, err := restore.NewPlan(im.Config(), im.Index(), 8*gapsMiB, 512)
	if err == nil || !strings.Contains(err.Error(), "from byte 16777216 on, in no partition") ||
		!strings.Contains(err.Error(), "--gaps drop") {
		t.Errorf("got %v", err)
	}
	if _, err := restore.NewPlan(im.Config(), im.Index(), 20*gapsMiB, 512); err != nil {
		t.Error(err)
	}
}

// A last partition that is too large says how much of it is needed: by its file system, and with what lies behind that.
func TestTooSmallForBehind(t *testing.T) {
	b := make([]byte, 24*gapsMiB)
	gptOn(t, b, gapsMiB, 20*gapsMiB)
	im := captured(t, b, 512, capture.Options{})
	at := im.Config().Partitions[1].Start
	imagetest.Random(b[at+9*gapsMiB:at+10*gapsMiB], 5)
	im = captured(t, b, 512, capture.Options{})
	cfg := *im.Config()
	cfg.Partitions = append([]image.Partition(nil), cfg.Partitions...)
	cfg.Partitions[1].FS, cfg.Partitions[1].FSSize = "ext4", 4*gapsMiB
	_, err := restore.NewPlan(&cfg, im.Index(), 8*gapsMiB, 512)
	if want := "its file system needs 4194304, and with what else the image has behind it 10485760; choose a larger " +
		"disk"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// A partition does not grow over bytes of the image.
func TestGrowStopsAtGapBytes(t *testing.T) {
	im := captured(t, gapDisk(t), 512, capture.Options{})
	cfg := *im.Config()
	cfg.Partitions = append([]image.Partition(nil), cfg.Partitions...)
	cfg.Partitions[1].FS, cfg.Partitions[1].FSSize = "ext4", cfg.Partitions[1].Size
	p, err := restore.NewPlan(&cfg, im.Index(), 64*gapsMiB, 512, restore.Grow())
	if err != nil {
		t.Fatal(err)
	}
	if g := p.Growth(); g.Start+g.To != 16*gapsMiB || len(p.Warnings()) != 1 ||
		!strings.Contains(p.Warnings()[0], "has bytes at 16777216") {
		t.Errorf("%+v, warnings %q", g, p.Warnings())
	}
}
