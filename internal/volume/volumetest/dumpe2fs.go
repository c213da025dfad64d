package volumetest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
)

// Dumpe2fs returns the runs of an ext that are not among the free blocks that dumpe2fs lists, and the bytes that are
// used by its count of free blocks.
func Dumpe2fs(t testing.TB, image string) (used []volume.Extent, counted int64) {
	t.Helper()
	info, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	out := Run(t, "dumpe2fs", image)
	number := func(name string) (n int64) {
		if _, rest, ok := strings.Cut(out, "\n"+name+":"); ok {
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatalf("dumpe2fs says no number of %s: %v", name, err)
			}
		}
		return n
	}
	block := number("Block size")
	// Of a cluster, dumpe2fs names the first block.
	inCluster := max(number("Cluster size"), block) / block
	free := volume.NewRuns(info.Size())
	for line := range strings.Lines(out) {
		list, ok := strings.CutPrefix(line, "  Free blocks: ")
		if !ok {
			continue
		}
		for _, r := range strings.Split(strings.TrimSpace(list), ", ") {
			var a, b int64
			switch n, _ := fmt.Sscanf(r, "%d-%d", &a, &b); n {
			case 0:
				continue
			case 1:
				b = a
			}
			b |= inCluster - 1
			free.Add(a*block, (b-a+1)*block)
		}
	}
	blocks := number("Block count")
	return volume.Invert(free.Extents(), blocks*block), (blocks - number("Free blocks")) * block
}

// Rdump lists the files that debugfs finds in an ext. It reads also what this kernel cannot mount.
func Rdump(t testing.TB, image string) string {
	t.Helper()
	dir := Dir(t)
	RunIn(t, "rdump / "+dir+"\n", "debugfs", "-f", "-", image)
	return List(t, dir)
}
