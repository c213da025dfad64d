package captures_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/capturing"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/doc"
)

// The store's disk becomes full in the middle of a capture. The session says so, and when there is room again the
// capture goes on.
func TestStoreIsFull(t *testing.T) {
	l := newLab(t)
	images := filepath.Join(l.dir, "images")
	need.SmallDisk(t, images, "320m")
	l.kill()
	l.start()
	path, b := l.disk(size)
	c := l.node("b1", path, size)
	s := l.create("golden")
	d := l.descriptor(c)
	filler := filepath.Join(images, "filler")
	var st unix.Statfs_t
	if err := unix.Statfs(images, &st); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filler, make([]byte, int64(st.Bavail)*st.Bsize-10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	// The node goes on sending; as soon as the operator sees why it does not get ahead, he makes room.
	told := make(chan string, 1)
	l.onPut(func(int64) {
		v, err := l.e.Session(s.ID)
		if err != nil || len(v.Warnings) == 0 {
			return
		}
		select {
		case told <- v.Warnings[0]:
			if err := os.Remove(filler); err != nil {
				t.Error(err)
			}
		default:
		}
	})
	var full, other atomic.Int64
	l.onAnswer(func(r *http.Request, code int, body string) {
		switch {
		case r.Method != http.MethodPut:
		case code == http.StatusInsufficientStorage && strings.Contains(body, "the server's image store is full"):
			full.Add(1)
		case code >= 500:
			other.Add(1)
		}
	})
	var r reports
	digest, err := capturing.Capture(t.Context(), d,
		capturing.Options{Server: c, Report: &r, Disks: disks{path: path, size: size}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case words := <-told:
		if !strings.Contains(words, "the disk is full") || !strings.Contains(words, "diskcast image gc") {
			t.Errorf("the operator reads: %s", words)
		}
	default:
		t.Fatal("the store was never full")
	}
	if full.Load() == 0 || other.Load() > 0 {
		t.Errorf("%d frames were answered with 507 and clear words, %d with another error of the server", full.Load(),
			other.Load())
	}
	if want := l.local(b); digest != want {
		t.Errorf("image %s, want %s", digest, want)
	}
	if v, err := l.e.Session(s.ID); err != nil || v.State != doc.Capturing || len(v.Warnings) != 0 {
		t.Errorf("afterwards: %s %q, %v", v.State, v.Warnings, err)
	}
}
