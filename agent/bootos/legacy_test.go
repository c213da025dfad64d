package bootos

import (
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/treetest"
)

// TestLegacyLimits has menus that are larger than any: a restart that names the limit.
func TestLegacyLimits(t *testing.T) {
	for want, text := range map[string]string{
		"larger than 65536 bytes":    strings.Repeat("#", maxLegacy+1),
		"more than 256 entries":      strings.Repeat("title a\n", maxLegacyEntries+1),
		"which versions cut off":     "timeout 1\ntitle a\nkernel /k " + strings.Repeat("x", maxLegacyArgs+1),
		"its fallback is no entry":   "timeout 1\nfallback 9\ntitle a\nkernel /none",
		"its default is no entry of": "timeout 1\ndefault -1\ntitle a\nkernel /k",
	} {
		v := NewVolumes(mounted(t, 1, "ext4", "1111", map[string]string{"k": "x", "grub/menu.lst": text}))
		fd := &finder{v: v}
		_, err := fd.legacy(1, "/grub/menu.lst")
		var restart *Restart
		if !errors.As(err, &restart) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// FuzzLegacy wants a system or a restart, and nothing else.
func FuzzLegacy(f *testing.F) {
	f.Add("default 1\nfallback 0\ntimeout=5\ntitle A\nroot (hd0,0)\nkernel /k ro\ninitrd /i\n" +
		"title B\nuuid 1111\nkernel /no\n")
	f.Add("timeout 0\npassword x\ntitle A\nkernel --type=linux (hd0,0)/k a=\"b  c\"\nboot\n")
	f.Fuzz(func(t *testing.T, text string) {
		v := NewVolumes(Volume{Number: 1, Type: "ext4", UUID: "1111",
			Dir: treetest.Make(t, map[string]string{"k": "x", "i": "x"})})
		m := &legacyMenu{v: v, home: 1}
		err := m.parse(text)
		var s *System
		if err == nil {
			s, err = m.choose()
		}
		var restart *Restart
		if err != nil && !errors.As(err, &restart) || err == nil && (s.Kernel.Path == "" || s.Kernel.Device != 1) {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	})
}
