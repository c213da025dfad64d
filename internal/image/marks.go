package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/regular"
)

// A store remembers which of its data blobs were found damaged, by a file named after each: no frames are taken of them
// for a new image, and who lists the images can say so.

func (s *Store) markDir() string { return filepath.Join(s.privateDir(), "damaged") }

func (s *Store) markPath(digest string) string {
	return filepath.Join(s.markDir(), digest[len("sha256:"):])
}

// blobState is what a mark holds: it tells a blob's file from one that was stored anew, or put back, in its place.
func (s *Store) blobState(digest string) string {
	var st unix.Stat_t
	if unix.Stat(s.blobPath(digest), &st) != nil {
		return ""
	}
	return fmt.Sprintf("%d %d %d.%09d", st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec)
}

// MarkDamaged reads the data blobs of an image, remembers those that are damaged, and returns their digests.
func (s *Store) MarkDamaged(ctx context.Context, m *Image) ([]string, error) {
	bad, err := m.DamagedBlobs(ctx)
	if err != nil {
		return nil, err
	}
	for _, digest := range bad {
		err := os.MkdirAll(s.markDir(), private.DirMode)
		if err == nil {
			err = os.WriteFile(s.markPath(digest), []byte(s.blobState(digest)), private.FileMode)
		}
		if err != nil {
			return bad, fmt.Errorf("remembering that blob %s is damaged: %w", digest, err)
		}
	}
	return bad, nil
}

// Unmark forgets that blobs of an image, which was verified, were found damaged.
func (s *Store) Unmark(m *Image) {
	for _, b := range m.Blobs() {
		_ = os.Remove(s.markPath(b.Digest)) // as a rule there is none
	}
}

// Damaged are the digests of the blobs that were found damaged and are as they were then.
func (s *Store) Damaged() map[string]bool {
	marks, err := os.ReadDir(s.markDir())
	if err != nil {
		return nil // as a rule there are none
	}
	found := map[string]bool{}
	for _, f := range marks {
		digest := "sha256:" + f.Name()
		if checkDigest(digest) != nil {
			continue
		}
		b, err := regular.ReadFile(s.markPath(digest))
		switch state := s.blobState(digest); {
		case err == nil && state != "" && string(b) == state:
			found[digest] = true
		case err == nil:
			_ = os.Remove(s.markPath(digest)) // another file has its place
		}
	}
	return found
}

// Replaced reports whether the file of a data blob is no longer the one that the image reads, or was cut: opened again,
// the image may be another, sound or damaged.
func (m *Image) Replaced() bool {
	for i, f := range m.blobs {
		var st unix.Stat_t
		err := unix.Fstat(int(f.Fd()), &st)
		if err != nil || st.Nlink == 0 || st.Size != m.manifest.Layers[1+i].Size {
			return true
		}
	}
	return false
}
