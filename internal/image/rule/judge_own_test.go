package rule

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// freeOfFAT reads the first table by Microsoft's specification of FAT, because partclone misreads tables of 12 bits: it
// calls free clusters used. An entry of zero is a free cluster; fsck.fat says how many there must be.
func freeOfFAT(t *testing.T, image string) []volume.Extent {
	f, size := volumetest.Open(t, image)
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	sector, cluster := int64(le.Uint16(b[11:])), int64(b[13])
	total, perFAT := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	if perFAT == 0 {
		perFAT = int64(le.Uint32(b[36:]))
	}
	fat := int64(le.Uint16(b[14:]))
	data := fat + int64(b[16])*perFAT + (int64(le.Uint16(b[17:]))*32+sector-1)/sector
	clusters := (total - data) / cluster
	table := b[fat*sector:]
	entry := func(n int64) uint32 {
		switch {
		case clusters < 4085:
			return uint32(le.Uint16(table[n*3/2:])) >> (n % 2 * 4) & 0xfff
		case clusters < 65525:
			return uint32(le.Uint16(table[2*n:]))
		}
		return le.Uint32(table[4*n:]) & 0xfffffff
	}
	runs := volume.NewRuns(size)
	used := int64(0)
	for n := range clusters {
		if entry(n+2) == 0 {
			runs.Add((data+n*cluster)*sector, cluster*sector)
		} else {
			used++
		}
	}
	if out := volumetest.Run(t, "fsck.fat", "-n", image); !strings.Contains(out,
		fmt.Sprintf(" %d/%d clusters", used, clusters)) {
		t.Fatalf("%d of %d clusters are used; fsck.fat says %s", used, clusters, out)
	}
	return runs.Extents()
}

// freeOfBtrfs reads what btrfs-progs print of the trees of chunks and of extents, because partclone marks each extent
// once more where the device has its logical address. Free is what no chunk has, behind the first MiB, and in a chunk
// what no extent has; but for the copies of the superblock.
func freeOfBtrfs(t *testing.T, image string) []volume.Extent {
	_, size := volumetest.Open(t, image)
	var node int64
	for line := range strings.Lines(volumetest.Run(t, "btrfs", "inspect-internal", "dump-super", image)) {
		if n, ok := strings.CutPrefix(line, "nodesize"); ok {
			scan(t, n, "%d", &node)
		}
	}
	type stripe struct{ logical, length, physical int64 }
	var stripes []stripe
	var at, length int64
	for line := range strings.Lines(volumetest.Run(t, "btrfs", "inspect-internal", "dump-tree", "-t", "chunk", image)) {
		w := strings.Fields(line)
		switch {
		case strings.Contains(line, "CHUNK_ITEM "):
			scan(t, line[strings.Index(line, "CHUNK_ITEM "):], "CHUNK_ITEM %d)", &at)
		case len(w) > 2 && w[0] == "length":
			scan(t, w[1], "%d", &length)
		case len(w) == 6 && w[0] == "stripe":
			s := stripe{logical: at, length: length}
			scan(t, w[5], "%d", &s.physical)
			stripes = append(stripes, s)
		}
	}
	used := volume.NewRuns(size)
	used.Add(0, mib) // no chunk may lie there; the first superblock does
	for _, super := range []int64{64 << 20, 256 << 30} {
		used.Add(super, 4096)
	}
	lines := bufio.NewScanner(strings.NewReader(volumetest.Run(t, "btrfs", "inspect-internal", "dump-tree", "-t",
		"extent", image)))
	for lines.Scan() {
		_, key, ok := strings.Cut(lines.Text(), " key (")
		var logical, n int64
		var kind string
		if !ok || !strings.Contains(key, "_ITEM ") {
			continue
		}
		if _, err := fmt.Sscanf(key, "%d %s %d", &logical, &kind, &n); err != nil {
			continue // a root
		}
		switch kind {
		case "METADATA_ITEM":
			n = node // what it has here is the level
		case "EXTENT_ITEM":
		default:
			continue
		}
		found := false
		for _, s := range stripes {
			if logical >= s.logical && logical+n <= s.logical+s.length {
				used.Add(s.physical+logical-s.logical, n)
				found = true
			}
		}
		if !found {
			t.Fatalf("no chunk holds the extent %s", key)
		}
	}
	if node == 0 || len(stripes) == 0 {
		t.Fatal("btrfs tells no chunks")
	}
	return volume.Invert(used.Extents(), size)
}
