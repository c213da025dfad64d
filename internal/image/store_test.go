package image_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
)

// names lists the store as name=digest, sorted, digests replaced by the letters given.
func names(t *testing.T, s *image.Store, letters map[string]string) string {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name+"="+letters[e.Digest])
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}

func TestNames(t *testing.T) {
	s := newStore(t)
	a, b := take(t, s, "x", filled(1<<20, 1)).Digest, take(t, s, "y", filled(1<<20, 2)).Digest
	l := map[string]string{a: "A", b: "B"}
	step := func(want string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := names(t, s, l); got != want {
			t.Fatalf("the store has %q, want %q", got, want)
		}
	}
	step("x=A y=B", nil)
	step("x=A y=B z=A", s.Tag("x", "z"))
	step("x=A y=B z=A", s.Tag("x", "z"))
	step("x=B y=B z=A", s.Tag("y", "x"))
	step("=A x=B y=B z=B", s.Tag(b, "z")) // A lost its last name and stays
	step("w/1:2=A x=B y=B z=B", s.Tag(a[7:20], "w/1:2"))
	for _, n := range []int{12, 13, 64} {
		name := a[7 : 7+n] // by which A is found
		_, err := s.Copy(t.Context(), s, "x", name, nil)
		for _, err := range []error{err, s.Tag("x", name), s.NameFree(name)} {
			if !errors.Is(err, image.ErrDigestName) {
				t.Errorf("an image is to be called %s, and %s is there: %v", name, a, err)
			}
		}
	}
	step("w/1:2=A x=B y=B z=B", s.NameFree(strings.Repeat("0", 12)))
	step("w/1:2=A x=B z=B", s.Remove("y"))
	step("w/1:2=A", s.Remove(b))
	step("", s.Remove("w/1:2"))
	if _, err := s.Resolve(a); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("a removed image is found: %v", err)
	}
	for _, bad := range []string{"", "-x", "x/", "a b", "../up", "sha256:" + strings.Repeat("0", 64),
		strings.Repeat("x", 129), "a..b", "ü"} {
		if err := image.CheckName(bad); err == nil {
			t.Errorf("name %q was accepted", bad)
		}
	}
	for _, good := range []string{"x", "debian:12", "reg.example/lab/debian-12_amd64@v1+a", "a--b"} {
		if err := image.CheckName(good); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenStoreRefusesOtherDirectories(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := image.OpenStore(dir); err == nil {
		t.Error("a directory with other files became a store")
	}
}

func TestDedup(t *testing.T) {
	s := newStore(t)
	disk := filled(16<<20, 40)
	first := take(t, s, "a", disk)
	imagetest.Random(disk[5<<20:5<<20+100], 7)
	second := take(t, s, "b", disk)
	if second.Added == 0 || second.Added > 512<<10 {
		t.Errorf("one changed chunk added %d bytes; the whole image is %d", second.Added, first.Added)
	}
	m := open(t, s, "b")
	if m.Index().Blobs != 2 {
		t.Errorf("%d blobs", m.Index().Blobs)
	}
	if err := m.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	third := take(t, s, "c", disk)
	if third.Added != 0 || third.Digest != second.Digest {
		t.Errorf("the same disk again added %d bytes, %s and %s", third.Added, third.Digest, second.Digest)
	}
}

// TestManyWriters captures into one store from many goroutines at once: no name gets lost.
func TestManyWriters(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	const n = 8
	for i := range n {
		wg.Go(func() {
			other, err := image.OpenStore(s.Dir())
			if err != nil {
				t.Error(err)
				return
			}
			take(t, other, "image-"+string(rune('a'+i)), filled(300<<10, uint64(i)))
		})
	}
	wg.Wait()
	list, err := s.List()
	if err != nil || len(list) != n {
		t.Fatalf("%d of %d images: %v", len(list), n, err)
	}
	for _, e := range list {
		if err := verify(t, s, e.Name); err != nil {
			t.Error(err)
		}
	}
}
