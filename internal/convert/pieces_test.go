package convert

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestPieces takes pieces of a split disk away: no other piece, and no part of the disk, may pass for it.
func TestPieces(t *testing.T) {
	t.Parallel()
	need.Tools(t, "split", "gzip")
	disk, data := smallDisk(t)
	packed := disk + ".gz"
	volumetest.Run(t, "gzip", "-1k", disk)
	for _, c := range []struct {
		options       string
		source, given string   // "" is the name without suffix
		away          []string // suffixes
		want          string   // of the error; empty: the disk
	}{
		{"-b 600k", disk, "aa", nil, ""},
		{"-b 600k", disk, "", nil, ""},
		{"-b 10k -a 3", disk, "aaa", nil, ""},
		{"-b 600k -d -a 3", disk, "000", nil, ""},
		{"-b 600k --numeric-suffixes=1 -a 3", disk, "001", nil, ""},
		{"-b 2M -d -a 3", disk, "000", nil, ""},
		{"-b 1k", packed, "aa", nil, ""},
		{"-b 600k", disk, "ab", nil, "later piece"},
		{"-b 600k", disk, "ab", []string{"aa"}, "first one"},
		{"-b 600k", disk, "", []string{"aa"}, "first piece"},
		{"-b 600k", disk, "", []string{"aa", "ab"}, "first piece"},
		{"-b 600k", disk, "aa", []string{"aa"}, "missing"},
		{"-b 600k -d -a 3", disk, "002", []string{"000"}, "later piece"},
		{"-b 600k -d -a 3", disk, "002", nil, "later piece"},
		{"-b 600k --numeric-suffixes=1 -a 3", disk, "003", []string{"001", "002"}, "missing"},
		{"-b 600k", disk, "aa", []string{"ab"}, ".ab is missing"},
		{"-b 600k -d -a 3", disk, "000", []string{"001", "002"}, ".001 is missing"},
		{"-b 600k", disk, "aa", []string{"ad"}, "pieces are missing at its end"},
		{"-b 600k", disk, "aa", []string{"ac", "ad"}, "pieces are missing at its end"},
		{"-b 1k", packed, "aa", []string{"ab"}, "missing"},
		{"-b 1k", packed, "ab", []string{"aa"}, "missing"},
	} {
		dir := volumetest.Dir(t)
		base := filepath.Join(dir, "disk")
		args := append(strings.Fields(c.options), c.source, base+".")
		volumetest.Run(t, "split", args...)
		for _, suffix := range c.away {
			if err := os.Remove(base + "." + suffix); err != nil {
				t.Fatal(err)
			}
		}
		given := strings.TrimSuffix(base+"."+c.given, ".")
		if c.want == "" {
			same(t, data, content(t, openDisk(t, given)))
			continue
		}
		if d, err := OpenContext(t.Context(), given, Options{Scratch: dir}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, given %q without %v: %v %v", c.options, c.given, c.away, d, err)
		}
	}
}

// TestFirstNumber: some programs count from .000 and some from .001, and nothing else tells whether .000 is missing.
func TestFirstNumber(t *testing.T) {
	disk, data := smallDisk(t)
	base := filepath.Join(volumetest.Dir(t), "disk")
	volumetest.Run(t, "split", "-b", "600k", "-d", "-a", "3", "--numeric-suffixes=1", disk, base+".")
	d := openDisk(t, base+".001")
	same(t, data, content(t, d))
	if notes := strings.Join(d.Notes(), " "); !strings.Contains(notes, "disk.001 was taken for the first piece") {
		t.Errorf("notes %q", notes)
	}
}

func TestSplitQcow2(t *testing.T) {
	need.Tools(t, "qemu-img")
	disk, _ := smallDisk(t)
	base := filepath.Join(volumetest.Dir(t), "disk")
	volumetest.Run(t, "qemu-img", "convert", "-O", "qcow2", disk, base)
	volumetest.Run(t, "split", "-b", "300k", base, base+".")
	if _, err := Open(base + ".aa"); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "join them first") {
		t.Error(err)
	}
}

// TestNamesLikePieces: a name may end in letters or a number.
func TestNamesLikePieces(t *testing.T) {
	_, data := smallDisk(t)
	for _, names := range [][]string{{"disk.img", "disk.raw"}, {"v1.02", "v1.03"}, {"v1.10", "v1.11"},
		{"disk.dd", "disk.gz"}, {"disk.123"}, {"disk.001"}} {
		dir := volumetest.Dir(t)
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		same(t, data, content(t, openDisk(t, filepath.Join(dir, names[0]))))
	}
}

// TestUnequalPieces: all pieces but the last are of one size.
func TestUnequalPieces(t *testing.T) {
	for _, sizes := range [][]int{{1000, 900, 1000}, {1000, 1000, 1100}} {
		base := filepath.Join(volumetest.Dir(t), "disk")
		for i, n := range sizes {
			if err := os.WriteFile(base+".a"+string(rune('a'+i)), bytes.Repeat([]byte{1}, n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(base); err == nil || !strings.Contains(err.Error(), "the first one") {
			t.Errorf("pieces of %d bytes: %v", sizes, err)
		}
	}
}
