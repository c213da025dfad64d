package rule

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// by takes partclone's word.
func by(tool string) func(*testing.T, string) []volume.Extent {
	return func(t *testing.T, image string) []volume.Extent { return volumetest.PartcloneFree(t, tool, image) }
}

// freeOfExt reads "  Free blocks: 12-30, 77" of every group of dumpe2fs.
func freeOfExt(t *testing.T, image string) []volume.Extent {
	var block int64
	_, size := volumetest.Open(t, image)
	runs := volume.NewRuns(size)
	for line := range strings.Lines(volumetest.Run(t, "dumpe2fs", image)) {
		line = strings.TrimSpace(line)
		if n, ok := strings.CutPrefix(line, "Block size:"); ok {
			scan(t, n, "%d", &block)
		}
		list, ok := strings.CutPrefix(line, "Free blocks:")
		if !ok || strings.Trim(list, " 0123456789") == "" && !strings.HasPrefix(list, " ") || block == 0 {
			continue
		}
		for _, item := range strings.Split(list, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			var from, to int64
			if strings.Contains(item, "-") {
				scan(t, item, "%d-%d", &from, &to)
			} else {
				scan(t, item, "%d", &from)
				to = from
			}
			runs.Add(from*block, (to-from+1)*block)
		}
	}
	return runs.Extents()
}

// freeOfXFS reads the three columns of xfs_db's dump of the free space: allocation group, block in it, blocks.
func freeOfXFS(t *testing.T, image string) []volume.Extent {
	_, size := volumetest.Open(t, image)
	var block, perGroup int64
	for line := range strings.Lines(volumetest.Run(t, "xfs_db", "-r", "-f", "-c", "sb 0", "-c",
		"print blocksize agblocks", image)) {
		if n, ok := strings.CutPrefix(line, "blocksize = "); ok {
			scan(t, n, "%d", &block)
		}
		if n, ok := strings.CutPrefix(line, "agblocks = "); ok {
			scan(t, n, "%d", &perGroup)
		}
	}
	runs := volume.NewRuns(size)
	s := bufio.NewScanner(strings.NewReader(volumetest.Run(t, "xfs_db", "-r", "-f", "-c", "freesp -d", image)))
	for s.Scan() {
		var group, at, n int64
		if k, err := fmt.Sscanf(s.Text(), "%d %d %d", &group, &at, &n); k != 3 || err != nil ||
			len(strings.Fields(s.Text())) != 3 {
			continue // the histogram below the list
		}
		runs.Add((group*perGroup+at)*block, n*block)
	}
	if block == 0 || perGroup == 0 {
		t.Fatal("xfs_db tells neither the size of a block nor of a group")
	}
	return runs.Extents()
}

// freeOfSwap is what a swap area that nobody uses has behind its header, which fills the first page (mkswap(8)).
func freeOfSwap(t *testing.T, image string) []volume.Extent {
	_, size := volumetest.Open(t, image)
	return []volume.Extent{{Offset: 4096, Length: size - 4096}}
}

func scan(t *testing.T, s, format string, to ...any) {
	t.Helper()
	if _, err := fmt.Sscanf(strings.TrimSpace(s), format, to...); err != nil {
		t.Fatalf("%q is not %q: %v", s, format, err)
	}
}
