package image

import (
	"context"
	"errors"
	"io"
	"time"
)

var errSoon = errors.New("not built yet")

// Store is an OCI image layout directory. Its methods may be called from several goroutines and several processes.
type Store struct{ dir string }

// Entry is one name, or one image without a name, in a store.
type Entry struct {
	Name    string    // empty for an image that lost its name
	Digest  string    // of the manifest
	Created time.Time // when the name was given to the image; zero when not known
}

// BlobReader reads one blob.
type BlobReader interface {
	io.ReaderAt
	io.Closer
}

// OpenStore opens the store in dir and makes it when dir does not exist or is empty.
func OpenStore(dir string) (*Store, error) { return nil, errSoon }

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

// List returns the entries in the order in which they were added.
func (s *Store) List() ([]Entry, error) { return nil, errSoon }

// Resolve returns the manifest digest of a name, or of a digest that may be cut short to 12 hex digits or more.
func (s *Store) Resolve(ref string) (string, error) { return "", errSoon }

// Tag gives the image ref the name. An image that had the name before keeps its digest and loses the name.
func (s *Store) Tag(ref, name string) error { return errSoon }

// Remove takes a name from its image, or all names from the image of a digest. Its blobs stay until GC.
func (s *Store) Remove(ref string) error { return errSoon }

// Open opens the image of a name or digest. The image stays readable when it is removed from the store meanwhile.
func (s *Store) Open(ref string) (*Image, error) { return nil, errSoon }

// BlobReader opens a blob of any kind for reading and returns its size.
func (s *Store) BlobReader(digest string) (BlobReader, int64, error) { return nil, 0, errSoon }

// Image is an open image.
type Image struct{}

// Close frees the image's files.
func (m *Image) Close() error { return errSoon }

// Name is what the image was opened by.
func (m *Image) Name() string { return "" }

// Config is the parsed config blob.
func (m *Image) Config() *Config { return nil }

// Index is the parsed index blob.
func (m *Image) Index() *Index { return nil }

// Manifest is the digest of the manifest: the image's identity.
func (m *Image) Manifest() string { return "" }

// ConfigBlob is the digest and size of the config blob.
func (m *Image) ConfigBlob() (digest string, size int64) { return "", 0 }

// IndexBlob is the digest and size of the index blob.
func (m *Image) IndexBlob() (digest string, size int64) { return "", 0 }

// Object reads the image's object. It may be used from several goroutines.
func (m *Image) Object() io.ReaderAt { return nil }

// ObjectSize is the length of the object in bytes.
func (m *Image) ObjectSize() int64 { return 0 }

// Verify reads every blob and decodes and hashes every frame. Damage is reported as a *DamageError.
func (m *Image) Verify(ctx context.Context, progress Progress) error { return errSoon }

// ParseConfig parses and checks a config blob.
func ParseConfig(b []byte) (*Config, error) { return nil, errSoon }

// ParseIndex parses and checks an index blob.
func ParseIndex(b []byte) (*Index, error) { return nil, errSoon }
