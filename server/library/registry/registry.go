// Package registry brings images to an OCI registry and back. Both directions go on where they were broken off: whole
// blobs are not sent again, and of one that was under way only the rest is.
package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/diskcast/diskcast/internal/image"
)

// Repository is a repository of a registry, and a tag or digest in it.
type Repository struct {
	repo *remote.Repository
	ref  orasregistry.Reference
	http *auth.Client
	// uploads is a directory that remembers uploads which were broken off; empty: they begin anew with each program.
	uploads string
}

// Options of Open.
type Options struct {
	PlainHTTP bool // speak HTTP without TLS
	// Uploads is where uploads that were broken off are remembered; empty: the user's cache directory.
	Uploads string
	// Client sends requests; nil: one that tries again when the registry is busy, and gives up one that is silent.
	Client *http.Client
	// Silence is how long a registry may say and take nothing; 0: two minutes.
	Silence time.Duration
}

// Open names a repository: REGISTRY/REPOSITORY, and then :TAG or @DIGEST; the tag latest when there is neither. Who may
// read and write there is known from `docker login`'s file.
func Open(name string, o Options) (*Repository, error) {
	ref, err := orasregistry.ParseReference(name)
	if err != nil {
		return nil, fmt.Errorf("%w (such as registry.example.org/images/debian:12)", err)
	}
	if ref.Reference == "" {
		ref.Reference = "latest"
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("credentials of `docker login`: %w", err)
	}
	if o.Client == nil {
		o.Client = patient(cmp.Or(o.Silence, silence))
	}
	if o.Uploads == "" {
		if dir, err := os.UserCacheDir(); err == nil {
			o.Uploads = filepath.Join(dir, "diskcast", "uploads")
		}
	}
	r := &Repository{ref: ref, uploads: o.Uploads,
		http: &auth.Client{Client: o.Client, Cache: auth.NewCache(), Credential: credentials.Credential(store)}}
	if r.repo, err = remote.NewRepository(ref.Registry + "/" + ref.Repository); err != nil {
		return nil, err
	}
	r.repo.PlainHTTP, r.repo.Client = o.PlainHTTP, r.http
	r.repo.SkipReferrersGC = true
	return r, nil
}

// Name is the repository's name with tag or digest.
func (r *Repository) Name() string { return r.ref.String() }

func descriptor(b image.Blob) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: b.MediaType, Digest: digest.Digest(b.Digest), Size: b.Size}
}

// total counts bytes for a progress.
type total struct {
	done, all int64
	progress  image.Progress
}

func (t *total) add(n int64) {
	t.done += n
	if t.progress != nil {
		t.progress(t.done, t.all)
	}
}

func sizeOf(blobs []image.Blob) (n int64) {
	for _, b := range blobs {
		n += b.Size
	}
	return n
}

// Push sends the image, and gives it the tag at the end.
func (r *Repository) Push(ctx context.Context, st *image.Store, im *image.Image, progress image.Progress) error {
	manifest, err := readAll(st, im.Manifest())
	if err != nil {
		return err
	}
	t := &total{all: sizeOf(im.Blobs()), progress: progress}
	for _, b := range im.Blobs() {
		if err := r.pushBlob(ctx, st, b, t); err != nil {
			return fmt.Errorf("blob %s: %w", b.Digest, err)
		}
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(im.Manifest()),
		Size: int64(len(manifest))}
	if r.ref.ValidateReferenceAsDigest() == nil && r.ref.Reference != im.Manifest() {
		return fmt.Errorf("the image's digest is %s and not the one that was asked for", im.Manifest())
	}
	if err := r.repo.PushReference(ctx, d, bytes.NewReader(manifest), r.ref.Reference); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

func readAll(st *image.Store, d string) ([]byte, error) {
	f, size, err := st.BlobReader(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > image.MaxManifest {
		return nil, fmt.Errorf("manifest %s has %d bytes", d, size)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// Pull takes the image of the tag or digest into the store under the name, which may be empty.
func (r *Repository) Pull(ctx context.Context, st *image.Store, name string, progress image.Progress) (string, error) {
	d, body, err := r.repo.FetchReference(ctx, r.ref.Reference)
	if err != nil {
		return "", err
	}
	defer body.Close()
	manifest, err := io.ReadAll(io.LimitReader(body, image.MaxManifest+1))
	if err != nil {
		return "", fmt.Errorf("manifest: %w", err)
	}
	if got := image.Digest(manifest); got != d.Digest.String() {
		return "", fmt.Errorf("manifest: the registry sent another one (%s) than it named (%s)", got, d.Digest)
	}
	blobs, err := image.ParseManifest(manifest)
	if err != nil {
		return "", fmt.Errorf("%s is no image of diskcast: %w", r.Name(), err)
	}
	in, err := st.NewIngest()
	if err != nil {
		return "", err
	}
	defer in.Close()
	t := &total{all: sizeOf(blobs), progress: progress}
	for _, b := range blobs {
		open := func(off int64) (io.ReadCloser, error) { return r.open(ctx, b, off) }
		before := t.done
		for try := 1; ; try++ {
			err := in.Blob(ctx, b, open, t.add)
			if err == nil {
				break
			}
			if ctx.Err() != nil || try == tries || errors.Is(err, image.ErrFormat) || silent(err) {
				return "", err
			}
			t.done = before // what is there is counted again
			if err := pause(ctx, try); err != nil {
				return "", err
			}
		}
	}
	return in.Commit(manifest, name, time.Now().UTC(), map[string]string{"org.diskcast.source": r.Name()})
}

// open reads a blob from a byte on, which Ingest asks for when it has the bytes before it.
func (r *Repository) open(ctx context.Context, b image.Blob, off int64) (io.ReadCloser, error) {
	body, err := r.repo.Blobs().Fetch(ctx, descriptor(b))
	if err != nil || off == 0 {
		return body, err
	}
	if s, ok := body.(io.Seeker); ok {
		_, err = s.Seek(off, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, body, off) // a registry without ranges
	}
	if err != nil {
		body.Close()
		return nil, err
	}
	return body, nil
}

// tries is how often one blob is tried without a pause of the operator's.
const tries = 5

func pause(ctx context.Context, try int) error {
	t := time.NewTimer(time.Duration(try*try) * 100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
