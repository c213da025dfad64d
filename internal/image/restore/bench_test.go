package restore_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
)

// benchDisk is the disk image named by DISKCAST_BENCH_DISK, or else one that is made.
func benchDisk(b *testing.B) *os.File {
	b.Helper()
	path := os.Getenv("DISKCAST_BENCH_DISK")
	if path == "" {
		path = filepath.Join(b.TempDir(), "disk")
		disk := make([]byte, 128<<20)
		imagetest.Fill(disk, 1)
		if err := os.WriteFile(path, disk, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

func BenchmarkCapture(b *testing.B) {
	f := benchDisk(b)
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	for _, level := range []string{capture.Fast, capture.Default, capture.Small} {
		b.Run(level, func(b *testing.B) {
			b.SetBytes(st.Size())
			for b.Loop() {
				s, err := image.OpenStore(filepath.Join(b.TempDir(), "store"))
				if err != nil {
					b.Fatal(err)
				}
				r, err := capture.Capture(context.Background(), f, st.Size(), 512,
					capture.Options{Store: s, Level: level})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(r.Added)/float64(r.Read-r.Zeros), "ratio")
			}
			memory(b)
		})
	}
}

func BenchmarkLocal(b *testing.B) {
	f := benchDisk(b)
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	s := store(b)
	if _, err := capture.Capture(context.Background(), f, st.Size(), 512,
		capture.Options{Store: s, Name: "img"}); err != nil {
		b.Fatal(err)
	}
	im, err := s.Open("img")
	if err != nil {
		b.Fatal(err)
	}
	defer im.Close()
	target, err := restore.OpenTarget(filepath.Join(b.TempDir(), "target"), restore.TargetOptions{Size: st.Size()})
	if err != nil {
		b.Fatal(err)
	}
	defer target.Close()
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(im.Config().Stored)
		for b.Loop() {
			if err := os.Truncate(target.(interface{ Name() string }).Name(), 0); err != nil {
				b.Fatal(err)
			}
			if err := os.Truncate(target.(interface{ Name() string }).Name(), st.Size()); err != nil {
				b.Fatal(err)
			}
			if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		memory(b)
	})
	b.Run("delta, nothing changed", func(b *testing.B) {
		b.SetBytes(im.Config().Stored)
		for b.Loop() {
			if _, err := restore.Local(context.Background(), im, target,
				restore.LocalOptions{Delta: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("writer", func(b *testing.B) {
		b.SetBytes(im.Config().Stored)
		object := make([]byte, im.ObjectSize())
		if _, err := im.Object().ReadAt(object, 0); err != nil {
			b.Fatal(err)
		}
		p, err := restore.NewPlan(im.Config(), im.Index(), target.Size(), target.SectorSize())
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			w, err := restore.NewWriter(p, target, restore.WriterOptions{})
			if err != nil {
				b.Fatal(err)
			}
			const block = 128 * 1408
			for off := int64(0); off < int64(len(object)); off += block {
				if err := w.Block(off, object[off:min(off+block, int64(len(object)))]); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// memory reports what the runtime has from the system, in MiB.
func memory(b *testing.B) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys-m.HeapReleased)/(1<<20), "MiB")
}
