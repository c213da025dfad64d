package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/kmod"
)

func TestConsoles(t *testing.T) {
	for in, want := range map[string][]string{"tty0 ttyS0\n": {"tty1", "ttyS0"}, "ttyS1\n": {"ttyS1"}, "\n": nil} {
		if got := consoles(in); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestUnhelpful(t *testing.T) {
	for path, want := range map[string]bool{
		"kernel/drivers/gpu/drm/i915/i915.ko": true, "kernel/sound/core/snd.ko": true,
		"kernel/drivers/net/gpu/x.ko": false, "kernel/drivers/ata/libata.ko": false,
	} {
		if got := unhelpful(&kmod.Module{Path: path}); got != want {
			t.Errorf("%s: %v", path, got)
		}
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

func TestOnlyOnNodes(t *testing.T) {
	// A test's root is no boot archive.
	if err := run(t.Context(), nil, nil, io.Discard, io.Discard); err == nil ||
		!strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("on this machine: %v", err)
	}
	if err := onNode(nil, "/dev/shm"); err != nil {
		t.Errorf("a root in memory: %v", err)
	}
	if err := onNode([]string{"-h"}, "/dev/shm"); err == nil || !strings.Contains(err.Error(), "-h") {
		t.Errorf("-h: %v", err)
	}
}
