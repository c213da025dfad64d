package volume_test

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/fat"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// tools is a check by programs that fail when they find something wrong; the image is their last argument.
func tools(commands ...string) func(t *testing.T, image string) {
	return func(t *testing.T, image string) {
		for _, c := range commands {
			words := append(strings.Fields(c), image)
			volumetest.Run(t, words[0], words[1:]...)
		}
	}
}

func fsckF2fs(t *testing.T, image string) {
	if out := volumetest.Run(t, "fsck.f2fs", "--dry-run", image); !strings.Contains(out, "[Ok..]") ||
		strings.Contains(out, "[Fail]") {
		t.Errorf("fsck.f2fs: %s", out)
	}
}

// between wants a map to have so many bytes.
func (m mapped) between(t *testing.T, least, most int64) {
	t.Helper()
	if n := m.bytes(); n < least || n > most {
		t.Errorf("%d bytes are used, want from %d to %d: %+v", n, least, most, m.fs.Info())
	}
}

// threeQuarters is for what has no count of its own that could be compared.
func threeQuarters(t *testing.T, m mapped) { m.between(t, 1, m.size*3/4) }

// likeDumpe2fs: what is not free is in the map, and what is in the map is not free.
func likeDumpe2fs(t *testing.T, m mapped) {
	want, counted := volumetest.Dumpe2fs(t, m.image)
	if d := cmp.Diff(want, m.extents); d != "" {
		t.Errorf("map (-dumpe2fs +ours): %s", d)
	}
	if used := m.fs.Info().Used; used != counted {
		t.Errorf("%d bytes used, dumpe2fs counts %d", used, counted)
	}
}

// likeFsckFat compares the number of clusters in use and in all, and the width of the entries.
func likeFsckFat(t *testing.T, m mapped) {
	out := volumetest.Run(t, "fsck.fat", "-n", "-v", m.image)
	number := func(expression string) int64 {
		found := regexp.MustCompile(expression).FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("fsck.fat does not say %s: %s", expression, out)
		}
		n, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	cluster, data := number(`(\d+) bytes per cluster`), number(`Data area starts at byte (\d+)`)
	if ours, theirs := (m.bytes()-data)/cluster, number(`files, (\d+)/\d+ clusters`); ours != theirs {
		t.Errorf("%d clusters are used, fsck.fat counts %d", ours, theirs)
	}
	info := m.fs.Info()
	if all := number(`files, \d+/(\d+) clusters`); (info.Size-data)/cluster != all || info.BlockSize != cluster {
		t.Errorf("%+v, fsck.fat counts %d clusters of %d bytes behind byte %d", info, all, cluster, data)
	}
	if ours, theirs := m.fs.(*fat.FS).Bits(), number(`(\d+) bit entries`); int64(ours) != theirs ||
		!strings.Contains(m.variant.options, fmt.Sprintf("-F %d", theirs)) {
		t.Errorf("FAT%d, fsck.fat says %d", ours, theirs)
	}
}

// likeXFS: free blocks that wait in a group's own list are in the map, and the superblock does not count them.
func likeXFS(t *testing.T, m mapped) {
	var sb [96]byte
	f, _ := volumetest.Open(t, m.image)
	if _, err := f.ReadAt(sb[:], 0); err != nil {
		t.Fatal(err)
	}
	groups := int64(binary.BigEndian.Uint32(sb[88:]))
	info := m.fs.Info()
	m.between(t, info.Used, info.Used+groups*16*info.BlockSize)
}

// tail is what lies behind the last whole cluster of an exFAT, by its boot sector. partclone leaves it out.
func tail(t *testing.T, m mapped, _ int64) (more, less int64) {
	var boot [512]byte
	f, _ := volumetest.Open(t, m.image)
	if _, err := f.ReadAt(boot[:], 0); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	length, heap, clusters := int64(le.Uint64(boot[72:])), int64(le.Uint32(boot[88:])), int64(le.Uint32(boot[92:]))
	return (length - heap - clusters<<boot[109]) << boot[108], 0
}

// blocks lets ours have so many blocks that partclone has not, and the reverse.
func blocks(more, less int64) func(t *testing.T, m mapped, block int64) (int64, int64) {
	return func(_ *testing.T, _ mapped, block int64) (int64, int64) { return more * block, less * block }
}

// onlyHeader: of a swap area its first page is in the map.
func onlyHeader(t *testing.T, m mapped) {
	page := int64(4096)
	if _, n, ok := strings.Cut(m.variant.options, "-p "); ok {
		page, _ = strconv.ParseInt(n, 10, 64)
	}
	if d := cmp.Diff([]volume.Extent{{Length: page}}, m.extents); d != "" || m.fs.Info().Size != m.size {
		t.Errorf("%s %+v", d, m.fs.Info())
	}
}

// poke writes bytes into an image.
func poke(at int64, data string) func(t *testing.T, image string) string {
	return func(t *testing.T, image string) string {
		volumetest.Poke(t, image, at, func(p []byte) { copy(p, data) })
		return ""
	}
}
