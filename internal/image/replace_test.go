package image_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
)

func TestReplace(t *testing.T) {
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 1<<20)
	digest := map[string]string{}
	for i, name := range []string{"old", "other", "new"} {
		imagetest.Fill(disk, uint64(30+i))
		r, err := capture.Capture(context.Background(), bytes.NewReader(disk), int64(len(disk)), 512,
			capture.Options{Store: s, Name: name, Grid: 256 << 10})
		if err != nil {
			t.Fatal(err)
		}
		digest[name] = r.Digest
	}
	if err := errors.Join(s.Tag("old", "old2"), s.Annotate(digest["old"], "org.example", "x"),
		s.Remove("new")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Replace(digest["old"], digest["new"]); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("an image that is not there took the names: %v", err)
	}
	imagetest.Fill(disk, 32)
	if _, err := capture.Capture(context.Background(), bytes.NewReader(disk), int64(len(disk)), 512,
		capture.Options{Store: s, Grid: 256 << 10}); err != nil {
		t.Fatal(err)
	}
	names, err := s.Replace(digest["old"], digest["new"])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"old", "old2"}, names); d != "" {
		t.Error(d)
	}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	for _, e := range list {
		for name, d := range digest {
			if d == e.Digest {
				got = append(got, [2]string{e.Name, name})
			}
		}
	}
	if d := cmp.Diff([][2]string{{"old", "new"}, {"other", "other"}, {"old2", "new"}, {"", "old"}}, got); d != "" {
		t.Error(d)
	}
	if a := list[3].Annotations; a["org.example"] != "x" {
		t.Errorf("the note about the old image is gone: %v", a)
	}

	work, err := s.Exclusive("optimize")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exclusive("optimize"); !errors.Is(err, image.ErrBusy) {
		t.Errorf("twice: %v", err)
	}
	if err := work.Close(); err != nil {
		t.Fatal(err)
	}
	if work, err = s.Exclusive("optimize"); err != nil {
		t.Fatal(err)
	}
	work.Close()
}
