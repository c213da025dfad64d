package restore_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// loop makes a block device of size bytes full of old data.
func loop(t *testing.T, size int64, sector int) (device, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "backing")
	b := make([]byte, size)
	imagetest.Random(b, 5)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	device, _ = volumetest.Loop(t, file, sector, "--partscan")
	return device, file
}

// TestBlockDevice restores to real block devices, past the page cache, with extents that are aligned to nothing but
// sectors.
func TestBlockDevice(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name           string
		source, target int
		size           int64
		parts          []int64
	}{
		{"512", 512, 512, 24*mib + 512, []int64{5*mib + 512, 9*mib + 1536}},
		{"4Kn", 4096, 4096, 24 * mib, []int64{5*mib + 4096, 9 * mib}},
		{"512 to 4Kn", 512, 4096, 24 * mib, []int64{5*mib + 4096, 9 * mib}},
	} {
		t.Run(c.name, func(t *testing.T) {
			device, file := loop(t, c.size, c.target)
			src := disk(t, c.size, c.source, 51, c.parts...)
			im := captured(t, src, c.source, capture.Options{Grid: 1 << 20})
			target, err := restore.OpenTarget(device, restore.TargetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if target.Size() != c.size || target.SectorSize() != c.target {
				t.Fatalf("the device has %d bytes in sectors of %d", target.Size(), target.SectorSize())
			}
			if _, err := restore.OpenTarget(device, restore.TargetOptions{}); err == nil {
				t.Error("a device in use was opened a second time")
			}
			stats, err := restore.Local(context.Background(), im, target, restore.LocalOptions{Verify: true})
			if err != nil {
				t.Fatal(err)
			}
			if stats.Written != stats.ToWrite {
				t.Errorf("stats do not add up: %+v", stats)
			}
			stats, err = restore.Local(context.Background(), im, target, restore.LocalOptions{Delta: true})
			if err != nil || stats.Needed != 0 || stats.Written != 0 {
				t.Errorf("restored again as a delta: %+v %v", stats, err)
			}
			if err := restore.RereadTable(t.Context(), target); err != nil {
				t.Error(err)
			}
			if err := target.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sameData(t, im, src, imagetest.NewMemory(got, c.target))
			readBack(t, im, device, src, c.target)
		})
	}
}

// readBack reads through the page cache what was written past it.
func readBack(t *testing.T, im *image.Image, device string, src []byte, sector int) {
	t.Helper()
	got, err := os.ReadFile(device)
	if err != nil {
		t.Fatal(err)
	}
	sameData(t, im, src, imagetest.NewMemory(got, sector))
}

func TestZeroOfDevice(t *testing.T) {
	device, _ := loop(t, 4<<20, 512)
	target, err := restore.OpenTarget(device, restore.TargetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for _, e := range []image.Extent{{Offset: 0, Length: 512}, {Offset: 1536, Length: 9000},
		{Offset: 1 << 20, Length: 1 << 20}, {Offset: 4<<20 - 100, Length: 100}} {
		before := make([]byte, 4<<20)
		if _, err := target.ReadAt(before, 0); err != nil {
			t.Fatal(err)
		}
		if err := target.Zero(e.Offset, e.Length); err != nil {
			t.Fatal(err)
		}
		after := make([]byte, 4<<20)
		if _, err := target.ReadAt(after, 0); err != nil {
			t.Fatal(err)
		}
		clear(before[e.Offset:e.End()])
		if string(before) != string(after) {
			t.Errorf("zeroing %d bytes at %d gave something else", e.Length, e.Offset)
		}
	}
}

// TestRereadTable has somebody else look into a partition while the kernel is asked to read the table again.
func TestRereadTable(t *testing.T) {
	need.Tools(t, "addpart", "delpart")
	device, _ := loop(t, 16<<20, 512)
	volumetest.Run(t, "addpart", device, "1", "2048", "2048")
	// the kernel has forgotten it when all went well
	t.Cleanup(func() { _ = exec.Command("delpart", device, "1").Run() })
	partition, err := os.Open(device + "p1")
	if err != nil {
		t.Fatal(err)
	}
	defer partition.Close()
	target, err := restore.OpenTarget(device, restore.TargetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := restore.RereadTable(ctx, target); !errors.Is(err, unix.EBUSY) {
		t.Errorf("without time to wait: %v", err)
	}
	done := make(chan error)
	// ends with the partition's closing, or after some seconds
	go func() { done <- restore.RereadTable(t.Context(), target) }()
	if err := partition.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
