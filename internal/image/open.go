package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Image is an open image. Its methods may be called from several goroutines. While it is open GC leaves its blobs
// alone.
type Image struct {
	name     string
	digest   string
	manifest *ocispec.Manifest
	config   *Config
	index    *Index
	pin      *os.File   // the manifest, with a shared lock that GC respects
	blobs    []*os.File // by number of the index
	segments []segment
}

// segment is a run of the object that lies in one piece in one blob.
type segment struct {
	object, length int64
	blob           int
	offset         int64 // in the blob
}

// Open opens the image of a name or digest. The image stays readable when it is removed from the store meanwhile. A
// blob that is missing, cut short or not what its digest says, as far as that can be told without reading the data, is
// an error.
func (s *Store) Open(ref string) (*Image, error) { return s.open(ref, true) }

// open leaves out the chunks of the index, which are checked all the same, unless keep.
func (s *Store) open(ref string, keep bool) (*Image, error) {
	digest, err := s.Resolve(ref)
	if err != nil {
		return nil, err
	}
	m := &Image{name: ref, digest: digest}
	if err := m.open(s, keep); err != nil {
		m.Close()
		var damage *DamageError
		if errors.As(err, &damage) {
			if _, removed := s.Resolve(ref); removed != nil && damage.Missing {
				return nil, removed // it was removed meanwhile
			}
			damage.Image = ref
			return nil, err
		}
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	return m, nil
}

func (m *Image) open(s *Store, keep bool) error {
	var err error
	if m.pin, _, err = s.openBlob(m.digest); err != nil {
		return missing(err, m.digest)
	}
	// A file system without locks cannot have garbage collection either, which needs them.
	if err := unix.Flock(int(m.pin.Fd()), unix.LOCK_SH); err != nil && err != unix.EOPNOTSUPP && err != unix.ENOSYS &&
		err != unix.ENOLCK {
		return fmt.Errorf("locking the manifest: %w", err)
	}
	b, err := s.readBlob(m.digest, MaxManifest)
	if err != nil {
		return missing(err, m.digest)
	}
	if m.manifest, err = parseManifest(b); err != nil {
		return err
	}
	if b, err = s.readBlob(string(m.manifest.Config.Digest), MaxConfig); err != nil {
		return missing(err, string(m.manifest.Config.Digest))
	}
	if m.config, err = ParseConfig(b); err != nil {
		return err
	}
	if b, err = s.readBlob(string(m.manifest.Layers[0].Digest), MaxIndex); err != nil {
		return missing(err, string(m.manifest.Layers[0].Digest))
	}
	if m.index, err = readIndex(b, keep); err != nil {
		return err
	}
	data := m.manifest.Layers[1:]
	switch {
	case m.index.DiskSize != m.config.DiskSize:
		return fmt.Errorf("%w: index and config disagree on the size of the disk (%d, %d)", ErrFormat, m.index.DiskSize,
			m.config.DiskSize)
	case m.index.Blobs != len(data):
		return fmt.Errorf("%w: the index uses %d data blobs, the manifest lists %d", ErrFormat, m.index.Blobs,
			len(data))
	}
	for i := range m.index.Frames {
		if f := &m.index.Frames[i]; f.Offset > data[f.Blob].Size-f.Length {
			return fmt.Errorf("%w: frame %d ends beyond its blob %s", ErrFormat, i, data[f.Blob].Digest)
		}
	}
	for i, d := range data {
		f, size, err := s.openBlob(string(d.Digest))
		if errors.Is(err, ErrNotFound) {
			return m.lost(i)
		}
		if err != nil {
			return err
		}
		m.blobs = append(m.blobs, f)
		if size != d.Size {
			return m.cut(i, size)
		}
	}
	m.segments = m.index.segments()
	return nil
}

// cut is the error for a data blob that is not as long as it must be.
func (m *Image) cut(blob int, size int64) error {
	d := m.manifest.Layers[1+blob]
	reason := fmt.Sprintf("the blob has %d bytes, not %d", size, d.Size)
	for i := range m.index.Frames {
		if f := &m.index.Frames[i]; f.Blob == blob && f.Offset+f.Length > size {
			return m.Damage(i, reason)
		}
	}
	return &DamageError{Image: m.name, Chunk: -1, Blob: string(d.Digest), Offset: min(size, d.Size), Reason: reason}
}

// lost is the error for a data blob that is not there: it names the first chunk that needs it.
func (m *Image) lost(blob int) error {
	for i := range m.index.Frames {
		if m.index.Frames[i].Blob == blob {
			e := m.Damage(i, gone)
			e.Missing = true
			return e
		}
	}
	return &DamageError{Image: m.name, Chunk: -1, Blob: string(m.manifest.Layers[1+blob].Digest), Reason: gone,
		Missing: true}
}

const gone = "the store has no such file"

// missing turns the error of opening one of an image's own blobs into what it means for the image.
func missing(err error, digest string) error {
	if errors.Is(err, ErrNotFound) {
		return &DamageError{Chunk: -1, Blob: digest, Reason: gone, Missing: true}
	}
	return err
}

// Damage is the error for a frame.
func (m *Image) Damage(frame int, reason string) *DamageError {
	e := m.index.Damage(frame, reason)
	e.Image = m.name
	e.Blob = string(m.manifest.Layers[1+m.index.Frames[frame].Blob].Digest)
	return e
}

// Damage is the error for a frame of an image of which only the index is known.
func (x *Index) Damage(frame int, reason string) *DamageError {
	f := &x.Frames[frame]
	if len(f.Chunks) == 0 { // the chunks were left out
		return &DamageError{Chunk: -1, Offset: f.Offset, Object: f.Object, Length: f.Length, Reason: reason}
	}
	chunk := int(f.Chunks[0])
	return &DamageError{Chunk: chunk, Disk: x.Chunks[chunk].Extents[0].Offset, Offset: f.Offset, Object: f.Object,
		Length: f.Length, Reason: reason}
}

func (x *Index) segments() []segment {
	var out []segment
	for i := range x.Frames {
		f := &x.Frames[i]
		if n := len(out); n > 0 {
			if l := &out[n-1]; l.blob == f.Blob && l.offset+l.length == f.Offset {
				l.length += f.Length
				continue
			}
		}
		out = append(out, segment{object: f.Object, length: f.Length, blob: f.Blob, offset: f.Offset})
	}
	return out
}

// Close frees the image's files.
func (m *Image) Close() error {
	var err error
	for _, f := range m.blobs {
		err = errors.Join(err, f.Close())
	}
	m.blobs = nil
	if m.pin != nil {
		err = errors.Join(err, m.pin.Close())
		m.pin = nil
	}
	return err
}

// Name is what the image was opened by.
func (m *Image) Name() string { return m.name }

// Config is the parsed config blob.
func (m *Image) Config() *Config { return m.config }

// Index is the parsed index blob.
func (m *Image) Index() *Index { return m.index }

// Manifest is the digest of the manifest: the image's identity.
func (m *Image) Manifest() string { return m.digest }

// ConfigBlob is the digest and size of the config blob.
func (m *Image) ConfigBlob() (digest string, size int64) {
	return string(m.manifest.Config.Digest), m.manifest.Config.Size
}

// IndexBlob is the digest and size of the index blob.
func (m *Image) IndexBlob() (digest string, size int64) {
	return string(m.manifest.Layers[0].Digest), m.manifest.Layers[0].Size
}

// DataBlob is the digest and size of a data blob by the number that the index gives it.
func (m *Image) DataBlob(i int) (digest string, size int64) {
	d := m.manifest.Layers[1+i]
	return string(d.Digest), d.Size
}

// ObjectSize is the length of the object in bytes.
func (m *Image) ObjectSize() int64 { return m.index.ObjectSize() }

// Object reads the image's object. It may be used from several goroutines until the image is closed.
func (m *Image) Object() io.ReaderAt { return object{m} }

type object struct{ m *Image }

// ReadAt reads across frames and blobs as if the object were a file.
func (o object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("object of %s: negative offset %d", o.m.name, off)
	}
	segs := o.m.segments
	i := sort.Search(len(segs), func(i int) bool { return segs[i].object+segs[i].length > off })
	n := 0
	for ; n < len(p) && i < len(segs); i++ {
		s := &segs[i]
		skip := off + int64(n) - s.object
		want := int(min(s.length-skip, int64(len(p)-n)))
		got, err := o.m.blobs[s.blob].ReadAt(p[n:n+want], s.offset+skip)
		n += got
		if got < want {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF // the blob was cut short after Open
			}
			return n, fmt.Errorf("object of %s at %d: %w", o.m.name, off+int64(n), err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
