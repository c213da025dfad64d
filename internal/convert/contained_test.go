package convert

import (
	"bytes"
	"strings"
	"testing"
)

// TestContained has every format at the start of a device, and disks that begin with none of them.
func TestContained(t *testing.T) {
	for _, k := range kinds {
		p := make([]byte, 4096)
		copy(p[k.at:], k.magic)
		if !k.plausible(p[:sniffSize]) || k.name == "squashfs" {
			continue
		}
		note := Contained(bytes.NewReader(p), "/dev/sdx")
		if !strings.Contains(note, k.what) || !strings.Contains(note, "byte for byte") ||
			!strings.Contains(note, "/dev/sdx") && strings.Contains(k.way, "IN ") {
			t.Errorf("%s: %q", k.name, note)
		}
	}
	for name, p := range map[string][]byte{"zeros": make([]byte, 4096), "short": {1}, "empty": nil,
		"boot sector": append([]byte("\xeb\x63\x90"), make([]byte, 600)...)} {
		if note := Contained(bytes.NewReader(p), "/dev/sdx"); note != "" {
			t.Errorf("%s: %q", name, note)
		}
	}
}
