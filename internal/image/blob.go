package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/regular"
)

// BlobReader reads one blob.
type BlobReader interface {
	io.ReaderAt
	io.Closer
}

// BlobReader opens a blob of any kind for reading and returns its size.
func (s *Store) BlobReader(digest string) (BlobReader, int64, error) { return s.openBlob(digest) }

func (s *Store) openBlob(digest string) (*os.File, int64, error) {
	if err := checkDigest(digest); err != nil {
		return nil, 0, err
	}
	f, err := regular.Open(s.blobPath(digest))
	var other *regular.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("blob %s: %w %s", digest, ErrNotFound, s.dir)
	case errors.As(err, &other):
		return nil, 0, &DamageError{Chunk: -1, Blob: digest, Reason: other.What + " is in the place of its file"}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("blob %s: %w", digest, err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("blob %s: %w", digest, err)
	}
	return f, st.Size(), nil
}

// blobPath is where the blob of a checked digest lies.
func (s *Store) blobPath(digest string) string {
	return filepath.Join(s.dir, "blobs", "sha256", digest[len("sha256:"):])
}

// readBlob reads a small blob whole and checks its digest.
func (s *Store) readBlob(digest string, limit int64) ([]byte, error) {
	f, size, err := s.openBlob(digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("blob %s: %w: it has %d bytes, more than the %d allowed", digest, ErrFormat, size, limit)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	if Digest(b) != digest {
		return nil, &DamageError{Chunk: -1, Blob: digest, Length: size, Reason: "its SHA-256 is not its name"}
	}
	return b, nil
}

// Digest is the OCI digest of b.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// blobWriter makes a blob: in a file of its own until it is whole and on the disk, then under its digest.
type blobWriter struct {
	s    *Store
	f    *os.File
	h    hash.Hash
	size int64
	err  error
}

func (s *Store) newBlob() (*blobWriter, error) {
	f, err := os.CreateTemp(s.tmpDir(), "blob-*")
	if err != nil {
		return nil, fmt.Errorf("making a blob: %w", err)
	}
	return &blobWriter{s: s, f: f, h: sha256.New()}, nil
}

func (w *blobWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.f.Write(p)
	w.h.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		w.err = fmt.Errorf("writing a blob: %w", err)
	}
	return n, w.err
}

// commit flushes the blob and gives it its name. The directory is flushed by the caller, once for several blobs.
func (w *blobWriter) commit() (digest string, err error) {
	if w.err != nil {
		w.abort()
		return "", w.err
	}
	digest = "sha256:" + hex.EncodeToString(w.h.Sum(nil))
	return digest, w.name(digest)
}

// name flushes the blob and gives it the name of a digest that is surely its own.
func (w *blobWriter) name(digest string) error {
	defer w.abort()
	if err := errors.Join(w.f.Chmod(private.FileMode), w.f.Sync(), w.f.Close()); err != nil {
		return fmt.Errorf("flushing blob %s: %w", digest, err)
	}
	if err := w.s.place(w.f.Name(), digest); err != nil {
		return err
	}
	w.f = nil
	return nil
}

// place gives a file the name of its digest, in place of whatever has it.
func (s *Store) place(file, digest string) error {
	path := s.blobPath(digest)
	if st, err := os.Lstat(path); err == nil && st.IsDir() { // which a file does not replace
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("a directory is in the place of blob %s: move it away: %w", digest, err)
		}
	}
	if err := os.Rename(file, path); err != nil {
		return fmt.Errorf("naming blob %s: %w", digest, err)
	}
	return nil
}

// abort removes the unfinished file. After commit it does nothing.
func (w *blobWriter) abort() {
	if w.f == nil {
		return
	}
	w.f.Close()
	os.Remove(w.f.Name())
	w.f = nil
}

// putBlob stores b. A blob that is there already is kept when its bytes are right and replaced when they are not.
func (s *Store) putBlob(b []byte) (string, error) {
	digest := Digest(b)
	if old, err := regular.ReadFile(s.blobPath(digest)); err == nil && bytes.Equal(old, b) {
		return digest, nil
	}
	w, err := s.newBlob()
	if err != nil {
		return "", err
	}
	if _, err := w.f.Write(b); err != nil { // past the hash: it would say of the same bytes what is known
		w.abort()
		return "", fmt.Errorf("writing a blob: %w", err)
	}
	return digest, w.name(digest)
}

// syncBlobs makes the names of committed blobs last.
func (s *Store) syncBlobs() error { return syncDir(filepath.Join(s.dir, "blobs", "sha256")) }

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("flushing a directory: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("flushing directory %s: %w", dir, err)
	}
	return nil
}
