package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/regular"
)

// maxLayoutIndex bounds, in bytes, index.json.
const maxLayoutIndex = 64 << 20

const layoutFile = `{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`

func (s *Store) privateDir() string { return filepath.Join(s.dir, ".diskcast") }
func (s *Store) tmpDir() string     { return filepath.Join(s.dir, ".diskcast", "tmp") }
func (s *Store) partialDir() string { return filepath.Join(s.dir, ".diskcast", "partial") }

// create lays out an empty store. index.json comes last: a directory without it is not yet a store.
func (s *Store) create() error {
	if err := s.folders(); err != nil {
		return err
	}
	return s.locked(lockIndex, func() error {
		if err := s.replace(ocispec.ImageLayoutFile, []byte(layoutFile)); err != nil {
			return err
		}
		if _, err := os.Lstat(filepath.Join(s.dir, ocispec.ImageIndexFile)); err == nil {
			return nil // another process was faster
		}
		return s.writeIndex(&ocispec.Index{})
	})
}

// checkLayout reports fs.ErrNotExist when dir is not a layout, or one whose making broke off before it had blobs.
func (s *Store) checkLayout() error {
	if err := s.checkVersion(); err != nil {
		return err
	}
	return s.checkList()
}

// checkVersion reads oci-layout. Where that is missing, and what only a store has is there, it was lost.
func (s *Store) checkVersion() error {
	path := filepath.Join(s.dir, ocispec.ImageLayoutFile)
	b, err := regular.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && Remains(s.dir) {
		// Once more: another process may have made the store meanwhile.
		if b, err = regular.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
			return &DamageError{Chunk: -1, File: path, Reason: "it is missing, and what belongs to it is there. " +
				putLayout}
		}
	}
	if err != nil {
		return noFile(err, putLayout)
	}
	var l ocispec.ImageLayout
	if err := json.Unmarshal(b, &l); err != nil || l.Version == "" {
		return &DamageError{Chunk: -1, File: path, Reason: "it does not say the version of an OCI image layout. " +
			putLayout}
	}
	if l.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("OCI image layout version %q; this program knows %s", l.Version, ocispec.ImageLayoutVersion)
	}
	return nil
}

// putLayout is what can be done about a file oci-layout that is not whole: there is one content of it.
const putLayout = `Put a file with ` + layoutFile + ` there`

// checkList looks for index.json. A store that has blobs had one.
func (s *Store) checkList() error {
	path := filepath.Join(s.dir, ocispec.ImageIndexFile)
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && s.hasBlobs() {
		// Once more: another process may have made the store and put an image into it meanwhile.
		if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return s.noList()
		}
	}
	return err
}

func (s *Store) noList() error {
	return &DamageError{Chunk: -1, File: filepath.Join(s.dir, ocispec.ImageIndexFile),
		Reason: "it is missing, the list of the store's images. The images' blobs are other files. Put a copy of " +
			"this file, or of the whole store, back; if there is none, " + listAnew}
}

// hasBlobs reports whether there are blobs, of whatever image.
func (s *Store) hasBlobs() bool {
	names, err := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
	return err == nil && slices.ContainsFunc(names, func(e fs.DirEntry) bool {
		return checkDigest("sha256:"+e.Name()) == nil
	})
}

// Remains reports whether dir has what only a store, or an image layout, has: blobs, or a list of images beside the
// folder that is this program's own.
func Remains(dir string) bool {
	s := &Store{dir: dir}
	_, list := os.Stat(filepath.Join(dir, ocispec.ImageIndexFile))
	_, own := os.Stat(s.privateDir())
	return list == nil && own == nil || s.hasBlobs()
}

// folders makes the folders that an image is put into, where they were lost.
func (s *Store) folders() error {
	for _, d := range []string{filepath.Join(s.dir, "blobs", "sha256"), s.tmpDir()} {
		if err := os.MkdirAll(d, private.DirMode); err != nil {
			return fmt.Errorf("image store: %w", err)
		}
	}
	return nil
}

// readIndex reads index.json.
func (s *Store) readIndex() (*ocispec.Index, error) {
	f, err := regular.Open(filepath.Join(s.dir, ocispec.ImageIndexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.noList() // it was there when the store was opened
	}
	if err != nil {
		return nil, fmt.Errorf("image store: %w", noFile(err, copyBack))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLayoutIndex+1))
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	if len(b) > maxLayoutIndex {
		return nil, fmt.Errorf("%s: more than %d bytes", f.Name(), maxLayoutIndex)
	}
	var x ocispec.Index
	if err := json.Unmarshal(b, &x); err != nil {
		return nil, &DamageError{Chunk: -1, File: f.Name(), Reason: listDamage(b, err)}
	}
	if x.Manifests == nil { // writeIndex writes [] where there are none
		return nil, &DamageError{Chunk: -1, File: f.Name(), Reason: "it has no list of the store's images " +
			"(`manifests`). " + blobsApart}
	}
	return &x, nil
}

// listDamage says what is wrong with a list of images that is no JSON, and what to do.
func listDamage(b []byte, err error) string {
	what := fmt.Sprintf("it is not the list of the store's images (%v)", err)
	var syntax *json.SyntaxError
	switch {
	case len(b) == 0:
		what = "it is empty, not the list of the store's images"
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(b)) && err.Error() == "unexpected end of JSON input":
		what = fmt.Sprintf("it is cut short: the list of the store's images ends in the middle, after %d bytes", len(b))
	}
	return what + ". " + blobsApart
}

const blobsApart = "The images' blobs are other files. " + copyBack

// copyBack is what can be done about a list of images that is not whole.
const copyBack = "Put a copy of this file back; if there is none, move it away: " + listAnew

// listAnew is what can be done where there is no copy of the list.
const listAnew = "the next `diskcast image import`, capture or pull with --store makes it anew, with all images " +
	"whose manifests are there, without their names (`diskcast image tag DIGEST NAME` gives them)"

// noFile turns the error for what lies in the place of a file of the store into damage; next is what can be done.
func noFile(err error, next string) error {
	if other, ok := errors.AsType[*regular.Error](err); ok {
		return &DamageError{Chunk: -1, File: other.Path, Reason: "it is " + other.What + ", and no file. " + next}
	}
	return err
}

// writeIndex replaces index.json. The lock must be held.
func (s *Store) writeIndex(x *ocispec.Index) error {
	x.Versioned = specs.Versioned{SchemaVersion: 2}
	x.MediaType = ocispec.MediaTypeImageIndex
	if x.Manifests == nil {
		x.Manifests = []ocispec.Descriptor{}
	}
	b, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	if len(b) > maxLayoutIndex {
		return fmt.Errorf("image store %s: the list of its images would have %d bytes, more than the %d that can be "+
			"read: remove some (`diskcast image rm`)", s.dir, len(b), maxLayoutIndex)
	}
	err = s.replace(ocispec.ImageIndexFile, b)
	if noRoom(err) && s.dropReserve() {
		err = s.replace(ocispec.ImageIndexFile, b)
	}
	if noRoom(err) {
		return fmt.Errorf("%w: the list of images could not be written and is as it was. `diskcast image gc "+
			"--partial` needs no room and may free some; else remove something else from that file system", err)
	}
	if err == nil {
		s.keepReserve(len(b))
	}
	return err
}

// change reads index.json under the lock, lets f change it, and replaces it unless f fails.
func (s *Store) change(f func(*ocispec.Index) error) error {
	return s.locked(lockIndex, func() error {
		x, err := s.readIndex()
		if err != nil {
			return err
		}
		if err := f(x); err != nil {
			return err
		}
		return s.writeIndex(x)
	})
}

// replace puts a file in place in one step that survives a crash at any instruction.
func (s *Store) replace(name string, b []byte) error {
	if err := os.MkdirAll(s.tmpDir(), private.DirMode); err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	f, err := os.CreateTemp(s.tmpDir(), name+"-*")
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(private.FileMode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	if err := os.Rename(f.Name(), filepath.Join(s.dir, name)); err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	return syncDir(s.dir)
}

// Locks of a store: files in its private directory, flocked, so that a process that dies lets go.
const (
	lockIndex = "index.lock" // exclusive while index.json is read, changed and replaced
	// shared by whoever is about to refer to blobs that nothing refers to yet; exclusive for GC
	lockUse = "use.lock"
)

// ErrBusy is wrapped by errors about a lock that another process holds.
var ErrBusy = errors.New("the store is in use")

// lock takes a lock; how is LOCK_EX or LOCK_SH, or'ed with LOCK_NB. Closing the file lets go.
func (s *Store) lock(name string, how int) (*os.File, error) {
	f, err := regular.OpenFile(filepath.Join(s.privateDir(), name), os.O_RDWR|os.O_CREATE, private.FileMode)
	if errors.Is(err, fs.ErrNotExist) {
		// A layout made by another program, or copied without our directory.
		if err = os.MkdirAll(s.tmpDir(), private.DirMode); err == nil {
			f, err = regular.OpenFile(filepath.Join(s.privateDir(), name), os.O_RDWR|os.O_CREATE, private.FileMode)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("image store: %w", noFile(err, "Remove it: the lock is made anew"))
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if err == unix.EWOULDBLOCK {
		return nil, fmt.Errorf("%s: %w", s.dir, ErrBusy)
	}
	return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
}

func (s *Store) locked(name string, f func() error) error {
	l, err := s.lock(name, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer l.Close()
	return f()
}
