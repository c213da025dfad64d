package bootos

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/bootos/efi/efitest"
)

var sdbootProgram = string(efitest.Program(efitest.Section{Name: ".sdmagic",
	Data: "#### LoaderInfo: systemd-boot 255.4 ####"}))

// bounded wants Find to end in a restart that names the bound.
func bounded(t *testing.T, v *Volumes, words string) {
	t.Helper()
	s, err := Find(v, Firmware{UEFI: true})
	var restart *Restart
	if !errors.As(err, &restart) || !strings.Contains(err.Error(), words) {
		t.Errorf("%+v, %v, want a restart: %s", s, err, words)
	}
}

func TestFindEndsByTheClock(t *testing.T) {
	files := map[string]string{"EFI/BOOT/BOOTX64.EFI": sdbootProgram, "loader/entries/a.conf": "linux /k\n", "k": "k"}
	v := NewVolumes(mounted(t, 1, "vfat", "AAAA-0001", files))
	if s, err := Find(v, Firmware{UEFI: true}); err != nil || s.Kernel.Path != "/k" {
		t.Fatalf("%+v, %v", s, err)
	}
	at := time.Unix(0, 0).Add(time.Hour)
	v.budget.now = func() time.Time { at = at.Add(10 * time.Second); return at }
	bounded(t, v, "takes more than 1m0s")
	// What comes after Find, loading the kernel, is not under its bounds.
	if b, err := v.ReadFile(1, "/k", 10); err != nil || string(b) != "k" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestFindEndsInLinks has links that go in and out of a folder some hundred times and then to the next link: each is
// within the bound on links.
func TestFindEndsInLinks(t *testing.T) {
	files := map[string]string{"EFI/BOOT/BOOTX64.EFI": sdbootProgram, "l7": "k", "d/x": "x"}
	for i := range 7 {
		files[fmt.Sprintf("l%d", i)] = "->" + strings.Repeat("d/../", 800) + fmt.Sprintf("l%d", i+1)
	}
	for i := range 1000 {
		files[fmt.Sprintf("loader/entries/%d.conf", i)] = "linux /l0\n"
	}
	bounded(t, NewVolumes(mounted(t, 1, "vfat", "AAAA-0001", files)), "names would have to be looked up")
}

func TestFindEndsByNames(t *testing.T) {
	v := NewVolumes(mounted(t, 1, "vfat", "AAAA-0001", map[string]string{"a/b": "x"}))
	v.budget.begin()
	v.budget.left.steps = 100
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		_, _, err = v.resolve(1, "/a/b")
	}
	if err == nil || !strings.Contains(err.Error(), "names would have to be looked up") {
		t.Errorf("a thousand look-ups with a hundred steps: %v", err)
	}
	if _, err := v.List(1, "/a"); err == nil {
		t.Error("a folder was listed with nothing left")
	}
}

func TestFindEndsByBytes(t *testing.T) {
	v := NewVolumes(mounted(t, 1, "vfat", "AAAA-0001", map[string]string{"a": strings.Repeat("x", 1000)}))
	v.budget.begin()
	v.budget.left.bytes = 2500
	var err error
	for i := 0; i < 3 && err == nil; i++ {
		_, err = v.ReadFile(1, "/a", 1000)
	}
	if err == nil || !strings.Contains(err.Error(), "MiB would have to be read") {
		t.Errorf("three thousand bytes with 2500 left: %v", err)
	}
}

func TestTooManyEntries(t *testing.T) {
	files := map[string]string{"EFI/BOOT/BOOTX64.EFI": sdbootProgram, "k": "k"}
	for i := range 1025 {
		files[fmt.Sprintf("loader/entries/%d.conf", i)] = "linux /k\n"
	}
	bounded(t, NewVolumes(mounted(t, 1, "vfat", "AAAA-0001", files)), "more than 1024 entries")
}

// TestProgramsAreNotRead has large programs without .linux beside the entries: their list of sections says that they
// are no entries.
func TestProgramsAreNotRead(t *testing.T) {
	files := map[string]string{"EFI/BOOT/BOOTX64.EFI": sdbootProgram, "loader/entries/a.conf": "linux /k\n", "k": "k"}
	big := string(efitest.Program(efitest.Section{Name: ".text", Data: strings.Repeat("x", 1<<20)}))
	for i := range 20 {
		files[fmt.Sprintf("EFI/Linux/%d.efi", i)] = big
	}
	v := NewVolumes(mounted(t, 1, "vfat", "AAAA-0001", files))
	v.budget.begin()
	for i := range 20 {
		if os := v.OSRelease(1, fmt.Sprintf("/EFI/Linux/%d.efi", i)); os != "" {
			t.Errorf("%d.efi has an os-release: %q", i, os)
		}
	}
	if read := maxRead - v.budget.left.bytes; read > 1<<20 {
		t.Errorf("%d bytes were read of programs that are no entries", read)
	}
}
