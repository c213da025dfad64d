package table

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

var update = flag.Bool("update", false, "make the goldens again with sfdisk and sgdisk (needs root)")

// TestGolden reads tables that sfdisk and sgdisk made and dumped, on machines that have neither, too. The files are
// testdata/NAME.disk, the sectors that are not zero, and testdata/NAME.json, what sfdisk --json said of them.
func TestGolden(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			path := filepath.Join("testdata", l.name)
			if *update {
				disk, dev := makeDisk(t, l.script, l.sgdisk, 512)
				saveSectors(t, path+".disk", disk)
				text := strings.ReplaceAll(volumetest.Run(t, "sfdisk", "--json", dev), dev+"p", "disk")
				if err := os.WriteFile(path+".json", []byte(strings.ReplaceAll(text, dev, "disk")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			f := loadSectors(t, path+".disk")
			tbl, err := Read(f, diskSize, 512)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path + ".json")
			if err != nil {
				t.Fatal(err)
			}
			id, want := parseSfdisk(t, string(text), "disk", 512)
			if d := cmp.Diff(want, plain(tbl.Partitions, tbl.Kind == KindDOS)); d != "" || id != tbl.DiskID {
				t.Errorf("disk %s, ours %s; partitions (-sfdisk +ours): %s", id, tbl.DiskID, d)
			}
			if same, err := Same(f, tbl, diskSize, 512); err != nil || !same {
				t.Errorf("Write would not make this table again: %v %v", same, err)
			}
		})
	}
}

func saveSectors(t *testing.T, path, disk string) {
	t.Helper()
	f, size := volumetest.Open(t, disk)
	var out strings.Builder
	buf := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(buf)) {
		if _, err := f.ReadAt(buf, at); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(buf); i += 512 {
			if s := buf[i : i+512]; !zero(s) {
				fmt.Fprintf(&out, "%d %s\n", at+int64(i), base64.StdEncoding.EncodeToString(bytes.TrimRight(s, "\x00")))
			}
		}
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func loadSectors(t *testing.T, path string) *os.File {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := volumetest.Open(t, volumetest.Sparse(t, diskSize))
	for line := range strings.Lines(string(text)) {
		var off int64
		var data string
		if _, err := fmt.Sscan(line, &off, &data); err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(raw, off); err != nil {
			t.Fatal(err)
		}
	}
	return f
}
