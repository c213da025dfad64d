package stick

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// sfdisk reads the partition table of an image, and complains where it is wrong.
func sfdisk(t *testing.T, file string) (start, size int) {
	t.Helper()
	tool := need.Tool(t, "sfdisk")
	if out, err := exec.Command(tool, "--verify", file).CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "No errors detected") {
		t.Errorf("sfdisk --verify: %v\n%s", err, out)
	}
	out, err := exec.Command(tool, "--json", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Table struct {
			Label      string
			Partitions []struct {
				Start, Size int
				Type, Name  string
			}
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal(out, &table); err != nil {
		t.Fatal(err)
	}
	if p := table.Table.Partitions; table.Table.Label != "gpt" || len(p) != 1 || p[0].Name != "diskcast" ||
		p[0].Type != "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" {
		t.Fatalf("sfdisk sees %s", out)
	}
	return table.Table.Partitions[0].Start * sector, table.Table.Partitions[0].Size * sector
}

// judge looks at the file system in an image and at the program in it.
func judge(t *testing.T, image []byte, start, size int, program []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "esp")
	if err := os.WriteFile(file, image[start:start+size], 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(need.Tool(t, "fsck.fat"), "-n", file).CombinedOutput(); err != nil {
		t.Errorf("fsck.fat: %v\n%s", err, out)
	}
	got, err := exec.Command(need.Tool(t, "mcopy"), "-i", file, "::"+Program, "-").Output()
	if err != nil || !bytes.Equal(got, program) {
		t.Errorf("%s: %d bytes, want %d: %v", Program, len(got), len(program), err)
	}
}

func TestMedia(t *testing.T) {
	for name, program := range map[string][]byte{
		"small": []byte("MZ"), "as kernel and archive are": bytes.Repeat([]byte("kernel"), 5<<20),
	} {
		for kind, make := range map[string]func([]byte, time.Time) ([]byte, error){"disk": Disk, "ISO": ISO} {
			t.Run(kind+", "+name, func(t *testing.T) {
				image, err := make(program, time.Unix(1e9, 0))
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "image")
				if err := os.WriteFile(file, image, 0o644); err != nil {
					t.Fatal(err)
				}
				start, size := sfdisk(t, file)
				judge(t, image, start, size, program)
				if kind == "ISO" {
					xorriso(t, file, image[start:start+size])
				}
				if again, err := make(program, time.Unix(1e9, 0)); err != nil || !bytes.Equal(again, image) {
					t.Errorf("made twice, it differs: %v", err)
				}
				if other, err := make(append([]byte("x"), program...), time.Unix(1e9, 0)); err != nil ||
					bytes.Equal(other[:1<<20], image[:1<<20]) {
					t.Errorf("another program has the same ids: %v", err)
				}
			})
		}
	}
}

// xorriso reads the image as a CD.
func xorriso(t *testing.T, file string, esp []byte) {
	t.Helper()
	tool := need.Tool(t, "xorriso")
	out, err := exec.Command(tool, "-indev", file, "-report_el_torito", "plain", "-toc").CombinedOutput()
	if err != nil {
		t.Fatalf("xorriso: %v\n%s", err, out)
	}
	for _, want := range []string{"El Torito boot img :   1  UEFI  y   none", "/EFI.IMG", "Volume id    : 'DISKCAST'"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("xorriso says no %q:\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "WARNING") || strings.Contains(string(out), "SORRY") {
		t.Errorf("xorriso complains:\n%s", out)
	}
	to := filepath.Join(t.TempDir(), "esp")
	out, err = exec.Command(tool, "-osirrox", "on", "-indev", file, "-extract", "/EFI.IMG", to).CombinedOutput()
	got, readErr := os.ReadFile(to)
	if err != nil || readErr != nil || !bytes.Equal(got, esp) {
		t.Errorf("xorriso reads another EFI.IMG: %v, %v\n%s", err, readErr, out)
	}
}

func TestGPTRefuses(t *testing.T) {
	for _, c := range [][3]int{{100 << 10, 0, 512}, {1 << 20, 17 << 10, 1 << 20}, {1 << 20, 17408, 100}} {
		if err := writeGPT(make([]byte, c[0]), c[1], c[2], [32]byte{}); err == nil {
			t.Errorf("a disk of %d bytes with %d at %d was made", c[0], c[2], c[1])
		}
	}
}
