package doctor

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
)

func TestLookImages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	look := func(want ...ID) *Look {
		t.Helper()
		l := &Look{}
		lookImages(t.Context(), &Subject{Store: dir}, l)
		var got []ID
		for _, f := range l.Found {
			got = append(got, f.ID)
		}
		if !slices.Equal(got, want) || (len(got) == 0) != (len(l.Well) == 1) {
			t.Errorf("%v, well %v; want %v", got, l.Well, want)
		}
		return l
	}
	look()
	s, err := image.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	look()
	disk := bytes.Repeat([]byte("data"), 1<<18)
	if _, err := capture.Capture(t.Context(), bytes.NewReader(disk), int64(len(disk)), 512,
		capture.Options{Store: s, Name: "debian", Level: capture.Fast}); err != nil {
		t.Fatal(err)
	}
	look()
	digest, err := s.Resolve("debian")
	if err == nil {
		err = os.Remove(filepath.Join(dir, "blobs/sha256", strings.TrimPrefix(digest, "sha256:")))
	}
	if err != nil {
		t.Fatal(err)
	}
	if l := look(ImagesDamaged); len(l.Found) == 1 && !strings.Contains(l.Found[0].What, ": debian") {
		t.Errorf("%+v", l.Found[0])
	}
	if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	if l := look(ImagesLost); len(l.Found) == 1 && !strings.Contains(l.Found[0].What, "index.json is damaged") {
		t.Errorf("%+v", l.Found[0])
	}
}
