package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// GCOptions of GC.
type GCOptions struct {
	Unnamed bool // also give up images that have lost their name
	Partial bool // also give up blobs that are half fetched and captures that are half sent
	Dry     bool // only say what would go
}

// GCResult is what GC removed, or would have.
type GCResult struct {
	Images int   // without a name, given up
	Blobs  int   // files under blobs
	Files  int   // unfinished files of processes that are gone
	Bytes  int64 // of all files
}

// GC removes the blobs that no image of the store refers to, and what dead processes left behind. An image that is open
// anywhere keeps its blobs, even when it has no entry any more. Killed at any point it leaves a sound store. While a
// capture or an import is under way it fails with ErrBusy.
func (s *Store) GC(ctx context.Context, o GCOptions) (GCResult, error) {
	var r GCResult
	use, err := s.lock(lockUse, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, ErrBusy) {
		return r, fmt.Errorf("%w: a capture or an import is under way; try again when it has ended", err)
	}
	if err != nil {
		return r, err
	}
	defer use.Close()
	err = s.locked(lockIndex, func() error { return s.collect(ctx, o, &r) })
	if err != nil {
		err = fmt.Errorf("garbage collection of %s: %w", s.dir, err)
	}
	return r, err
}

func (s *Store) collect(ctx context.Context, o GCOptions, r *GCResult) error {
	x, err := s.readIndex()
	if err != nil {
		return err
	}
	if o.Unnamed {
		if err := s.dropUnnamed(x, o, r); err != nil {
			return err
		}
	}
	live := map[string]bool{}
	for _, d := range x.Manifests {
		if err := s.mark(live, string(d.Digest), 0); err != nil {
			if damage, ok := errors.AsType[*DamageError](err); ok {
				damage.Image = cmp.Or(d.Annotations[AnnotationName], string(d.Digest))
			}
			return fmt.Errorf("%w; remove the image (image rm) or copy the blob back from elsewhere, then try again",
				err)
		}
	}
	blobs, err := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, b := range blobs {
		s.markOpen(live, "sha256:"+b.Name())
	}
	for _, b := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		digest := "sha256:" + b.Name()
		if live[digest] || checkDigest(digest) != nil {
			continue
		}
		if err := removeFile(s.blobPath(digest), o.Dry, &r.Blobs, &r.Bytes); err != nil {
			return err
		}
	}
	// Under the exclusive lock nobody is writing an unfinished file, except index.json's, and its lock is held too.
	dirs := []string{s.tmpDir()}
	if o.Partial {
		dirs = append(dirs, s.partialDir())
		stages, err := s.Stages()
		if err != nil {
			return err
		}
		for _, id := range stages {
			dirs = append(dirs, filepath.Join(s.stageDir(), id))
		}
	}
	for _, dir := range dirs {
		left, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, f := range left {
			if err := removeFile(filepath.Join(dir, f.Name()), o.Dry, &r.Files, &r.Bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeFile(path string, dry bool, count *int, bytes *int64) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !dry {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	*count++
	*bytes += st.Size()
	return nil
}

func (s *Store) dropUnnamed(x *ocispec.Index, o GCOptions, r *GCResult) error {
	out := x.Manifests[:0:0]
	for _, d := range x.Manifests {
		ours := d.ArtifactType == ArtifactType || d.ArtifactType == "" &&
			d.MediaType == ocispec.MediaTypeImageManifest && s.isImage(string(d.Digest))
		if ours && d.Annotations[AnnotationName] == "" {
			r.Images++
			continue
		}
		out = append(out, d)
	}
	if len(out) == len(x.Manifests) {
		return nil
	}
	x.Manifests = out
	if o.Dry {
		return nil
	}
	return s.writeIndex(x)
}

// mark adds a manifest, of whatever kind, and all it refers to.
func (s *Store) mark(live map[string]bool, digest string, depth int) error {
	if live[digest] {
		return nil
	}
	if depth > 8 {
		return fmt.Errorf("manifest %s: an index of indexes too deep", digest)
	}
	b, err := s.readBlob(digest, MaxManifest)
	if err != nil {
		return missing(err, digest)
	}
	refs, err := references(b)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", digest, err)
	}
	live[digest] = true
	for _, d := range refs.blobs {
		live[d] = true
	}
	for _, d := range refs.manifests {
		if err := s.mark(live, d, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// markOpen keeps the blob, and what it refers to, if it is a manifest that somebody has open.
func (s *Store) markOpen(live map[string]bool, digest string) {
	if live[digest] || checkDigest(digest) != nil {
		return
	}
	f, size, err := s.openBlob(digest)
	if err != nil || size > MaxManifest {
		if err == nil {
			f.Close()
		}
		return
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK {
		return
	}
	b := make([]byte, size)
	if n, _ := f.ReadAt(b, 0); int64(n) < size {
		return
	}
	if strings.HasPrefix(strings.TrimSpace(string(b[:min(len(b), 64)])), "{") {
		_ = s.mark(live, digest, 0) // only a whole image can be open
	}
}

// refs are the digests in a manifest or an image index.
type refs struct{ blobs, manifests []string }

func references(b []byte) (refs, error) {
	var m struct {
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Blobs     []ocispec.Descriptor `json:"blobs"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	var r refs
	if err := json.Unmarshal(b, &m); err != nil {
		return r, err
	}
	if m.Config != nil {
		r.blobs = append(r.blobs, string(m.Config.Digest))
	}
	for _, d := range append(m.Layers, m.Blobs...) {
		r.blobs = append(r.blobs, string(d.Digest))
	}
	for _, d := range m.Manifests {
		r.manifests = append(r.manifests, string(d.Digest))
	}
	return r, nil
}
