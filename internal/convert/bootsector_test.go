package convert

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestBootSector: partclone and ntfsclone keep clusters, and the backup of NTFS's boot sector lies behind the last one.
func TestBootSector(t *testing.T) {
	t.Parallel()
	need.Tools(t, "mkntfs", "ntfsfix", "partclone.ntfs", "ntfsclone", "sfdisk", "parted", "gzip")
	for _, c := range []struct {
		size    int64
		options string
	}{{8 * mib, ""}, {8*mib + 512, "-c 1024"}, {8*mib + 5*4096, "-s 4096 -c 4096"}} {
		volume := volumetest.Sparse(t, c.size)
		volumetest.Run(t, "mkntfs", append(strings.Fields("-F -Q -q "+c.options), volume)...)
		want, err := os.ReadFile(volume)
		if err != nil {
			t.Fatal(err)
		}
		dir := volumetest.Dir(t)
		part, special := filepath.Join(dir, "part"), filepath.Join(dir, "special")
		images := []string{part}
		volumetest.Run(t, "partclone.ntfs", "-c", "-s", volume, "-o", part, "-L", part+".log")
		if !strings.Contains(c.options, "-s 4096") {
			volumetest.Run(t, "ntfsclone", "--save-image", "-q", "-f", "-o", special, volume)
			images = append(images, special)
		}
		for _, image := range images {
			d := openDisk(t, image)
			got := content(t, d)
			if !bytes.Equal(got[len(got)-512:], want[len(want)-512:]) || len(got) != len(want) {
				t.Errorf("%+v, %s: %d bytes of %d, and the last sector differs", c, filepath.Base(image), len(got),
					len(want))
			}
			restored := filepath.Join(dir, "restored")
			if err := os.WriteFile(restored, got, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := volumetest.Try(t, "ntfsfix", "-n", restored); err != nil ||
				!strings.Contains(out, "alternate boot sector... OK") {
				t.Errorf("ntfsfix of %s: %v %s", filepath.Base(image), err, out)
			}
		}
	}
}

func FuzzBootSector(f *testing.F) {
	boot := make([]byte, 512)
	copy(boot[3:], "NTFS    \x00\x02")
	boot[40], boot[510], boot[511] = 7, 0x55, 0xaa
	f.Add(boot)
	f.Fuzz(func(t *testing.T, p []byte) {
		d := limited(t)
		if len(p) > 1<<16 || fill(bytes.NewReader(p), d) != nil {
			return
		}
		if err := bootSector(d, d.size); err != nil {
			t.Fatal(err)
		}
		if d.size > d.max {
			t.Fatalf("%d bytes", d.size)
		}
	})
}
