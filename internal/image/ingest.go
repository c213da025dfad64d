package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/regular"
)

// Blob describes a blob of an image.
type Blob struct {
	Digest    string
	Size      int64
	MediaType string
}

// ParseManifest returns the blobs of an image's manifest: config, index, data blobs.
func ParseManifest(b []byte) ([]Blob, error) {
	m, err := parseManifest(b)
	if err != nil {
		return nil, err
	}
	return blobsOf(m), nil
}

func blobsOf(m *ocispec.Manifest) []Blob {
	var out []Blob
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		out = append(out, Blob{Digest: string(d.Digest), Size: d.Size, MediaType: d.MediaType})
	}
	return out
}

// Blobs are the blobs that the image's manifest lists: config, index, data blobs.
func (m *Image) Blobs() []Blob { return blobsOf(m.manifest) }

// Ingest takes an image from elsewhere, blob by blob. What is broken off is taken up again by the next Ingest: whole
// blobs stay, and so does what came of an incomplete one. Garbage collection waits until it is closed. Its methods may
// be called from several goroutines.
type Ingest struct {
	s   *Store
	use *os.File
}

// NewIngest starts to take an image. Close must be called.
func (s *Store) NewIngest() (*Ingest, error) {
	use, err := s.lock(lockUse, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	if err := s.folders(); err != nil {
		return nil, errors.Join(err, use.Close())
	}
	return &Ingest{s: s, use: use}, nil
}

// Close lets garbage collection go on. After Commit it must still be called.
func (g *Ingest) Close() error { return g.use.Close() }

// Have reports whether the store has a blob of the name and the size. Whether its bytes are right is not looked at.
func (g *Ingest) Have(b Blob) bool {
	if checkDigest(b.Digest) != nil {
		return false
	}
	st, err := os.Stat(g.s.blobPath(b.Digest))
	return err == nil && st.Mode().IsRegular() && st.Size() == b.Size
}

// Blob takes one blob unless the store has it, which is not believed before its bytes were hashed: one that is damaged
// is replaced. open returns the blob's bytes from off on; off is not 0 when an earlier attempt got so far. The blob is
// in the store only when its size and its digest are right: what comes to its end and is another is a *DamageError, and
// what breaks off is not. progress is told less than nothing where what came before has to come again.
func (g *Ingest) Blob(ctx context.Context, b Blob, open func(off int64) (io.ReadCloser, error),
	progress func(n int64)) error {
	if err := checkDigest(b.Digest); err != nil {
		return err
	}
	sound, err := g.sound(ctx, b)
	if sound && progress != nil {
		progress(b.Size)
	}
	if !sound && err == nil {
		err = g.fetch(ctx, b, open, progress)
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", b.Digest, err)
	}
	return nil
}

// sound reports whether the store has the blob, byte for byte.
func (g *Ingest) sound(ctx context.Context, b Blob) (bool, error) {
	if !g.Have(b) {
		return false, nil
	}
	f, _, err := g.s.openBlob(b.Digest)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(&counter{ctx: ctx, w: h, limit: b.Size}, f); err != nil && ctx.Err() != nil {
		return false, err
	}
	// What cannot be read is as bad as other bytes: it is fetched again.
	return "sha256:"+hex.EncodeToString(h.Sum(nil)) == b.Digest, nil
}

func (g *Ingest) fetch(ctx context.Context, b Blob, open func(off int64) (io.ReadCloser, error),
	progress func(n int64)) error {
	dir := g.s.partialDir()
	if err := os.MkdirAll(dir, private.DirMode); err != nil {
		return err
	}
	path := filepath.Join(dir, b.Digest[len("sha256:"):])
	f, err := own(ctx, path)
	if err != nil {
		return err
	}
	defer f.Close()
	if sound, err := g.sound(ctx, b); err != nil { // from whoever held the lock before
		return err
	} else if sound {
		return os.Remove(path)
	}
	var told int64
	count := func(n int64) {
		if told += n; progress != nil {
			progress(n)
		}
	}
	began, err := take(ctx, f, b, open, count)
	if began > 0 && errors.As(err, new(*DamageError)) {
		// Only what comes in one piece says something of where it comes from.
		count(-told)
		if err := f.Truncate(0); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err = take(ctx, f, b, open, count)
	}
	if errors.As(err, new(*DamageError)) {
		_ = os.Remove(path) // there is nothing in it to go on from
	}
	if err != nil {
		return err
	}
	if err := f.Truncate(b.Size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return g.s.place(path, b.Digest)
}

// take brings the blob into the file, behind the bytes that are there, and returns how many those were.
func take(ctx context.Context, f *os.File, b Blob, open func(off int64) (io.ReadCloser, error),
	progress func(n int64)) (began int64, err error) {
	h := sha256.New()
	// What is there from before counts as if it came now; it is hashed like the rest.
	began, err = io.Copy(&counter{ctx: ctx, w: h, limit: b.Size, progress: progress}, io.LimitReader(f, b.Size))
	if err != nil {
		return began, err
	}
	damage := func(reason string, args ...any) error {
		return &DamageError{Chunk: -1, Blob: b.Digest, Length: b.Size, Reason: fmt.Sprintf(reason, args...)}
	}
	if began < b.Size {
		r, err := open(began)
		if err != nil {
			return began, err
		}
		w := &counter{ctx: ctx, w: io.MultiWriter(f, h), limit: b.Size - began, progress: progress}
		_, err = io.Copy(w, r)
		switch err := errors.Join(err, r.Close()); {
		case errors.Is(err, errMore):
			return began, damage("it has more than its %d bytes", b.Size)
		case err != nil: // a connection that breaks off is one, too
			return began, err
		case w.limit > 0:
			return began, damage("it has %d bytes, not %d", b.Size-w.limit, b.Size)
		}
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != b.Digest {
		return began, damage("its bytes have the digest %s, not that of its name", got)
	}
	return began, nil
}

// own opens the file of a blob that is half fetched, and waits while another process or goroutine fetches the same
// blob: the two would write the same bytes to the same place, and the second has nothing to do when the first is done.
func own(ctx context.Context, path string) (*os.File, error) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		f, err := regular.OpenFile(path, os.O_RDWR|os.O_CREATE, private.FileMode)
		if err != nil {
			return nil, noFile(err, "Remove it: the blob is fetched from its beginning then")
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			// Whoever held the lock may have moved the file into place: then this is no longer the one behind the name.
			mine, err := f.Stat()
			if err != nil {
				f.Close()
				return nil, err
			}
			if now, err := os.Stat(path); err == nil && os.SameFile(mine, now) {
				return f, nil
			}
			f.Close()
			continue
		}
		f.Close()
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another process that fetches the same: %w", context.Cause(ctx))
		case <-again.C:
		}
	}
}

var errMore = errors.New("more bytes come than it has")

// counter passes on at most limit bytes.
type counter struct {
	ctx      context.Context
	w        io.Writer
	limit    int64
	progress func(n int64)
}

func (c *counter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > c.limit {
		return 0, errMore
	}
	n, err := c.w.Write(p)
	c.limit -= int64(n)
	if c.progress != nil {
		c.progress(int64(n))
	}
	return n, err
}

// Commit adds the image of the manifest, all of whose blobs must be there, under the name, which may be empty.
func (g *Ingest) Commit(manifest []byte, name string, created time.Time, notes map[string]string) (digest string,
	err error) {
	if name != "" {
		if err := g.s.NameFree(name); err != nil {
			return "", err
		}
	}
	blobs, err := ParseManifest(manifest)
	if err != nil {
		return "", err
	}
	for _, b := range blobs {
		if !g.Have(b) {
			return "", fmt.Errorf("blob %s: %w %s", b.Digest, ErrNotFound, g.s.dir)
		}
	}
	if _, err := g.s.putBlob(manifest); err != nil {
		return "", err
	}
	if err := g.s.syncBlobs(); err != nil {
		return "", err
	}
	return g.s.addEntry(manifest, name, created, notes)
}

// addEntry adds the image of a stored manifest to index.json.
func (s *Store) addEntry(manifest []byte, name string, created time.Time, notes map[string]string) (string, error) {
	d := descriptor(ocispec.MediaTypeImageManifest, Digest(manifest), int64(len(manifest)))
	d.ArtifactType = ArtifactType
	d.Annotations = map[string]string{}
	for k, v := range notes {
		d.Annotations[k] = v
	}
	if !created.IsZero() {
		d.Annotations[AnnotationCreated] = created.UTC().Format(time.RFC3339)
	}
	err := s.change(func(x *ocispec.Index) error {
		if err := nameFree(x, name); err != nil {
			return err
		}
		setName(x, d, name)
		return nil
	})
	return string(d.Digest), err
}

// Copy takes an image from another store, or from any OCI image layout, under the name, which may be empty. Every blob
// is hashed on the way.
func (s *Store) Copy(ctx context.Context, from *Store, ref, name string, progress Progress) (digest string, err error) {
	m, err := from.Open(ref)
	if err != nil {
		return "", err
	}
	defer m.Close()
	g, err := s.NewIngest()
	if err != nil {
		return "", err
	}
	defer g.Close()
	var done, total int64
	for _, b := range m.Blobs() {
		total += b.Size
	}
	for _, b := range m.Blobs() {
		err := g.Blob(ctx, b, func(off int64) (io.ReadCloser, error) { return from.section(b, off) }, func(n int64) {
			done += n
			if progress != nil {
				progress(done, total)
			}
		})
		if err != nil {
			return "", m.closer(ctx, err)
		}
	}
	manifest, err := from.readBlob(m.Manifest(), MaxManifest)
	if err != nil {
		return "", err
	}
	var created time.Time
	var notes map[string]string
	if list, err := from.List(); err == nil {
		for _, e := range list {
			if e.Digest == m.Manifest() && (notes == nil || e.Name == ref) {
				created, notes = e.Created, e.Annotations
			}
		}
	}
	return g.Commit(manifest, name, created, notes)
}

// closer is the error of copying the image. Of damage that was found in a blob as a whole it says where that is in the
// image.
func (m *Image) closer(ctx context.Context, err error) error {
	damage, ok := errors.AsType[*DamageError](err)
	if !ok || damage.File != "" {
		return fmt.Errorf("copying image %s: %w", m.name, err)
	}
	damage.Image = m.name
	if closer, ok := errors.AsType[*DamageError](m.Verify(ctx, nil)); ok {
		return closer
	}
	return damage
}

// section reads a blob from off to its end.
func (s *Store) section(b Blob, off int64) (io.ReadCloser, error) {
	f, _, err := s.openBlob(b.Digest)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, off, b.Size-off), f}, nil
}
