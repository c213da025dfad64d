package stick

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/bootdir"
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
func judge(t *testing.T, image []byte, start, size int, program *Program) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "esp")
	if err := os.WriteFile(file, image[start:start+size], 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(need.Tool(t, "fsck.fat"), "-n", file).CombinedOutput(); err != nil {
		t.Errorf("fsck.fat: %v\n%s", err, out)
	}
	got, err := exec.Command(need.Tool(t, "mcopy"), "-i", file, "::"+program.Name(), "-").Output()
	if err != nil || !bytes.Equal(got, program.Data) {
		t.Errorf("%s: %d bytes, want %d: %v", program.Name(), len(got), len(program.Data), err)
	}
}

func TestMedia(t *testing.T) {
	for name, program := range map[string]*Program{
		"small": {bootdir.AMD64, []byte("MZ")}, "for 64-bit ARM": {bootdir.ARM64, []byte("MZ")},
		"as kernel and archive are": {bootdir.AMD64, bytes.Repeat([]byte("kernel"), 5<<20)},
	} {
		for kind, make := range map[string]func(*Program, time.Time) ([]byte, error){
			"disk": func(p *Program, t time.Time) ([]byte, error) { return Disk(p, nil, t) },
			"ISO":  func(p *Program, t time.Time) ([]byte, error) { return ISO(p, nil, t) },
			"BIOS": func(p *Program, t time.Time) ([]byte, error) { return ISO(p, testBIOS(), t) },
		} {
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
				if kind != "disk" {
					xorriso(t, file, image[start:start+size])
				}
				if kind == "BIOS" {
					judgeBIOS(t, file, image)
				}
				if again, err := make(program, time.Unix(1e9, 0)); err != nil || !bytes.Equal(again, image) {
					t.Errorf("made twice, it differs: %v", err)
				}
				another := &Program{program.Arch, append([]byte("x"), program.Data...)}
				if other, err := make(another, time.Unix(1e9, 0)); err != nil ||
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
	for _, want := range []string{"UEFI  y   none", "/EFI.IMG", "Volume id    : 'DISKCAST'"} {
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

// testBIOS has the sizes and marks of the real parts.
func testBIOS() *BIOS {
	loader := bytes.Repeat([]byte("isolinux"), 4865)
	binary.LittleEndian.PutUint32(loader[64:], 0x7078c0fb)
	return &BIOS{Loader: loader[:38913], Module: []byte("\x7fELF\x01module"), MBR: bytes.Repeat([]byte{0x90}, 432),
		Linux: bytes.Repeat([]byte("linux"), 1<<20), Initrd: bytes.Repeat([]byte("archive"), 1<<19),
		Config: "DEFAULT x\n"}
}

// judgeBIOS has xorriso read what BIOS goes by: the first boot image with its table, the MBR, and each file.
func judgeBIOS(t *testing.T, name string, image []byte) {
	t.Helper()
	tool := need.Tool(t, "xorriso")
	out, err := exec.Command(tool, "-indev", name, "-report_el_torito", "plain", "-report_system_area", "plain").
		CombinedOutput()
	for _, want := range []string{"El Torito boot img :   1  BIOS  y   none",
		"El Torito boot img :   2  UEFI  y   none",
		"El Torito img path :   1  /ISOLINUX.BIN", "El Torito img opts :   1  boot-info-table isohybrid-suitable",
		"isohybrid", "MBR partition      :   1   0x80  0xee"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("xorriso says no %q: %v\n%s", want, err, out)
		}
	}
	b := testBIOS()
	for file, want := range map[string][]byte{"VMLINUZ": b.Linux, "INITRD.IMG": b.Initrd, "LDLINUX.C32": b.Module,
		"ISOLINUX.CFG": []byte(b.Config)} {
		to := filepath.Join(t.TempDir(), "file")
		out, err := exec.Command(tool, "-osirrox", "on", "-indev", name, "-extract", "/"+file, to).CombinedOutput()
		got, readErr := os.ReadFile(to)
		if err != nil || readErr != nil || !bytes.Equal(got, want) {
			t.Errorf("xorriso reads another %s: %v, %v\n%s", file, err, readErr, out)
		}
	}
	if !bytes.HasPrefix(image, b.MBR) {
		t.Error("the MBR's code is another")
	}
}

func TestBIOSRefuses(t *testing.T) {
	for name, change := range map[string]func(*BIOS){
		"another loader":  func(b *BIOS) { b.Loader = b.Loader[100:] },
		"no loader":       func(b *BIOS) { b.Loader = nil },
		"UEFI's module":   func(b *BIOS) { b.Module = []byte("\x7fELF\x02") },
		"a table with it": func(b *BIOS) { b.MBR = make([]byte, 440) },
	} {
		b := testBIOS()
		change(b)
		for _, make := range []func(*Program, *BIOS, time.Time) ([]byte, error){ISO, Disk} {
			if _, err := make(&Program{bootdir.AMD64, []byte("MZ")}, b, time.Unix(0, 0)); err == nil {
				t.Errorf("%s: it was made", name)
			}
		}
	}
}
