package image

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Relist makes the list of the images of the store in dir anew, where that is missing and blobs are there: of all
// images whose manifests are there, also of those that were removed since the last garbage collection. Their names are
// lost. It returns how many there are, and false where there was nothing to do. Where a manifest may be damaged,
// that is a *DamageError.
func Relist(dir string) (n int, done bool, err error) {
	s := &Store{dir: dir}
	if s.checkVersion() != nil || !errors.As(s.checkList(), new(*DamageError)) {
		return 0, false, nil
	}
	err = s.locked(lockIndex, func() error {
		if !errors.As(s.checkList(), new(*DamageError)) {
			return nil // another process was faster
		}
		found, err := s.manifests()
		if err != nil {
			return err
		}
		n, done = len(found), true
		return s.writeIndex(&ocispec.Index{Manifests: found})
	})
	return n, done, err
}

// manifests are the entries of all images that are there, in the order in which their manifests were written.
func (s *Store) manifests() ([]ocispec.Descriptor, error) {
	type written struct {
		d    ocispec.Descriptor
		when time.Time
	}
	blobs, err := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
	if err != nil {
		return nil, err
	}
	var all []written
	for _, b := range blobs {
		digest := "sha256:" + b.Name()
		info, err := b.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if checkDigest(digest) != nil || info.Size() > MaxManifest {
			continue
		}
		is, err := s.isManifest(digest)
		if err != nil {
			return nil, err
		}
		if is {
			d := descriptor(ocispec.MediaTypeImageManifest, digest, info.Size())
			d.ArtifactType = ArtifactType
			all = append(all, written{d, info.ModTime()})
		}
	}
	slices.SortStableFunc(all, func(a, b written) int {
		return cmp.Or(a.when.Compare(b.when), cmp.Compare(a.d.Digest, b.d.Digest))
	})
	var out []ocispec.Descriptor
	for _, w := range all {
		out = append(out, w.d)
	}
	return out, nil
}

// isManifest reports whether the digest is of the manifest of an image. One that is damaged may have been: without it
// in the list, its image's blobs would be nobody's.
func (s *Store) isManifest(digest string) (bool, error) {
	b, err := s.readBlob(digest, MaxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it was removed meanwhile
	}
	if _, ok := errors.AsType[*DamageError](err); ok {
		return false, &DamageError{Chunk: -1, File: s.blobPath(digest), Reason: "its SHA-256 is not its name, and it " +
			"may be the manifest of an image, which the list would lack. Put a copy of this file back; if there is " +
			"none, move it away, and import again what `diskcast image list` does not show then"}
	}
	return err == nil && CheckManifest(b) == nil, err
}
