package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/kmod"
)

func TestMACOf(t *testing.T) {
	for in, want := range map[string]string{
		"01-52-54-00-12-34-56": "52:54:00:12:34:56",
		"01-52-54-00-AB-CD-EF": "52:54:00:ab:cd:ef",
		"52:54:00:12:34:56":    "52:54:00:12:34:56",
		"":                     "", "01-": "", "01-xx-54-00-12-34-56": "",
	} {
		if got := macOf(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestConsoles(t *testing.T) {
	for in, want := range map[string][]string{"tty0 ttyS0\n": {"tty1", "ttyS0"}, "ttyS1\n": {"ttyS1"}, "\n": nil} {
		if got := consoles(in); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestUnhelpful(t *testing.T) {
	for path, want := range map[string]bool{
		"kernel/drivers/gpu/drm/i915/i915.ko": true, "kernel/sound/core/snd.ko": true, "kernel/drivers/net/gpu/x.ko": false, "kernel/drivers/ata/libata.ko": false,
	} {
		if got := unhelpful(&kmod.Module{Path: path}); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// A node without devices that come and go is not waited for.
func TestWaitForNIC(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	gone := make(chan struct{})
	close(gone)
	waitForNIC(t.Context(), log, "02:00:00:00:00:0f", gone)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	waitForNIC(ctx, log, "02:00:00:00:00:0f", make(chan struct{}))
	if out.Len() != 0 {
		t.Errorf("said %q", out.String())
	}
}

func TestIsMountPoint(t *testing.T) {
	for dir, want := range map[string]bool{"/proc": true, t.TempDir(): false} {
		if got, err := isMountPoint(dir); err != nil || got != want {
			t.Errorf("%s: %v, %v", dir, got, err)
		}
	}
	if _, err := isMountPoint("/nowhere"); err == nil {
		t.Error("/nowhere: no error")
	}
}
