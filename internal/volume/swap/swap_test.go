package swap

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

func TestMkswap(t *testing.T) {
	need.Tools(t, "mkswap")
	for _, c := range []struct {
		page int64
		args []string
	}{
		{4096, nil},
		{4096, []string{"-L", "a label"}},
		{4096, []string{"-e", "big"}},
		{8192, []string{"-p", "8192"}},
		{16384, []string{"-p", "16384"}},
		{65536, []string{"-p", "65536"}},
	} {
		t.Run(fmt.Sprint(c.page, c.args), func(t *testing.T) {
			path := volumetest.Sparse(t, 8*mib)
			if len(c.args) > 0 && c.args[0] == "-e" &&
				!strings.Contains(volumetest.Run(t, "mkswap", "--help"), "--endianness") {
				t.Skip("this mkswap writes its own byte order only")
			}
			volumetest.Run(t, "mkswap", append(c.args, path)...)
			f, size := volumetest.Open(t, path)
			fs, err := Open(f, size)
			if err != nil {
				t.Fatal(err)
			}
			ext, err := fs.Extents()
			if d := cmp.Diff([]volume.Extent{{Length: c.page}}, ext); d != "" || err != nil {
				t.Error(d, err)
			}
			if info := fs.Info(); info.Size != 8*mib || !info.Clean {
				t.Errorf("%+v", info)
			}
			volumetest.LikeBlkid(t, path, fs)
			// What is restored is a swap area again.
			volumetest.LikeBlkid(t, volumetest.Restore(t, path, ext), fs)
		})
	}
}

func TestHibernated(t *testing.T) {
	need.Tools(t, "mkswap")
	path := volumetest.Sparse(t, 8*mib)
	volumetest.Run(t, "mkswap", path)
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
	need.Tools(t, "mkswap")
	for _, page := range []string{"4096", "65536"} {
		path := volumetest.Sparse(t, 8*mib)
		volumetest.Run(t, "mkswap", "-p", page, path)
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

func TestNotSwap(t *testing.T) {
	for _, size := range []int64{0, 100, 4095, 4096, 65536, mib} {
		f, size := volumetest.Open(t, volumetest.Sparse(t, size))
		if _, err := Open(f, size); !errors.Is(err, volume.ErrNotThis) {
			t.Errorf("%d zeroes: %v", size, err)
		}
	}
}
