package partition_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/internal/volume/table"
)

const (
	mebi = 1 << 20
	size = 8 * mebi
)

func disk(t *testing.T, change func(b []byte)) *imagetest.Memory {
	t.Helper()
	m := imagetest.NewMemory(make([]byte, size), 512)
	g := imagetest.GPT(size, 512, 2*mebi, 2*mebi, mebi)
	g.Partitions[0].Name, g.Partitions[1].Name, g.Partitions[2].Name = "root", "twin", "twin"
	if err := table.Write(m, g, size, 512); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(m.Bytes())
	}
	return m
}

func TestFind(t *testing.T) {
	m := disk(t, nil)
	p, err := partition.Find(m, size, 512, partition.By{Number: 2})
	if err != nil || p.Number != 2 || p.Start != 3*mebi || p.Size != 2*mebi {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, by := range []partition.By{{Name: "root"}, {UUID: strings.ToUpper(p.Table.Partitions[0].UUID)}} {
		if p, err := partition.Find(m, size, 512, by); err != nil || p.Number != 1 {
			t.Errorf("%+v: %+v, %v", by, p, err)
		}
	}
}

// TestRefuses has what a writer into one partition must not trust.
func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b []byte)
		by     partition.By
		sector int
		want   string
	}{
		"missing":   {by: partition.By{Number: 4}, want: "it has: 1 root, 2 twin, 3 twin"},
		"ambiguous": {by: partition.By{Name: "twin"}, want: "ambiguous: partitions 2 and 3"},
		"no name":   {by: partition.By{Name: "home"}, want: `no partition with the name "home"`},
		"no table": {by: partition.By{Number: 1}, change: func(b []byte) { clear(b) },
			want: "no partition table"},
		"other sectors": {by: partition.By{Number: 1}, sector: 4096, want: "sectors of 512 bytes"},
		"damaged copy":  {by: partition.By{Number: 1}, change: func(b []byte) { b[1024+20] ^= 1 }, want: "damaged"},
		"damaged backup": {by: partition.By{Number: 1}, change: func(b []byte) { b[size-512+20] ^= 1 },
			want: "damaged"},
		"hybrid": {by: partition.By{Number: 1}, change: func(b []byte) {
			b[462+4] = 0x83
			binary.LittleEndian.PutUint32(b[462+8:], mebi/512)
			binary.LittleEndian.PutUint32(b[462+12:], 2*mebi/512)
			binary.LittleEndian.PutUint32(b[446+12:], mebi/512-1)
		}, want: "hybrid"},
		"boot code is no matter": {by: partition.By{Number: 1}, change: func(b []byte) { b[0] = 0xeb }},
	} {
		t.Run(name, func(t *testing.T) {
			sector := c.sector
			if sector == 0 {
				sector = 512
			}
			_, err := partition.Find(disk(t, c.change), size, sector, c.by)
			if c.want == "" && err == nil {
				return
			}
			if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestDOS has a dos table of sfdisk's: primary, extended and logical partitions.
func TestDOS(t *testing.T) {
	need.Tools(t, "sfdisk")
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 16*mebi), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sfdisk", "-q", path)
	cmd.Stdin = strings.NewReader("label: dos\nlabel-id: 0x12345678\n2M,2M,83\n4M,10M,5\n5M,2M,83\n8M,1M,82\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	find := func(by partition.By) (*partition.Found, error) { return partition.Find(f, 16*mebi, 512, by) }
	if p, err := find(partition.By{Number: 5}); err != nil || p.Start != 5*mebi || p.Size != 2*mebi {
		t.Errorf("the first logical one: %+v, %v", p, err)
	}
	if p, err := find(partition.By{UUID: "12345678-01"}); err != nil || p.Number != 1 {
		t.Errorf("by PARTUUID: %+v, %v", p, err)
	}
	if p, err := find(partition.By{Number: 2}); err == nil || !strings.Contains(err.Error(), "extended") {
		t.Errorf("the extended one: %+v, %v", p, err)
	}
}
