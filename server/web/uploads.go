package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/library"
)

// streamed are requests whose body is no document: it goes to the store as it comes, and is never in memory whole.
var streamed = map[string]bool{"POST /v1/uploads": true}

// silence is how long nothing may come of a body that is streamed.
const silence = time.Minute

// WithUploads has the API take files that become images, and returns the API.
func (a *API) WithUploads(u *library.Uploads) *API {
	a.uploads = u
	return a
}

var errNoUploads = errors.New("this server takes no files: `diskcast image import` brings an image")

// sent reads what is said of a file.
func sent(r *http.Request) (library.Upload, error) {
	u := library.Upload{Size: r.ContentLength}
	q := r.URL.Query()
	u.Name, u.Level, u.Replace = q.Get("name"), q.Get("level"), said(r, "replace")
	var err error
	if s := q.Get("size"); s != "" {
		if u.Size, err = strconv.ParseInt(s, 10, 64); err != nil || u.Size < 0 {
			return u, &queryError{fmt.Errorf("size=%.40q is not a number of bytes", s)}
		}
	}
	return u, nil
}

func (a *API) checkUpload(w http.ResponseWriter, r *http.Request) {
	if a.uploads == nil {
		a.fail(w, r, http.StatusNotFound, errNoUploads)
		return
	}
	u, err := sent(r)
	if err == nil {
		err = a.uploads.Check(u)
	}
	if err != nil {
		a.failUpload(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) takeUpload(w http.ResponseWriter, r *http.Request) {
	if a.uploads == nil {
		a.fail(w, r, http.StatusNotFound, errNoUploads)
		return
	}
	u, err := sent(r)
	if err != nil {
		a.failUpload(w, r, err)
		return
	}
	body := &patient{r.Body, http.NewResponseController(w)}
	j, err := a.uploads.Take(r.Context(), u, body, holderOf(r).Name)
	if err != nil {
		a.failUpload(w, r, err)
		return
	}
	w.Header().Set("Location", "/v1/jobs/"+j.ID)
	a.reply(w, http.StatusCreated, j)
}

// patient is a body that may take any time, as long as something comes of it.
type patient struct {
	io.Reader
	rc *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(time.Now().Add(silence)) // not every writer has deadlines (tests' do not)
	return p.Reader.Read(b)
}

// failUpload finds the status for why a file was not taken.
func (a *API) failUpload(w http.ResponseWriter, r *http.Request, err error) {
	var query *queryError
	var tooLarge *http.MaxBytesError
	code := http.StatusUnprocessableEntity
	switch {
	case errors.As(err, &query), errors.Is(err, io.ErrUnexpectedEOF):
		code = http.StatusBadRequest
	case errors.As(err, &tooLarge):
		code = http.StatusRequestEntityTooLarge
	case errors.Is(err, library.ErrTaken):
		code = http.StatusConflict
	case errors.Is(err, library.ErrManyUploads), r.Context().Err() != nil:
		code = http.StatusServiceUnavailable
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		code = http.StatusInsufficientStorage
	}
	a.fail(w, r, code, err)
}
