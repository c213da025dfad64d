package swap

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

func TestHibernated(t *testing.T) {
	path := volumetest.Mkfs(t, "swap", 8*mib, "")
	f, _ := volumetest.Open(t, path)
	for _, signature := range hibernated {
		if _, err := f.WriteAt([]byte(signature), 4096-10); err != nil {
			t.Fatal(err)
		}
		wantSuspended(t, path)
	}
}

// TestTuxOnIce has the mark of TuxOnIce at the first byte of an area that says SWAPSPACE2 as ever.
func TestTuxOnIce(t *testing.T) {
	for _, page := range []string{"4096", "65536"} {
		path := volumetest.Mkfs(t, "swap", 8*mib, "-p "+page)
		f, _ := volumetest.Open(t, path)
		if _, err := f.WriteAt([]byte("\xed\xc3\x02\xe9\x98\x56\xe5\x0c"), 0); err != nil {
			t.Fatal(err)
		}
		wantSuspended(t, path)
	}
}

// wantSuspended wants all of the area captured, and a note, where blkid says swsuspend.
func wantSuspended(t *testing.T, path string) {
	t.Helper()
	f, size := volumetest.Open(t, path)
	fs, err := Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	ext, _ := fs.Extents()
	if d := cmp.Diff([]volume.Extent{{Length: size}}, ext); d != "" {
		t.Error(d)
	}
	volumetest.LikeBlkid(t, path, fs)
	if info := fs.Info(); info.Clean || !strings.Contains(strings.Join(info.Notes, " "), "hibernated") {
		t.Errorf("%+v", info)
	}
}

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }
