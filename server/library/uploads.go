package library

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
)

// Bounds of files that are sent.
const (
	maxUploads = 4       // that come at once
	MaxUpload  = 8 << 40 // bytes of one
	leastRoom  = 1 << 30 // bytes that are left free beside one: the state may be on the same disk
)

// Errors of uploads.
var (
	// ErrTaken says that another image has the name.
	ErrTaken = errors.New("another image has the name")
	// ErrManyUploads says that as many files come already as may at once.
	ErrManyUploads = errors.New("too many files come at once: send it when one of them is there")
)

// Upload is what is said of a file that is sent to become an image.
type Upload struct {
	Name    string // of the image
	Level   string // empty: default
	Replace bool   // take the name from the image that has it
	Size    int64  // of the file; below 0: nobody says
}

// Uploads takes disk images of other programs that are sent as they are. A file is kept beside the store without a
// name, so that nothing is left of it when the transfer breaks or the server ends, and becomes an image by a job.
type Uploads struct {
	lib  *Local
	jobs *Jobs
	// room says how many bytes are free where the store is.
	room func() (int64, error)

	mu    sync.Mutex
	going int
}

// NewUploads returns what takes files for a store.
func NewUploads(lib *Local, jobs *Jobs) *Uploads {
	u := &Uploads{lib: lib, jobs: jobs}
	u.room = func() (int64, error) {
		var st unix.Statfs_t
		if err := unix.Statfs(lib.st.Dir(), &st); err != nil {
			return 0, fmt.Errorf("%s: %w", lib.st.Dir(), err)
		}
		return int64(st.Bavail) * st.Bsize, nil
	}
	return u
}

// WithRoom has another say how many bytes are free, and returns what takes files.
func (u *Uploads) WithRoom(room func() (int64, error)) *Uploads {
	u.room = room
	return u
}

// Check says why a file would not be taken, before it is sent.
func (u *Uploads) Check(x Upload) error {
	if err := u.lib.st.NameFree(x.Name); err != nil {
		return err
	}
	switch x.Level {
	case "", image.Fast, image.Default, image.Small:
	default:
		return fmt.Errorf("level %.40q is none of fast, default, small", x.Level)
	}
	if x.Size > MaxUpload {
		return fmt.Errorf("the file has %s, and more than %s are not taken", units.Bytes(x.Size),
			units.Bytes(MaxUpload))
	}
	if err := u.free(x); err != nil {
		return err
	}
	return u.fits(max(x.Size, 0))
}

// free refuses a name that is another image's, or will be that of one that is being made.
func (u *Uploads) free(x Upload) error {
	if x.Replace {
		return nil
	}
	list, err := u.lib.st.List()
	if err != nil {
		return err
	}
	for _, im := range list {
		if im.Name == x.Name {
			return fmt.Errorf("%w %s: choose another, or say that it is to be replaced (the image that has it then "+
				"stays, and is found by its digest)", ErrTaken, x.Name)
		}
	}
	for _, j := range u.jobs.List() {
		if !j.Over() && j.Spec.Name == x.Name {
			return fmt.Errorf("%w %s: job %s is making it", ErrTaken, x.Name, j.ID)
		}
	}
	return nil
}

// fits refuses bytes for which there is no room.
func (u *Uploads) fits(n int64) error {
	free, err := u.room()
	if err != nil {
		return err
	}
	if free < leastRoom || n > free-leastRoom {
		return fmt.Errorf("%w: the image store has %s free, of which %s stay so, and the file is kept there until "+
			"the image is made of it: make room with `diskcast image rm` and `diskcast image gc --unnamed --partial`",
			unix.ENOSPC, units.Bytes(free), units.Bytes(leastRoom))
	}
	return nil
}

// Take reads a file to its end and begins to make an image of it. by is who sends it.
func (u *Uploads) Take(ctx context.Context, x Upload, body io.Reader, by string) (*doc.Job, error) {
	if err := u.Check(x); err != nil {
		return nil, err
	}
	u.mu.Lock()
	if u.going == maxUploads {
		u.mu.Unlock()
		return nil, ErrManyUploads
	}
	u.going++
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.going--
	}()
	f, err := sparse.Nameless(u.lib.st.Dir(), "upload", "diskcast-upload-*")
	if err != nil {
		return nil, fmt.Errorf("a place for the file: %w", err)
	}
	n, err := u.keep(ctx, f, body)
	switch {
	case err != nil:
	case n == 0:
		err = errors.New("the file is empty")
	case x.Size >= 0 && n != x.Size:
		err = &wrongSize{came: n, said: x.Size}
	default:
		err = u.free(x) // as it is now
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	spec := doc.JobSpec{V: 1, Kind: doc.JobImport, Name: x.Name}
	j, err := u.jobs.start(spec, func(ctx context.Context, w Watch) (*doc.JobResult, error) {
		defer f.Close()
		return u.make(ctx, f, x, w)
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	u.jobs.log.Info("a file came", "job", j.ID, "name", x.Name, "bytes", n, "by", by)
	return j, nil
}

// pieceSize is how much is read at once, and holeSize the zeros of which no block is taken.
const (
	pieceSize = 1 << 20
	holeSize  = 64 << 10
	askRoom   = 64 << 20 // bytes after which the room is asked for again
)

// keep writes what comes, and leaves holes for zeros.
func (u *Uploads) keep(ctx context.Context, f *os.File, body io.Reader) (int64, error) {
	buf := make([]byte, pieceSize)
	var zeros [holeSize]byte
	var n, asked int64
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		m, err := fill(body, buf)
		for at := 0; at < m; at += holeSize {
			piece := buf[at:min(at+holeSize, m)]
			if string(piece) == string(zeros[:len(piece)]) {
				continue
			}
			if _, err := f.WriteAt(piece, n+int64(at)); err != nil {
				return n, fmt.Errorf("keeping the file: %w", err)
			}
		}
		n += int64(m)
		if n > MaxUpload {
			return n, fmt.Errorf("more than %s are not taken", units.Bytes(MaxUpload))
		}
		if n-asked >= askRoom {
			asked = n
			if err := u.fits(0); err != nil {
				return n, err
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return n, f.Truncate(n)
		default:
			return n, fmt.Errorf("the file did not come whole: %w", err)
		}
	}
}

// fill reads until the buffer is full or an error comes. io.ReadFull would give the end of a whole body the error by
// which a broken one says that it is.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// wrongSize is a file of which another number of bytes came than was said before.
type wrongSize struct{ came, said int64 }

func (e *wrongSize) Error() string {
	if e.came > e.said {
		return fmt.Sprintf("%d bytes came, and the file was said to have %d: send it again with its size", e.came,
			e.said)
	}
	return fmt.Sprintf("%d bytes came of a file of %d: send it again", e.came, e.said)
}

// Unwrap says what kind of error it is: the body is wrong, not the server.
func (e *wrongSize) Unwrap() error { return io.ErrUnexpectedEOF }
