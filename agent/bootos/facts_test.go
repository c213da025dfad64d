package bootos

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// TestLayerOf puts the marks where mdadm, pvcreate and cryptsetup put them, on a partition of an odd size.
func TestLayerOf(t *testing.T) {
	const size = 1<<20 + 3*512
	for _, tt := range []struct {
		name   string
		offset int
		mark   string
		want   grub.Layer
	}{
		{"nothing", 0, "", ""},
		{"md 1.1", 0, "\xfc\x4e\x2b\xa9", grub.MD},
		{"md 1.2", 4096, "\xfc\x4e\x2b\xa9", grub.MD},
		{"md 1.0", (size - 8192) / 4096 * 4096, "\xfc\x4e\x2b\xa9", grub.MD},
		{"md 0.90", 1<<20 - 65536, "\xfc\x4e\x2b\xa9", grub.MD},
		{"md 0.90 of a big-endian machine", 1<<20 - 65536, "\xa9\x2b\x4e\xfc", grub.MD},
		{"LVM", 512, "LABELONE", grub.LVM},
		{"LUKS", 0, "LUKS\xba\xbe", grub.Crypto},
	} {
		disk := make([]byte, size)
		copy(disk[tt.offset:], tt.mark)
		if got := layerOf(bytes.NewReader(disk), size); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	layerOf(bytes.NewReader(nil), 0)
}

// TestUnreadablePartition: what could not be asked may be a member of everything.
func TestUnreadablePartition(t *testing.T) {
	v := Mount(t.TempDir(), []Device{{Number: 1, Path: filepath.Join(t.TempDir(), "none")}})
	if !v.Holds(grub.MD) || !v.fromDefault().Holds(grub.LVM) || NewVolumes().Holds(grub.MD) {
		t.Error("an unreadable partition counts as none, or none as one")
	}
}
