package library

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/server/doc"
)

// broken is a body that ends too early.
type broken struct{ io.Reader }

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// counter runs jobs of uploads into a store of the test's own.
func counter(t *testing.T) (*Uploads, *Local, *Jobs) {
	t.Helper()
	st, err := image.OpenStore(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	l := NewLocal(st)
	jobs := NewJobs(l, nil)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- jobs.Run(ctx) }() // ends with the test
	t.Cleanup(func() { stop(); <-done })
	<-jobs.Ready()
	return NewUploads(l, jobs), l, jobs
}

// names are the files below a directory.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// over waits for the end of a job.
func over(t *testing.T, jobs *Jobs, id string) *doc.Job {
	t.Helper()
	for after := uint64(0); ; {
		j, err := jobs.Wait(t.Context(), id, after)
		if err != nil {
			t.Fatal(err)
		}
		if j.Over() {
			return j
		}
		after = j.Serial
	}
}

// TestUploads: a file that is sent becomes an image that has its bytes, packed or not; the same disk sent again is the
// same image.
func TestUploads(t *testing.T) {
	u, l, jobs := counter(t)
	disk := make([]byte, 24<<20+512)
	imagetest.Random(disk[:3<<20], 1)
	imagetest.Random(disk[20<<20:], 2)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(disk); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	digests := map[string]bool{}
	for name, file := range map[string][]byte{"raw": disk, "packed": packed.Bytes()} {
		for _, size := range []int64{int64(len(file)), -1} {
			j, err := u.Take(t.Context(), Upload{Name: name, Replace: true, Size: size}, bytes.NewReader(file), "ann")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if j = over(t, jobs, j.ID); j.State != doc.Done || j.Result.Import.Disk != int64(len(disk)) {
				t.Fatalf("%s: %+v", name, j)
			}
			digests[j.Result.Import.Digest] = true
		}
		im, err := l.Store().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := im.Verify(t.Context(), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		im.Close()
	}
	if len(digests) != 1 {
		t.Errorf("one disk became %d images", len(digests))
	}
	for digest := range digests {
		name := digest[7:19]
		_, pull := jobs.Start(doc.JobSpec{V: 1, Kind: doc.JobPull, Registry: "localhost:1/x:y", Name: name})
		for _, err := range []error{u.Check(Upload{Name: name}), u.Check(Upload{Name: name, Replace: true}), pull} {
			if !errors.Is(err, image.ErrDigestName) {
				t.Errorf("called %s, and %s is there: %v", name, digest, err)
			}
		}
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := u.keep(t.Context(), f, bytes.NewReader(disk))
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	got, rerr := os.ReadFile(f.Name())
	if err != nil || rerr != nil || n != int64(len(disk)) || !bytes.Equal(got, disk) || st.Blocks*512 > 9<<20 {
		t.Errorf("kept %d bytes in %d, %v, %v; want %d of the same, with holes", n, st.Blocks*512, err, rerr, len(disk))
	}
}

// TestUploadsThatFail: what is not taken is refused with why, and nothing is left of it.
func TestUploadsThatFail(t *testing.T) {
	u, l, jobs := counter(t)
	disk := make([]byte, 1<<20)
	imagetest.Random(disk, 3)
	first, err := u.Take(t.Context(), Upload{Name: "taken", Size: -1}, bytes.NewReader(disk), "ann")
	if err != nil {
		t.Fatal(err)
	}
	over(t, jobs, first.ID)
	before := names(t, l.Store().Dir())
	room := u.room
	full := func() (int64, error) { return leastRoom + 1000, nil }
	for _, c := range []struct {
		name string
		x    Upload
		body io.Reader
		room func() (int64, error)
		is   error
		want string
	}{
		{"a name that is none", Upload{Name: "../x", Size: -1}, bytes.NewReader(disk), room, nil, "name"},
		{"a level that is none", Upload{Name: "x", Level: "best", Size: -1}, bytes.NewReader(disk), room, nil, "level"},
		{"a name that is taken", Upload{Name: "taken", Size: -1}, bytes.NewReader(disk), room, ErrTaken,
			"choose another"},
		{"a file that is too large", Upload{Name: "x", Size: MaxUpload + 1}, bytes.NewReader(disk), room, nil, "8"},
		{"a full store", Upload{Name: "x", Size: int64(len(disk))}, bytes.NewReader(disk), full, unix.ENOSPC,
			"make room"},
		{"an empty file", Upload{Name: "x", Size: 0}, strings.NewReader(""), room, nil, "empty"},
		{"a connection that broke", Upload{Name: "x", Size: -1}, &broken{bytes.NewReader(disk)}, room,
			io.ErrUnexpectedEOF, "did not come whole"},
		{"less than was said", Upload{Name: "x", Size: 2 << 20}, bytes.NewReader(disk), room, io.ErrUnexpectedEOF,
			"of a file of 2097152"},
		{"more than was said", Upload{Name: "x", Size: 5}, bytes.NewReader(disk), room, io.ErrUnexpectedEOF,
			"bytes came, and the file was said to have 5"},
	} {
		u.room = c.room
		_, err := u.Take(t.Context(), c.x, c.body, "ann")
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	// The store fills while the file comes.
	asked := 0
	u.room = func() (int64, error) {
		if asked++; asked > 1 {
			return 1000, nil
		}
		return room()
	}
	long := io.LimitReader(bytes.NewReader(make([]byte, 3*askRoom)), 3*askRoom)
	if _, err := u.Take(t.Context(), Upload{Name: "x", Size: -1}, long, "ann"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a store that fills: %v", err)
	}
	u.room = room
	for _, c := range []struct{ name, file, want string }{
		{"no whole sectors", strings.Repeat("x", 1000), "not a whole number of 512-byte sectors"},
		{"a format that is not read", "KDMV" + strings.Repeat("\x00", 2044), "not read"},
		{"a packed file that is cut", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x00", "the file that was sent"},
	} {
		j, err := u.Take(t.Context(), Upload{Name: "x", Size: -1}, strings.NewReader(c.file), "ann")
		if err != nil {
			t.Fatal(err)
		}
		if j = over(t, jobs, j.ID); j.State != doc.Failed || !strings.Contains(j.Error, c.want) ||
			strings.Contains(j.Error, "/proc/") {
			t.Errorf("%s: %s, %s; want %q", c.name, j.State, j.Error, c.want)
		}
	}
	if after := names(t, l.Store().Dir()); !slices.Equal(after, before) {
		t.Errorf("the store has %q, and had %q", after, before)
	}
	if u.going != 0 {
		t.Errorf("%d files are counted that nobody sends", u.going)
	}
}

// TestUploadsAtOnce: two files that are to have one name do not both get it, and no more come at once than may.
func TestUploadsAtOnce(t *testing.T) {
	u, l, jobs := counter(t)
	var files []*io.PipeWriter
	errs := make(chan error, maxUploads+1)
	for range maxUploads {
		r, w := io.Pipe()
		files = append(files, w)
		go func() {
			_, err := u.Take(context.Background(), Upload{Name: "one", Size: -1}, r, "ann")
			errs <- err
		}()
		if _, err := w.Write([]byte{1}); err != nil { // it is being read
			t.Fatal(err)
		}
	}
	if _, err := u.Take(t.Context(), Upload{Name: "two", Size: -1}, strings.NewReader("x"), "ann"); !errors.Is(err,
		ErrManyUploads) {
		t.Errorf("one more: %v", err)
	}
	for i, w := range files {
		disk := make([]byte, 4095)
		imagetest.Random(disk, uint64(i))
		if _, err := w.Write(disk); err != nil {
			t.Fatal(err)
		}
		w.Close()
		err := <-errs
		if (i == 0) != (err == nil) || i > 0 && !errors.Is(err, ErrTaken) {
			t.Errorf("file %d: %v", i, err)
		}
	}
	for _, j := range jobs.List() {
		over(t, jobs, j.ID)
	}
	if list, err := l.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestUploadHeals: of a file that is sent, too, what the store has in damaged blobs is stored anew.
func TestUploadHeals(t *testing.T) {
	u, l, jobs := counter(t)
	disk := make([]byte, 4<<20)
	imagetest.Random(disk, 1)
	send := func(name string) {
		t.Helper()
		j, err := u.Take(t.Context(), Upload{Name: name, Size: int64(len(disk))}, bytes.NewReader(disk), "somebody")
		for err == nil && !j.Over() {
			j, err = jobs.Wait(t.Context(), j.ID, j.Serial)
		}
		if err != nil || j.State != doc.Done {
			t.Fatalf("%s: %+v, %v", name, j, err)
		}
	}
	send("x")
	im, err := l.Store().Open("x")
	if err != nil {
		t.Fatal(err)
	}
	blob, size := im.DataBlob(0)
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.Store().Dir(), "blobs", "sha256", strings.TrimPrefix(blob, "sha256:"))
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	send("y")
	for _, name := range []string{"x", "y"} {
		if err := l.Store().Verify(t.Context(), name, nil); err != nil {
			t.Error(err)
		}
	}
	if list, err := l.List(t.Context()); err != nil || len(list) != 2 || list[0].Problem+list[1].Problem != "" {
		t.Errorf("list: %+v, %v", list, err)
	}
}
