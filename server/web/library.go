package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

var errNoLibrary = errors.New("this server has no images to work on")

// inLibrary makes a handler of one that answers with a document about images, or with an error.
func inLibrary(h func(a *API, r *http.Request) (any, error)) handler {
	return plainly(func(a *API, w http.ResponseWriter, r *http.Request) {
		if a.library == nil {
			a.fail(w, r, http.StatusNotFound, errNoLibrary)
			return
		}
		v, err := h(a, r)
		if err != nil {
			a.failImage(w, r, err)
			return
		}
		a.reply(w, http.StatusOK, v)
	})
}

// queryError is an error about a request's query.
type queryError struct{ err error }

func (e *queryError) Error() string { return e.err.Error() }

// failImage finds the status for an error of the library.
func (a *API) failImage(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusInternalServerError
	var query *queryError
	switch {
	case errors.As(err, &query):
		code = http.StatusBadRequest
	case errors.Is(err, image.ErrNotFound), errors.Is(err, library.ErrNoJob):
		code = http.StatusNotFound
	case errors.Is(err, image.ErrBusy), errors.Is(err, errUsed):
		code = http.StatusConflict
	case errors.Is(err, library.ErrTooMany), errors.Is(err, context.Canceled),
		errors.Is(err, context.DeadlineExceeded):
		code = http.StatusServiceUnavailable
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		code = http.StatusInsufficientStorage
		err = fmt.Errorf("%w: the server's image store is full. Make room there with `diskcast image rm` and "+
			"`diskcast image gc --unnamed --partial`; asked for again, an import goes on where it was", err)
	case errors.Is(err, errName), errors.Is(err, image.ErrDigestName),
		library.Kind(err) == doc.KindDamaged: // as long as nobody mends it
		code = http.StatusUnprocessableEntity
	}
	a.failWith(w, r, code, err, library.Kind(err))
}

var errName = errors.New("not a name for an image")

func (a *API) listImages(w http.ResponseWriter, r *http.Request) {
	if a.library == nil {
		a.fail(w, r, http.StatusNotFound, errNoLibrary)
		return
	}
	pattern := r.URL.Query().Get("name")
	if _, err := path.Match(pattern, ""); err != nil {
		a.failImage(w, r, &queryError{fmt.Errorf("name=%.60q is no pattern", pattern)})
		return
	}
	list, err := a.library.List(r.Context())
	if err != nil {
		a.failImage(w, r, err)
		return
	}
	var keep func(*doc.ImageRow) bool
	if pattern != "" {
		keep = func(row *doc.ImageRow) bool {
			fits, _ := path.Match(pattern, row.Name) // the pattern was judged
			return fits
		}
	}
	listed(a, w, r, list, func(row *doc.ImageRow) string { return row.Name + "\x00" + row.Digest }, keep)
}

func (a *API) showImage(r *http.Request) (any, error) {
	parts, err := number(r, "map", doc.MaxImageParts)
	if err != nil {
		return nil, err
	}
	return a.library.Show(r.Context(), r.PathValue("image"), parts)
}

func (a *API) diffImage(r *http.Request) (any, error) {
	from := r.URL.Query().Get("from")
	if from == "" {
		return nil, &queryError{errors.New("from= names the image to compare with")}
	}
	return a.library.Diff(r.Context(), from, r.PathValue("image"), said(r, "extents"))
}

func (a *API) tagImage(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if err := image.CheckName(name); err != nil {
		return nil, fmt.Errorf("%w: %w", errName, err)
	}
	return a.library.Tag(r.Context(), r.PathValue("image"), name)
}

func (a *API) removeImage(r *http.Request) (any, error) {
	ref := r.PathValue("image")
	if err := a.inUse(r.Context(), ref); err != nil {
		return nil, err
	}
	return a.library.Remove(r.Context(), ref)
}

// inUse refuses to take away an image, or its last name, that a session or a job uses. What they use stays on the disk
// in any case; but it could not be found again, and who reads of it would not know what it was.
func (a *API) inUse(ctx context.Context, ref string) error {
	v, err := a.library.Show(ctx, ref, 0)
	if err != nil {
		return nil // it may be damaged, and taken away for that
	}
	names := 0
	list, err := a.library.List(ctx)
	if err != nil {
		return err
	}
	mine := map[string]bool{v.Digest: true}
	for _, row := range list {
		if row.Digest == v.Digest && row.Name != "" {
			names++
			mine[row.Name] = true
		}
	}
	going := mine // the names that go
	if mine[ref] && ref != v.Digest {
		going = map[string]bool{ref: true}
	}
	if users := a.engine.Named(going); len(users) > 0 {
		return fmt.Errorf("image %s is named by %s: no session of theirs could be made any more; have them name "+
			"another first (`diskcast profile set`, `menu set`, `repeat rm`): %w", ref, someOf(users), errUsed)
	}
	if names > 1 && ref != v.Digest && mine[ref] {
		return nil // it keeps another name
	}
	users := a.engine.Uses(v.Digest)
	for _, j := range a.jobs.List() {
		if !j.Over() && mine[j.Spec.Image] {
			users = append(users, fmt.Sprintf("job %s (%s)", j.ID, j.Spec.Kind))
		}
	}
	if len(users) == 0 {
		return nil
	}
	return fmt.Errorf("image %s is used by %s: cancel that or wait for its end, or give the image another name first "+
		"(`diskcast image tag`): %w", ref, strings.Join(users, ", "), errUsed)
}

// someOf names the first of who uses an image.
func someOf(users []string) string {
	const most = 5
	if len(users) <= most {
		return strings.Join(users, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(users[:most], ", "), len(users)-most)
}

var errUsed = errors.New("nothing was taken away")

func (a *API) listJobs(w http.ResponseWriter, r *http.Request) {
	if a.library == nil {
		a.fail(w, r, http.StatusNotFound, errNoLibrary)
		return
	}
	listed(a, w, r, a.jobs.List(), func(j *doc.Job) string { return j.ID }, nil)
}

func (a *API) startJob(w http.ResponseWriter, r *http.Request) {
	var spec doc.JobSpec
	if err := decodeJSON(r.Body, &spec); err != nil {
		a.failDocument(w, r, fmt.Errorf("job: %w", err))
		return
	}
	if a.library == nil {
		a.fail(w, r, http.StatusNotFound, errNoLibrary)
		return
	}
	j, err := a.jobs.Start(spec)
	switch {
	case errors.Is(err, library.ErrTooMany), errors.Is(err, context.Canceled):
		a.fail(w, r, http.StatusServiceUnavailable, err)
	case err != nil:
		a.fail(w, r, http.StatusUnprocessableEntity, err)
	default:
		w.Header().Set("Location", "/v1/jobs/"+j.ID)
		a.reply(w, http.StatusCreated, j)
	}
}

func (a *API) showJob(r *http.Request) (any, error) {
	after, wait, err := following(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	return a.jobs.Wait(ctx, r.PathValue("id"), after)
}

// following reads how a reader follows: after which serial, and how long it waits.
func following(r *http.Request) (after uint64, wait time.Duration, err error) {
	if s := r.URL.Query().Get("after"); s != "" {
		if after, err = strconv.ParseUint(s, 10, 64); err != nil {
			return 0, 0, &queryError{fmt.Errorf("after=%.40q is not a serial", s)}
		}
	}
	if s := r.URL.Query().Get("wait"); s != "" {
		if wait, err = time.ParseDuration(s); err != nil || wait < 0 {
			return 0, 0, &queryError{fmt.Errorf("wait=%.40q is not a duration such as 30s", s)}
		}
	}
	return after, min(wait, maxWait), nil
}

func (a *API) cancelJob(r *http.Request) (any, error) { return a.jobs.Cancel(r.PathValue("id")) }

// number reads a number of a query, 0 when it is not there.
func number(r *http.Request, name string, most int) (int, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, &queryError{fmt.Errorf("%s=%.40q is not a number from 0 to %d", name, s, most)}
	}
	return n, nil
}
