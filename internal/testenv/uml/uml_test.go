package uml

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

func init() {
	Handle("test-mount", func(t Task) (string, error) {
		if err := unix.Mount(Disk, Mounts, t.FS, 0, t.Args[0]); err != nil {
			return "", err
		}
		b, err := os.ReadFile(filepath.Join(Mounts, "hello"))
		return string(b), errors.Join(err, unix.Unmount(Mounts, 0))
	})
	Handle("test-more", func(t Task) (string, error) {
		b, err := os.ReadFile("/dev/ubdc")
		return string(b[:min(len(b), 5)]), err
	})
	Handle("test-forever", func(t Task) (string, error) {
		_ = os.WriteFile(t.Args[0], nil, 0o644)
		time.Sleep(time.Hour) // a select without cases is a deadlock to the guest's only goroutine
		return "", nil
	})
}

func disk(t *testing.T) string {
	t.Helper()
	need.Tools(t, Program)
	path := filepath.Join(t.TempDir(), "a, b: c.img")
	if err := sparse.Create(path, 8<<20); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMore has a guest read the last of three disks.
func TestMore(t *testing.T) {
	last := disk(t)
	if err := os.WriteFile(last, append([]byte("hello"), make([]byte, 1<<20-5)...), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Run(t.Context(), "", Task{Name: "test-more", Disk: disk(t), More: []string{disk(t), last}, FS: "ext4"})
	if err != nil || got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRun(t *testing.T) {
	image := disk(t)
	mkfs := need.Tool(t, "mkfs.ext4")
	tree := t.TempDir()
	const text = "not UTF-8: \xff\xfe\n"
	if err := os.WriteFile(filepath.Join(tree, "hello"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-F", "-d", tree, image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := Run(t.Context(), "", Task{Name: "test-mount", Disk: image, FS: "ext4", Args: []string{"ro"}})
	if err != nil || got != text {
		t.Errorf("%q, %v", got, err)
	}
	_, err = Run(t.Context(), "", Task{Name: "test-mount", Disk: image, FS: "xfs", Args: []string{""}})
	if err == nil || errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), unix.EINVAL.Error()) {
		t.Errorf("an ext4 mounted as XFS: %v", err)
	}
	if _, err = Run(t.Context(), "",
		Task{Name: "test-mount", Disk: image, FS: "nosuchfs", Args: []string{""}}); !errors.Is(err, ErrAbsent) {
		t.Errorf("a file system that there is not: %v", err)
	}
}

// TestStopped ends a guest that would not end by itself.
func TestStopped(t *testing.T) {
	image := disk(t)
	dir := t.TempDir()
	said := filepath.Join(dir, "runs")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	why := errors.New("enough")
	ctx, stop := context.WithCancelCause(ctx)
	go func() { // ends when the guest says that it runs, or with ctx
		defer stop(why)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := os.Stat(said); err == nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	if _, err := Run(ctx, "",
		Task{Name: "test-forever", Disk: image, FS: "ext4", Args: []string{said}}); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
