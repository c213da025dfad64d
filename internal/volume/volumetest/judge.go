package volumetest

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
)

// Check fails the test unless the extents are sorted, merged and within size.
func Check(t testing.TB, extents []volume.Extent, size int64) {
	t.Helper()
	at := int64(-1)
	for i, e := range extents {
		if e.Length <= 0 || e.Offset <= at || e.End() > size {
			t.Fatalf("extent %d of %d is %+v, after %d, in %d bytes", i, len(extents), e, at, size)
		}
		at = e.End()
	}
}

// Restore copies nothing but the extents of image onto a new file that has random bytes everywhere else, which is what
// a disk looks like to which an image is restored, and returns its path. Of a gap of more than 16 MiB only the first
// and the last 8 MiB are random: a block that is missing from the map is as wrong when it is zero.
func Restore(t testing.TB, image string, extents []volume.Extent) string {
	t.Helper()
	src, size := Open(t, image)
	Check(t, extents, size)
	path := Sparse(t, size)
	dst, _ := Open(t, path)
	for _, e := range extents {
		if n, err := io.Copy(io.NewOffsetWriter(dst, e.Offset),
			io.NewSectionReader(src, e.Offset, e.Length)); err != nil || n != e.Length {
			t.Fatalf("copying %+v: %d bytes, %v", e, n, err)
		}
	}
	junk := make([]byte, 8<<20)
	noise := rand.NewChaCha8([32]byte{1})
	if _, err := noise.Read(junk); err != nil {
		t.Fatal(err)
	}
	for _, gap := range volume.Invert(extents, size) {
		n := min(gap.Length, int64(len(junk)))
		for _, at := range []int64{gap.Offset, max(gap.Offset+n, gap.End()-int64(len(junk)))} {
			if n := min(n, gap.End()-at); n > 0 {
				if _, err := dst.WriteAt(junk[:n], at); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return path
}

// Same fails the test when two listings differ, and shows the first differing lines.
func Same(t testing.TB, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			t.Fatalf("listing differs in line %d:\nwant %s\n got %s", i+1, w[i], g[i])
		}
	}
	t.Fatalf("listing has %d lines, want %d", len(g), len(w))
}

// LikeBlkid fails the test when blkid calls the file system in an image something else.
func LikeBlkid(t testing.TB, image string, fs volume.FileSystem) {
	t.Helper()
	want, info := Blkid(t, image), fs.Info()
	if fs.Type() != want["TYPE"] || info.UUID != want["UUID"] || info.Label != want["LABEL"] {
		t.Errorf("type %q, UUID %q, label %q; blkid says %v", fs.Type(), info.UUID, info.Label, want)
	}
}

// visible undoes what blkid does to a space and to the letter of the labels here that is beyond ASCII.
var visible = strings.NewReplacer(`\ `, " ", "M-CM-$", "ä", `M-CM-\$`, "ä")

// Blkid returns what blkid finds in an image: TYPE, UUID, LABEL and so on.
func Blkid(t testing.TB, image string) map[string]string {
	t.Helper()
	facts := map[string]string{}
	for line := range strings.Lines(Run(t, "blkid", "-p", "-o", "export", image)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			facts[key] = visible.Replace(value)
		}
	}
	return facts
}
