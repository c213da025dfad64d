// Package images gives the engine and the API what they need of the image store: descriptions, objects and blobs to
// read, and a look at single chunks. An image that many requests read is opened once.
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sync"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/engine"
)

// ErrNotFound is wrapped by errors about what the store does not have.
var ErrNotFound = image.ErrNotFound

// Reader reads a blob or an object.
type Reader interface {
	io.ReaderAt
	io.Closer
}

var digestForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
})

// ValidDigest reports whether s is a digest as the API takes them.
func ValidDigest(s string) bool { return digestForm().MatchString(s) }

// Store is a store of images for the server.
type Store struct {
	st *image.Store

	mu   sync.Mutex
	open map[string]*entry // by manifest
	idle []*entry          // with no reader, least recently used first
}

type entry struct {
	im   *image.Image
	refs int
	old  bool // another has taken its place
}

// maxIdle is how many images are kept open without a reader: a straggler's ranges come one by one.
const maxIdle = 4

var _ engine.Images = (*Store)(nil)

// New returns the server's view of the store.
func New(st *image.Store) *Store { return &Store{st: st, open: map[string]*entry{}} }

func (s *Store) acquire(manifest string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.open[manifest]
	if e != nil && e.im.Replaced() { // a damaged blob was stored anew, perhaps
		s.forget(e)
		e = nil
	}
	if e != nil {
		e.refs++
		s.idle = slices.DeleteFunc(s.idle, func(x *entry) bool { return x == e })
		return e, nil
	}
	im, err := s.st.Open(manifest)
	if err != nil {
		return nil, err
	}
	e = &entry{im: im, refs: 1}
	s.open[manifest] = e
	return e, nil
}

// forget leaves an open image to those who read it.
func (s *Store) forget(e *entry) {
	delete(s.open, e.im.Manifest())
	e.old = true
	s.idle = slices.DeleteFunc(s.idle, func(x *entry) bool { return x == e })
	if e.refs == 0 {
		e.im.Close() // its files were only read
	}
}

func (s *Store) release(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.refs--; e.refs > 0 {
		return
	}
	if e.old {
		e.im.Close() // its files were only read
		return
	}
	s.idle = append(s.idle, e)
	if len(s.idle) <= maxIdle {
		return
	}
	old := s.idle[0]
	s.idle = s.idle[1:]
	delete(s.open, old.im.Manifest())
	old.im.Close() // its files were only read
}

// Close closes the images that nobody reads.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, e := range s.idle {
		delete(s.open, e.im.Manifest())
		errs = append(errs, e.im.Close())
	}
	s.idle = nil
	return errors.Join(errs...)
}

// Describe implements engine.Images.
func (s *Store) Describe(ref string) (session.Image, error) {
	manifest, err := s.st.Resolve(ref)
	if err != nil {
		return session.Image{}, named(ref, err)
	}
	e, err := s.acquire(manifest)
	if err != nil {
		return session.Image{}, named(ref, err)
	}
	defer s.release(e)
	d := session.Image{Name: ref, Manifest: manifest, ObjectSize: e.im.ObjectSize()}
	d.Config.Digest, d.Config.Size = e.im.ConfigBlob()
	d.Index.Digest, d.Index.Size = e.im.IndexBlob()
	return d, nil
}

// named has an error about an image say the name that it was asked for by.
func named(ref string, err error) error {
	var damage *image.DamageError
	switch {
	case errors.Is(err, ErrNotFound): // says it
		return err
	case errors.As(err, &damage) && damage.File == "":
		damage.Image = ref
		return fmt.Errorf("image %w", err)
	}
	return fmt.Errorf("image %s: %w", ref, err)
}

// config returns the config of an image.
func (s *Store) config(manifest string) (*image.Config, error) {
	e, err := s.acquire(manifest)
	if err != nil {
		return nil, err
	}
	defer s.release(e)
	return e.im.Config(), nil
}

// StartNotes implements engine.Images. An image that is gone has none: whoever needs it hears of that elsewhere.
func (s *Store) StartNotes(manifest string) []string {
	e, err := s.acquire(manifest)
	if err != nil {
		return nil
	}
	defer s.release(e)
	return append(e.im.Config().StartNotes(), e.im.AgeNotes()...)
}

// FirmwareWarning implements engine.Images.
func (s *Store) FirmwareWarning(manifest, firmware string) string {
	c, err := s.config(manifest)
	if err != nil {
		return ""
	}
	return c.FirmwareWarning(firmware)
}

// Misplaced implements engine.Images.
func (s *Store) Misplaced(manifest string, partition bool) string {
	c, err := s.config(manifest)
	if err != nil {
		return ""
	}
	return c.Misplaced(partition)
}

// Fits implements engine.Images: it is what the node will find.
func (s *Store) Fits(manifest string, t engine.Room) error {
	e, err := s.acquire(manifest)
	if err != nil {
		return err
	}
	defer s.release(e)
	var o []restore.PlanOption
	if t.Grow {
		o = append(o, restore.Grow())
	}
	if t.Number > 0 {
		o = append(o, restore.InPartition(t.Number, t.Start))
	}
	_, err = restore.NewPlan(e.im.Config(), e.im.Index(), t.Size, t.Sector, o...)
	return err
}

// Differs implements engine.Images.
func (s *Store) Differs(manifest, other string) (int64, error) {
	is, err := s.acquire(manifest)
	if err != nil {
		return 0, err
	}
	defer s.release(is)
	was, err := s.acquire(other)
	if err != nil {
		return 0, err
	}
	defer s.release(was)
	return image.Diff(was.im.Index(), is.im.Index()).New, nil
}

// TableID implements engine.Images.
func (s *Store) TableID(manifest string) string {
	c, err := s.config(manifest)
	if err != nil {
		return ""
	}
	return c.Table.DiskID
}

// Blobs implements engine.Images. Data blobs are not among them: nodes read the object.
func (s *Store) Blobs(manifest string) ([]string, error) {
	e, err := s.acquire(manifest)
	if err != nil {
		return nil, err
	}
	defer s.release(e)
	config, _ := e.im.ConfigBlob()
	index, _ := e.im.IndexBlob()
	return []string{config, index}, nil
}

// Object implements engine.Images.
func (s *Store) Object(manifest string) (engine.Object, error) {
	r, _, err := s.OpenObject(manifest)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// OpenObject opens the object of the image for reading.
func (s *Store) OpenObject(manifest string) (Reader, int64, error) {
	e, err := s.acquire(manifest)
	if err != nil {
		return nil, 0, err
	}
	return &object{ReaderAt: e.im.Object(), s: s, e: e}, e.im.ObjectSize(), nil
}

type object struct {
	io.ReaderAt
	s    *Store
	e    *entry
	once sync.Once
}

func (o *object) Close() error {
	o.once.Do(func() { o.s.release(o.e) })
	return nil
}

// OpenBlob opens a blob for reading.
func (s *Store) OpenBlob(digest string) (Reader, int64, error) { return s.st.BlobReader(digest) }

// Check implements engine.Images.
func (s *Store) Check(ctx context.Context, manifest string, chunk int) error {
	e, err := s.acquire(manifest)
	if err != nil {
		return err
	}
	defer s.release(e)
	if chunk >= 0 && chunk < len(e.im.Index().Chunks) {
		return checkChunk(e.im, chunk)
	}
	return e.im.Verify(ctx, nil)
}
