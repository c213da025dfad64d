package table

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// What sfdisk wrote says where the disk ends, also when only its first sectors are there.
func TestClaims(t *testing.T) {
	sfdisk := need.Tool(t, "sfdisk")
	const size = 64 << 20
	for name, c := range map[string]struct {
		script string
		want   int64
	}{
		"gpt": {"label: gpt\nstart=2048, size=4096\n", size},
		"dos": {"label: dos\nstart=2048, size=4096, type=83\n", (2048 + 4096) * 512},
		"dos, logical": {"label: dos\nstart=2048, size=40960, type=5\nstart=4096, size=2048, type=83\n",
			(2048 + 40960) * 512},
		"none": {"", 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			if c.script != "" {
				cmd := exec.Command(sfdisk, "-q", path)
				cmd.Stdin = strings.NewReader(c.script)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Claims(bytes.NewReader(append(b[:1<<20:1<<20], make([]byte, 1<<20)...)), 2<<20, 512)
			if name == "gpt" || name == "dos, logical" || name == "dos" {
				// The limit is believed before the disk.
				if err != nil || got > 2<<20 {
					t.Errorf("limited: %d, %v", got, err)
				}
			}
			got, err = Claims(bytes.NewReader(b), size, 512)
			if err != nil || got != c.want {
				t.Errorf("got %d, %v; want %d", got, err, c.want)
			}
		})
	}
}

// What a GPT of 512 or 4096 bytes a sector claims is known without its entries, and without its header a little.
func TestClaimsWithoutEntries(t *testing.T) {
	const size = 64 << 20
	for _, ss := range []int{512, 4096} {
		m := make(memory, size)
		gpt := sampleGPT()
		gpt.SectorSize, gpt.DiskSize, gpt.Partitions = ss, size, gpt.Partitions[:1]
		gpt.GPT.Entries, gpt.GPT.FirstUsable, gpt.GPT.UsableEnd = 2*int64(ss), mib, size-mib
		if err := Write(m, gpt, size, ss); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ have, want int64 }{{2*int64(ss) + 100, size}, {2 * int64(ss), size},
			{int64(ss), leastGPT}} {
			clear(m[c.have:])
			if got, err := Claims(m, size, 512); err != nil || got != c.want {
				t.Errorf("sectors of %d bytes, %d bytes are there: got %d, %v; want %d", ss, c.have, got, err, c.want)
			}
		}
	}
}
