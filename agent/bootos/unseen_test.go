package bootos

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestUnseen: a partition that is not mounted may hold what GRUB reads, unless it is known to hold nothing of the kind.
func TestUnseen(t *testing.T) {
	need.Tools(t, "mkfs.ntfs", "mkfs.exfat", "mkswap")
	const biosBoot = "21686148-6449-6e6f-744e-656564454649"
	for i, tt := range []struct {
		name   string
		format []string // of a file that comes as the last word
		start  string   // of the file
		device Device
		want   bool
	}{
		{name: "NTFS", format: []string{"mkfs.ntfs", "-q", "-F", "-Q"}, want: true},
		{name: "exFAT", format: []string{"mkfs.exfat"}, want: true},
		{name: "swap", format: []string{"mkswap"}},
		{name: "swap of a machine with larger pages", format: []string{"mkswap", "--pagesize", "65536"}},
		{name: "nothing"},
		{name: "LUKS", start: "LUKS\xba\xbe\x00\x02"},
		{name: "bytes", start: "something else", want: true},
		{name: "GRUB's core on a BIOS boot partition", start: "something else", device: Device{PartType: biosBoot}},
		{name: "an extended partition", start: "something else", device: Device{PartType: "0x05"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "partition")
			if err := errors.Join(os.WriteFile(file, []byte(tt.start), 0o600), os.Truncate(file, 16<<20)); err != nil {
				t.Fatal(err)
			}
			if len(tt.format) > 0 {
				volumetest.Run(t, tt.format[0], append(tt.format[1:], file)...)
			}
			tt.device.Number, tt.device.Path = i+1, file
			v := Mount(t.TempDir(), []Device{tt.device})
			if v.Unseen(i+1) != tt.want || len(v.Skipped) != 1 || v.Unseen(i+2) {
				t.Errorf("unseen %v, want %v; skipped %q", v.Unseen(i+1), tt.want, v.Skipped)
			}
		})
	}
	v := Mount(t.TempDir(), []Device{{Number: 3, Path: filepath.Join(t.TempDir(), "nosuch")}})
	if !v.Unseen(3) || !v.fromDefault().Unseen(3) {
		t.Error("a partition that cannot be read counts as empty")
	}
}

// TestOnlyUnreadIsNamed: a restart names what may hold the boot loader, neither what was read nor what holds nothing.
func TestOnlyUnreadIsNamed(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.Truncate(empty, 16<<20)); err != nil {
		t.Fatal(err)
	}
	v := Mount(filepath.Join(dir, "os"), []Device{{Number: 1, Path: filepath.Join(dir, "gone")},
		{Number: 2, Path: empty}})
	v.byNumber[3] = Volume{Number: 3, Type: "ext4", Dir: t.TempDir()}
	const end = "may be on what could not be read: partition 1: "
	_, err := Find(v, Firmware{UEFI: true})
	var r *Restart
	if !errors.As(err, &r) || !strings.Contains(r.Why, end) || strings.Contains(r.Why, "partition 2") ||
		strings.Contains(r.Why, "partition 3") {
		t.Errorf("%v, want a restart with %q and no other partition", err, end)
	}
	if len(v.Skipped) != 2 || v.fromDefault().Unread() != v.Unread() {
		t.Errorf("skipped %q, of those %q and %q were not read", v.Skipped, v.Unread(), v.fromDefault().Unread())
	}
}
