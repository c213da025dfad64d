package image

import (
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Replace moves all names of the image old to the image with: both are digests. It returns the names. The old image
// stays in the store without a name.
func (s *Store) Replace(old, with string) (names []string, err error) {
	err = s.change(func(x *ocispec.Index) error {
		if _, err := s.resolve(x, old); err != nil {
			return err
		}
		if _, err := s.resolve(x, with); err != nil {
			return err
		}
		var was, is ocispec.Descriptor
		for _, d := range x.Manifests {
			switch string(d.Digest) {
			case old:
				was = d
			case with:
				is = d
			}
		}
		for i, d := range x.Manifests {
			if name := d.Annotations[AnnotationName]; string(d.Digest) == old && name != "" {
				e := unnamed(is)
				e.Annotations[AnnotationName] = name
				x.Manifests[i] = e
				names = append(names, name)
			}
		}
		// It goes to the end: among equal frames a later capture prefers those of the images before it.
		x.Manifests = dropSpare(append(x.Manifests, unnamed(was)))
		return nil
	})
	return names, err
}

// Annotate notes a fact beside every entry of the image with the digest. It does not change the image.
func (s *Store) Annotate(digest, key, value string) error {
	return s.change(func(x *ocispec.Index) error {
		for i, d := range x.Manifests {
			if string(d.Digest) != digest {
				continue
			}
			name := d.Annotations[AnnotationName]
			e := unnamed(d) // a copy
			if name != "" {
				e.Annotations[AnnotationName] = name
			}
			e.Annotations[key] = value
			x.Manifests[i] = e
		}
		return nil
	})
}

// Exclusive is for work on the store that only one process at a time should do. While another has the lock of that name
// the error is ErrBusy. Closing lets go.
func (s *Store) Exclusive(name string) (io.Closer, error) {
	f, err := s.lock(name+".lock", unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return nil, err
	}
	return f, nil
}
