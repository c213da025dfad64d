package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/engine"
)

// importPrefix keeps what operators bring apart from what sessions capture.
const importPrefix = "import-"

// importRest is how long nothing may come of an import before the server lets go of it: while it holds one, no space
// can be freed.
const importRest = 15 * time.Minute

var importID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9]{1,40}$`)
})

// imports knows which imports are under way.
type imports struct {
	mu     sync.Mutex
	timers map[string]*time.Timer
}

// heard puts off the end of an import.
func (i *imports) heard(id string, rest func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if t := i.timers[id]; t != nil {
		t.Stop()
	}
	if i.timers == nil {
		i.timers = map[string]*time.Timer{}
	}
	i.timers[id] = time.AfterFunc(importRest, rest)
}

func (i *imports) forget(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if t := i.timers[id]; t != nil {
		t.Stop()
		delete(i.timers, id)
	}
}

var errNoImports = errors.New("this server takes no images")

// incoming reads what every request of an import says; when it does not, the request is answered and ok is false.
func (a *API) incoming(w http.ResponseWriter, r *http.Request) (u *engine.Upload, disk int64, ok bool) {
	q := r.URL.Query()
	disk, err := strconv.ParseInt(q.Get("disk"), 10, 64)
	grid, gridErr := strconv.ParseInt(q.Get("grid"), 10, 64)
	if gridErr == nil {
		gridErr = image.CheckGrid(grid)
	}
	level, id := q.Get("level"), r.PathValue("id")
	switch {
	case a.captures == nil:
		a.fail(w, r, http.StatusNotFound, errNoImports)
		return nil, 0, false
	case !importID().MatchString(id):
		err = errors.New("an import is named by 1 to 40 small letters and digits")
	case err != nil || disk <= 0:
		err = fmt.Errorf("disk=%.40q is not a size in bytes", q.Get("disk"))
	case gridErr != nil:
		err = fmt.Errorf("grid=%.40q is not the size of a cell", q.Get("grid"))
	case level != image.Fast && level != image.Default && level != image.Small && level != image.Best:
		err = fmt.Errorf("level=%.40q is none of fast, default, small, best", level)
	case len(q.Get("parent")) > 300:
		err = errors.New("the parent's name is too long")
	default:
		err = a.nameFree(r.Context(), q.Get("name"))
	}
	if err != nil {
		a.fail(w, r, http.StatusBadRequest, err)
		return nil, 0, false
	}
	u = &engine.Upload{Upload: session.Upload{ID: importPrefix + id, Name: q.Get("name"), Level: level, Grid: grid},
		Session: engine.ImportSession, Parent: q.Get("parent")}
	a.imports.heard(u.ID, func() { a.restImport(u.ID) })
	return u, disk, true
}

// nameFree says why an import cannot give an image the name, before anything of it comes.
func (a *API) nameFree(ctx context.Context, name string) error {
	if err := image.CheckName(name); err != nil || !image.LooksLikeDigest(name) || a.library == nil {
		return err
	}
	list, err := a.library.List(ctx)
	if err != nil {
		return err
	}
	var digest string
	for i := range list {
		switch {
		case list[i].Name == name:
			return nil
		case image.BeginsDigest(list[i].Digest, name):
			digest = list[i].Digest
		}
	}
	if digest != "" {
		return image.DigestNameError(name, digest)
	}
	return nil
}

// restImport lets go of an import; what was sent of it stays.
func (a *API) restImport(id string) {
	a.imports.forget(id)
	a.captures.Rest(id)
}

// importing makes a handler of one for a request of an import.
func importing(h func(a *API, r *http.Request, u *engine.Upload, disk int64) (any, error)) handler {
	return plainly(func(a *API, w http.ResponseWriter, r *http.Request) {
		u, disk, ok := a.incoming(w, r)
		if !ok {
			return
		}
		v, err := h(a, r, u, disk)
		var missing *image.MissingError
		var tooLarge *http.MaxBytesError
		var query *queryError
		switch {
		case errors.As(err, &tooLarge), errors.As(err, &query):
			a.failDocument(w, r, err)
		case errors.As(err, &missing):
			a.fail(w, r, http.StatusConflict, err)
		case errors.Is(err, image.ErrFormat):
			a.fail(w, r, http.StatusUnprocessableEntity, err)
		case err != nil:
			a.failImage(w, r, err)
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			a.reply(w, http.StatusOK, v)
		}
	})
}

func (a *API) hasImported(r *http.Request, u *engine.Upload, disk int64) (any, error) {
	sum, size, err := frameOf(r)
	if err != nil {
		return nil, &queryError{err}
	}
	have, err := a.captures.Has(u, disk, sum, size)
	return session.FrameReply{V: session.Version, Have: have}, err
}

func (a *API) putImported(r *http.Request, u *engine.Upload, disk int64) (any, error) {
	sum, size, err := frameOf(r)
	if err != nil {
		return nil, &queryError{err}
	}
	stored, err := readBody(r)
	if err != nil {
		return nil, &queryError{err}
	}
	return nil, a.captures.Put(u, disk, sum, size, stored)
}

func (a *API) finishImport(r *http.Request, u *engine.Upload, disk int64) (any, error) {
	n, err := strconv.ParseInt(r.URL.Query().Get("config"), 10, 64)
	if err != nil || n <= 0 || n > image.MaxConfig {
		return nil, &queryError{fmt.Errorf("config=%.40q is not the length of a config", r.URL.Query().Get("config"))}
	}
	cfg, x, err := readImage(r.Body, n)
	if err != nil {
		return nil, &queryError{err}
	}
	digest, err := a.captures.Finish(r.Context(), u, disk, x, cfg)
	if err != nil {
		return nil, err
	}
	a.imports.forget(u.ID)
	return session.CaptureReply{V: session.Version, Digest: digest}, nil
}

func (a *API) endImport(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	switch {
	case a.captures == nil:
		a.fail(w, r, http.StatusNotFound, errNoImports)
	case !importID().MatchString(id):
		a.fail(w, r, http.StatusBadRequest, errors.New("an import is named by 1 to 40 small letters and digits"))
	default:
		a.restImport(importPrefix + id)
		w.WriteHeader(http.StatusNoContent)
	}
}
