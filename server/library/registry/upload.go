package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/diskcast/diskcast/internal/image"
)

// A blob goes up in pieces, as the distribution spec's "Pushing a blob in chunks" has it, because a registry keeps the
// pieces of an upload that was broken off: a POST begins it and names its place, PATCH adds, GET tells how far it is,
// PUT ends it. The place is remembered in a file, for the next program.

// piece is how much one PATCH sends, in bytes.
const piece = 16 << 20

// errGone says that the registry does not know the upload any more.
var errGone = errors.New("the registry has given the upload up")

func (r *Repository) pushBlob(ctx context.Context, st *image.Store, b image.Blob, t *total) error {
	ctx = auth.AppendRepositoryScope(ctx, r.ref, auth.ActionPull, auth.ActionPush)
	have, err := r.repo.Blobs().Exists(ctx, descriptor(b))
	if err != nil {
		return err
	}
	if have {
		t.add(b.Size)
		return nil
	}
	f, _, err := st.BlobReader(b.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	u := &upload{r: r, b: b, src: f, t: t, base: t.done, file: r.uploadFile(b)}
	u.place = u.recall()
	for try := 1; ; try++ {
		at := u.off
		err := u.run(ctx)
		if err == nil {
			return u.forget()
		}
		if errors.Is(err, errGone) {
			u.place, u.off = "", 0
		}
		if u.off > at {
			try = 1
		}
		if ctx.Err() != nil || try >= tries || silent(err) {
			return fmt.Errorf("%w (push it again: it goes on where it was)", err)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// upload is one blob on its way.
type upload struct {
	r     *Repository
	b     image.Blob
	src   io.ReaderAt
	t     *total
	base  int64 // of the progress
	file  string
	place string // URL, empty before the upload is begun
	off   int64
}

func (u *upload) run(ctx context.Context) error {
	if u.place == "" {
		if err := u.begin(ctx); err != nil {
			return err
		}
	} else if err := u.ask(ctx); err != nil {
		return err
	}
	for u.off < u.b.Size {
		u.tell()
		if err := u.patch(ctx); err != nil {
			return err
		}
	}
	u.tell()
	return u.end(ctx)
}

func (u *upload) tell() {
	u.t.done = u.base
	u.t.add(u.off)
}

func (u *upload) begin(ctx context.Context) error {
	scheme := "https"
	if u.r.repo.PlainHTTP {
		scheme = "http"
	}
	start := fmt.Sprintf("%s://%s/v2/%s/blobs/uploads/", scheme, u.r.ref.Host(), u.r.ref.Repository)
	resp, err := u.do(ctx, http.MethodPost, start, nil, 0, http.StatusAccepted)
	if err != nil {
		return err
	}
	u.off = 0
	return u.moved(resp)
}

// ask finds out how far the upload is.
func (u *upload) ask(ctx context.Context) error {
	resp, err := u.do(ctx, http.MethodGet, u.place, nil, 0, http.StatusNoContent)
	if err != nil {
		return err
	}
	if u.off, err = rangeEnd(resp.Header.Get("Range")); err != nil || u.off > u.b.Size {
		return errGone
	}
	return u.moved(resp)
}

// rangeEnd reads "0-N", the bytes that are there. Registries say 0-0 for none, too; one byte is never sent alone.
func rangeEnd(s string) (int64, error) {
	from, to, ok := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	n, err := strconv.ParseInt(to, 10, 64)
	if !ok || from != "0" || err != nil || n < 0 {
		return 0, fmt.Errorf("upload is at %q, which is no range", s)
	}
	if n == 0 {
		return 0, nil
	}
	return n + 1, nil
}

func (u *upload) patch(ctx context.Context) error {
	n := min(piece, u.b.Size-u.off)
	resp, err := u.do(ctx, http.MethodPatch, u.place, io.NewSectionReader(u.src, u.off, n), n, http.StatusAccepted)
	if err != nil {
		return err
	}
	u.off += n
	return u.moved(resp)
}

func (u *upload) end(ctx context.Context) error {
	place, err := url.Parse(u.place)
	if err != nil {
		return err
	}
	q := place.Query()
	q.Set("digest", u.b.Digest)
	place.RawQuery = q.Encode()
	_, err = u.do(ctx, http.MethodPut, place.String(), nil, 0, http.StatusCreated)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusBadRequest {
		return errGone // not the blob: bytes came twice or were lost
	}
	return err
}

// statusError is an answer that was not the one hoped for.
type statusError struct {
	op   string
	code int
	text string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: the registry answered %d %s %s", e.op, e.code, http.StatusText(e.code), e.text)
}

func (u *upload) do(ctx context.Context, method, place string, body *io.SectionReader, n int64,
	want int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, place, nil)
	if err != nil {
		return nil, err
	}
	if body != nil {
		// With GetBody the request can be repeated after a 401; after a broken connection it must not be, as some bytes
		// may have come.
		req.Body, req.ContentLength = io.NopCloser(body), n
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(u.src, u.off, n)), nil
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", u.off, u.off+n-1))
	}
	resp, err := u.r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	switch {
	case resp.StatusCode == want:
		return resp, nil
	case place == u.place &&
		(resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		return nil, errGone
	case err != nil:
		return nil, err
	}
	return nil, &statusError{method + " " + req.URL.Path, resp.StatusCode, strings.TrimSpace(string(text))}
}

// moved takes over the place that an answer names: it may change with every one.
func (u *upload) moved(resp *http.Response) error {
	place, err := resp.Location()
	if err != nil {
		return fmt.Errorf("the registry does not say where the upload goes on: %w", err)
	}
	u.place = place.String()
	if u.file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(u.file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(u.file, []byte(u.place), 0o600)
}

// uploadFile is where the place of the blob's upload to this repository is remembered.
func (r *Repository) uploadFile(b image.Blob) string {
	if r.uploads == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(r.ref.Registry + "/" + r.ref.Repository + " " + b.Digest))
	return filepath.Join(r.uploads, hex.EncodeToString(sum[:16]))
}

// recall returns the place of an earlier upload, as long as it is one of the same registry.
func (u *upload) recall() string {
	if u.file == "" {
		return ""
	}
	b, err := os.ReadFile(u.file)
	if err != nil {
		return ""
	}
	place, err := url.Parse(string(b))
	if err != nil || place.Host != u.r.ref.Host() {
		return ""
	}
	return place.String()
}

func (u *upload) forget() error {
	if u.file == "" {
		return nil
	}
	if err := os.Remove(u.file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
