package restore_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// mdSuperblock is what makes a device a member of an md set, metadata 1.x, to mdadm and blkid alike.
func mdSuperblock(at int64) string {
	p := make([]byte, 260)
	le := binary.LittleEndian
	le.PutUint32(p, 0xa92b4efc)
	le.PutUint32(p[4:], 1)
	copy(p[16:], "0123456789abcdef")
	le.PutUint32(p[72:], 1)
	le.PutUint64(p[80:], 1000)
	le.PutUint32(p[92:], 2)
	le.PutUint64(p[128:], 2048)
	le.PutUint64(p[136:], 1000)
	le.PutUint64(p[144:], uint64(at/512))
	le.PutUint32(p[220:], 2)
	var n uint64
	for i := 0; i < len(p); i += 4 {
		n += uint64(le.Uint32(p[i:]))
	}
	le.PutUint32(p[216:], uint32(n)+uint32(n>>32))
	return string(p)
}

// probed is what blkid finds in bytes: every signature that wipefs would remove.
func probed(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(volumetest.Run(t, "wipefs", "--no-act", "--noheadings", "--output", "TYPE",
		path)), " ")
}

// TestLeftovers restores to a disk that was something else as a whole, and whose partitions were. Nothing of that is
// left for wipefs, and what it was is named before. The image's partitions are swap areas: of each the first page is in
// the image, and nothing else.
func TestLeftovers(t *testing.T) {
	const size, mib = 40 * gapsMiB, gapsMiB
	src := make([]byte, size)
	gptOn(t, src, 16*mib, 20*mib)
	im := captured(t, src, 512, capture.Options{})
	parts := im.Config().Table.Partitions
	for _, p := range parts {
		swapHeader(src[p.Start:p.End()])
	}
	im = captured(t, src, 512, capture.Options{})
	if stored := im.Config().Stored; stored > 64<<10 {
		t.Fatalf("%d bytes stored: the swap areas are not known", stored)
	}
	const bcachefs = "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"
	for _, c := range []struct {
		name, sig, want string
		at              func(size int64) int64
		blind           bool // wipefs wants more than the signature
	}{
		{"Intel", "Intel Raid ISM Cfg Sig. 1.3.00", "Intel RST", func(n int64) int64 { return n - 1024 }, false},
		{"DDF", "\xde\x11\xde\x11", "DDF", func(n int64) int64 { return n - 512 }, true},
		{"NVIDIA", "NVIDIA", "NVIDIA RAID", func(n int64) int64 { return n - 1024 }, true},
		{"Promise, the farthest", "Promise Technology, Inc.", "Promise", func(n int64) int64 { return n - 3087*512 },
			false},
		{"md 1.0", "", "md set", func(n int64) int64 { return (n/512 - 16) &^ 7 * 512 }, false},
		{"md 1.2", "", "md set", func(n int64) int64 { return 4096 }, false},
		{"LVM", "LABELONE\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00LVM2 001", "LVM",
			func(n int64) int64 { return 512 }, true},
		{"ZFS, a label at the end", "\x0c\xb1\xba\x00\x00\x00\x00\x00", "ZFS pool",
			func(n int64) int64 { return n&^(256<<10-1) - 256<<10 + 128<<10 + 1024 }, true},
		{"bcache", "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "bcache",
			func(int64) int64 { return 4096 + 24 }, true},
		{"bcachefs, the second", bcachefs, "bcachefs", func(int64) int64 { return 2*mib + 24 }, true},
		{"LUKS2, the last place", "SKUL\xba\xbe\x00\x02", "LUKS2", func(int64) int64 { return 4 * mib }, true},
		{"VMFS member", "\x0d\xd0\x01\xc0", "VMFS datastore", func(int64) int64 { return mib }, false},
		{"VMFS", "\x5e\xf1\xab\x2f", "VMFS datastore", func(int64) int64 { return 2 * mib }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for where, region := range map[string][2]int64{"the disk": {0, size},
				"what is partition 1 now": {parts[0].Start, parts[0].Size},
				"what is partition 2 now": {parts[1].Start, parts[1].Size}} {
				start, n := region[0], region[1]
				b := make([]byte, size)
				sig := c.sig
				if sig == "" {
					sig = mdSuperblock(c.at(n))
				}
				copy(b[start+c.at(n):], sig)
				if found := probed(t, b[start:start+n]); found == "" && !c.blind {
					t.Fatalf("%s: wipefs finds nothing to begin with", where)
				}
				target := imagetest.NewMemory(b, 512)
				p, err := restore.NewPlan(im.Config(), im.Index(), size, 512)
				if err != nil {
					t.Fatal(err)
				}
				words, err := p.Leftovers(target)
				// The image has bytes of its own there.
				own := c.name == "LVM" && start > 0 || c.name == "VMFS member" && start == 0
				all := strings.Join(words, "\n")
				if err != nil || !own && (len(words) == 0 || !strings.Contains(all, where+" was ") ||
					!strings.Contains(words[0], c.want)) {
					t.Errorf("%s: %q, %v", where, words, err)
				}
				if _, err := restore.Local(t.Context(), im, target, restore.LocalOptions{Verify: true}); err != nil {
					t.Fatal(err)
				}
				if words, err := p.Leftovers(target); err != nil || len(words) > 0 {
					t.Errorf("%s, afterwards: %q, %v", where, words, err)
				}
				if got := probed(t, b); got != "gpt gpt PMBR" {
					t.Errorf("%s: wipefs finds %q on the disk", where, got)
				}
				for _, p := range parts {
					if got := probed(t, b[p.Start:p.End()]); got != "swap" {
						t.Errorf("%s: wipefs finds %q in partition %d", where, got, p.Number)
					}
				}
			}
		})
	}
}

// TestLeftoversOfTheImage restores what is itself a member of a set: that is the image's, and no leftover.
func TestLeftoversOfTheImage(t *testing.T) {
	const size = 24 * gapsMiB
	src := make([]byte, size)
	gptOn(t, src, 16*gapsMiB)
	im := captured(t, src, 512, capture.Options{})
	part := im.Config().Table.Partitions[0]
	copy(src[part.Start+4096:], mdSuperblock(4096))
	im = captured(t, src, 512, capture.Options{})
	target := dirty(size, 512)
	if _, err := restore.Local(t.Context(), im, target, restore.LocalOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := restore.NewPlan(im.Config(), im.Index(), size, 512)
	if err != nil {
		t.Fatal(err)
	}
	if words, err := p.Leftovers(target); err != nil || len(words) > 0 {
		t.Errorf("%q, %v", words, err)
	}
}

// TestLeftoversBeside restores one partition: what lies in the others, and at the disk's end, stays as it is.
func TestLeftoversBeside(t *testing.T) {
	const size = 40 * gapsMiB
	disk := make([]byte, size)
	gptOn(t, disk, 16*gapsMiB, 20*gapsMiB)
	src := make([]byte, 16*gapsMiB)
	swapHeader(src)
	im := captured(t, src, 512, capture.Options{})
	target := imagetest.NewMemory(disk, 512)
	found, err := partition.Find(target, size, 512, partition.By{Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	next := found.Table.Partitions[1]
	copy(disk[next.Start+4096:], mdSuperblock(4096))
	copy(disk[next.End()-1024:], "Intel Raid ISM Cfg Sig. 1.3.00")
	copy(disk[found.Start+4096:], mdSuperblock(4096))
	before := string(disk[:found.Start]) + string(disk[found.End():])
	p, err := restore.OpenPartition(target, partition.By{Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	if _, err := restore.Local(t.Context(), im, p.Window, restore.LocalOptions{Plan: p.Options(),
		Planned: func(plan *restore.Plan) { words, err = plan.Leftovers(p.Window) }}); err != nil {
		t.Fatal(err)
	}
	if err != nil || len(words) != 1 || !strings.Contains(words[0], "the partition was a member of an md set") {
		t.Errorf("%q, %v", words, err)
	}
	if before != string(disk[:found.Start])+string(disk[found.End():]) {
		t.Error("bytes beside the partition were changed")
	}
	if got := probed(t, disk[found.Start:found.End()]); got != "swap" {
		t.Errorf("wipefs finds %q in the partition", got)
	}
}
