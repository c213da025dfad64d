package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/private"
)

// Store is an OCI image layout directory. Its methods may be called from several goroutines and several processes.
type Store struct{ dir string }

// OpenStore opens the store in dir and makes it when dir does not exist or is empty. One that has lost its list of
// images, or the file that says what it is, is a *DamageError, and stays as it is (Relist). One that others can look
// into is refused with a *private.OpenError.
func OpenStore(dir string) (*Store, error) {
	if err := private.Dir(dir, "the images in it and the passwords and keys in those"); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	s := &Store{dir: dir}
	err := s.checkLayout()
	if err == nil {
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("image store %s: %w", dir, err)
	}
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("image store: %w", err)
	}
	for _, n := range names {
		// What create leaves when it is killed, and what a fresh file system has.
		switch n.Name() {
		case ".diskcast", "blobs", ocispec.ImageLayoutFile, "lost+found":
		default:
			return nil, fmt.Errorf("%s is not an OCI image layout and not empty: give an empty directory or a store",
				dir)
		}
	}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("making image store %s: %w", dir, err)
	}
	return s, nil
}

// FindStore opens the store in dir as OpenStore does, and makes nothing: where there is none, that is ErrNoStore.
func FindStore(dir string) (*Store, error) {
	if err := (&Store{dir: dir}).checkLayout(); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNoStore, dir)
	}
	return OpenStore(dir)
}

// OpenLayout opens an OCI image layout that some other program may have made, to copy from it. Who may read it is not
// our concern.
func OpenLayout(dir string) (*Store, error) {
	s := &Store{dir: dir}
	err := s.checkVersion()
	if err == nil {
		if err = s.checkList(); errors.Is(err, fs.ErrNotExist) {
			err = s.noList() // nobody makes it whole: it is not ours
		}
	}
	if err != nil {
		return nil, fmt.Errorf("image layout %s: %w", dir, err)
	}
	return s, nil
}

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

// Entry is one name, or one image without a name, in a store.
type Entry struct {
	Name    string    // empty for an image that lost its name
	Digest  string    // of the manifest
	Created time.Time // when it was captured or imported; zero when not known
	// Annotations are all annotations of the entry in index.json.
	Annotations map[string]string
}

// AnnotationCreated and the other annotations of an entry are facts that must not change an image's digest.
const (
	AnnotationName    = ocispec.AnnotationRefName
	AnnotationCreated = ocispec.AnnotationCreated
)

// List returns the entries of images of ours in the order in which they were added.
func (s *Store) List() ([]Entry, error) {
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, d := range x.Manifests {
		// Other programs may keep other things in the layout. Some of them drop artifactType from the descriptor.
		if d.MediaType != ocispec.MediaTypeImageManifest || d.ArtifactType != ArtifactType && d.ArtifactType != "" ||
			checkDigest(string(d.Digest)) != nil {
			continue
		}
		if d.ArtifactType == "" && !s.isImage(string(d.Digest)) {
			continue
		}
		out = append(out, entryOf(d))
	}
	return out, nil
}

func (s *Store) isImage(digest string) bool {
	b, err := s.readBlob(digest, MaxManifest)
	if err != nil {
		return true // damaged: shown, so that verify is asked about it
	}
	_, err = parseManifest(b)
	return err == nil
}

func entryOf(d ocispec.Descriptor) Entry {
	e := Entry{Name: d.Annotations[AnnotationName], Digest: string(d.Digest), Annotations: d.Annotations}
	if t, err := time.Parse(time.RFC3339, d.Annotations[AnnotationCreated]); err == nil {
		e.Created = t
	}
	return e
}

// isName tells the grammar that the OCI image specification gives for org.opencontainers.image.ref.name: letters and
// digits, with one of -._:@/+ or two hyphens between them.
func isName(s string) bool {
	between := 2 // separators since the last letter or digit; before the first there can be none
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			between = 0
			continue
		case strings.IndexByte("-._:@/+", c) < 0 || between == 2:
			return false
		case between == 1 && (c != '-' || s[i-1] != '-'):
			return false
		}
		between++
	}
	return between == 0
}

// CheckName says why an image cannot have the name.
func CheckName(name string) error {
	switch {
	case len(name) == 0 || len(name) > 128:
		return fmt.Errorf("image name %q has %d characters, not 1 to 128", name, len(name))
	case strings.HasPrefix(name, "sha256:"):
		return fmt.Errorf("image name %q looks like a digest", name)
	case !isName(name):
		return fmt.Errorf("image name %q: letters and digits, with single . _ - : / @ + between them", name)
	}
	return nil
}

// NameFree is CheckName for an image that is to get the name in this store: it must not be how the digest of one
// begins, which that is found by.
func (s *Store) NameFree(name string) error {
	if err := CheckName(name); err != nil || !LooksLikeDigest(name) {
		return err
	}
	x, err := s.readIndex()
	if err != nil {
		return err
	}
	return nameFree(x, name)
}

func nameFree(x *ocispec.Index, name string) error {
	if !LooksLikeDigest(name) {
		return nil
	}
	var found *ocispec.Descriptor
	for i, d := range x.Manifests {
		switch {
		case d.Annotations[AnnotationName] == name:
			return nil // it had the name before that image came
		case BeginsDigest(string(d.Digest), name):
			found = &x.Manifests[i]
		}
	}
	if found == nil {
		return nil
	}
	return DigestNameError(name, string(found.Digest))
}

// ErrDigestName is why an image does not get a name by which another is found already.
var ErrDigestName = errors.New("the digest of an image that is there begins so")

// DigestNameError is ErrDigestName with the name and the digest.
func DigestNameError(name, digest string) error {
	return fmt.Errorf("image name %q: %w (%s), and it is found by that: choose another name", name, ErrDigestName,
		digest)
}

// minShort is of how many hex digits a digest that is cut short has at least.
const minShort = 12

// LooksLikeDigest reports whether a digest could be cut short to the name.
func LooksLikeDigest(name string) bool {
	return len(name) >= minShort && strings.Trim(name, "0123456789abcdef") == ""
}

// BeginsDigest reports whether the digest of an image can be cut short to the name.
func BeginsDigest(digest, name string) bool {
	return LooksLikeDigest(name) && strings.HasPrefix(digest, "sha256:"+name)
}

// Resolve returns the manifest digest of a name or a digest. A digest may be cut short to 12 hex digits or more, with
// or without sha256:.
func (s *Store) Resolve(ref string) (string, error) {
	x, err := s.readIndex()
	if err != nil {
		return "", err
	}
	return s.resolve(x, ref)
}

func (s *Store) resolve(x *ocispec.Index, ref string) (string, error) {
	for _, d := range x.Manifests {
		if d.Annotations[AnnotationName] == ref && ref != "" {
			return string(d.Digest), checkDigest(string(d.Digest))
		}
	}
	var found string
	var names []string
	for _, d := range x.Manifests {
		if name := d.Annotations[AnnotationName]; name != "" {
			names = append(names, name)
		}
	}
	if h := strings.TrimPrefix(ref, "sha256:"); len(h) >= minShort {
		for _, d := range x.Manifests {
			// Digest's own methods panic on what is not a digest.
			if checkDigest(string(d.Digest)) != nil || !strings.HasPrefix(string(d.Digest), "sha256:"+h) {
				continue
			}
			if found != "" && found != string(d.Digest) {
				return "", fmt.Errorf("%s means more than one image: give more digits", ref)
			}
			found = string(d.Digest)
		}
	}
	if found == "" {
		return "", fmt.Errorf("image %q: %w %s (`diskcast image list` shows what is)%s", ref, ErrNotFound, s.dir,
			nearest.Hint(ref, names))
	}
	return found, nil
}

// Tag gives the image ref the name. An image that had the name before stays in the store without it.
func (s *Store) Tag(ref, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.change(func(x *ocispec.Index) error {
		digest, err := s.resolve(x, ref)
		if err == nil {
			err = nameFree(x, name)
		}
		if err != nil {
			return err
		}
		for _, d := range x.Manifests {
			if string(d.Digest) == digest {
				if _, err := s.readBlob(digest, MaxManifest); err != nil {
					return missing(err, digest)
				}
				setName(x, d, name)
				return nil
			}
		}
		return nil
	})
}

// setName adds d to the index under the name, which is taken from whatever had it. An empty name adds it without one.
func setName(x *ocispec.Index, d ocispec.Descriptor, name string) {
	d = unnamed(d)
	if name != "" {
		d.Annotations[AnnotationName] = name
	}
	var out []ocispec.Descriptor
	placed := false
	for _, e := range x.Manifests {
		if name != "" && e.Annotations[AnnotationName] == name {
			if e.Digest != d.Digest {
				e = unnamed(e)
			} else {
				e, placed = d, true
			}
		}
		out = append(out, e)
	}
	if !placed {
		out = append(out, d)
	}
	x.Manifests = dropSpare(out)
}

// dropSpare leaves out entries without a name whose image has another entry.
func dropSpare(all []ocispec.Descriptor) []ocispec.Descriptor {
	kept := make(map[digest.Digest]bool, len(all))
	for _, e := range all {
		if e.Annotations[AnnotationName] != "" {
			kept[e.Digest] = true
		}
	}
	out := all[:0:0]
	for _, e := range all {
		if e.Annotations[AnnotationName] == "" {
			if kept[e.Digest] {
				continue
			}
			kept[e.Digest] = true
		}
		out = append(out, e)
	}
	return out
}

func unnamed(d ocispec.Descriptor) ocispec.Descriptor {
	notes := make(map[string]string, len(d.Annotations))
	for k, v := range d.Annotations {
		if k != AnnotationName {
			notes[k] = v
		}
	}
	d.Annotations = notes
	return d
}

// Remove takes a name from its image, or, given a digest, the image with all its names. Its blobs stay until GC.
func (s *Store) Remove(ref string) error {
	return s.change(func(x *ocispec.Index) error {
		digest, err := s.resolve(x, ref)
		if err != nil {
			return err
		}
		byName := false
		for _, d := range x.Manifests {
			byName = byName || d.Annotations[AnnotationName] == ref
		}
		out := x.Manifests[:0:0]
		for _, d := range x.Manifests {
			gone := string(d.Digest) == digest
			if byName {
				gone = d.Annotations[AnnotationName] == ref
			}
			if !gone {
				out = append(out, d)
			}
		}
		x.Manifests = out
		return nil
	})
}
