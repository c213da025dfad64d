package web

import (
	"errors"
	"net/http"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// documentError is what is wrong with a request's document.
type documentError struct{ err error }

func (e *documentError) Error() string { return e.err.Error() }
func (e *documentError) Unwrap() error { return e.err }

var errNoEndpoint = errors.New("no such endpoint")

// problemOf is the code of a refusal; empty where nothing closer than its status is known. kind is an image's trouble.
func problemOf(status int, kind string, err error) string {
	var document *documentError
	var missing *image.MissingError
	for _, c := range []struct {
		status int
		code   string
		is     bool
	}{
		{http.StatusBadRequest, doc.ProblemDocument, errors.As(err, &document)},
		{http.StatusNotFound, doc.ProblemNoEndpoint, errors.Is(err, errNoEndpoint)},
		{http.StatusConflict, doc.ProblemIncomplete, errors.As(err, &missing)},
		{http.StatusConflict, doc.ProblemBusyImage, kind == doc.KindBusy || errors.Is(err, errUsed)},
		{http.StatusConflict, doc.ProblemKeyInUse, errors.Is(err, errKeyInUse)},
		{http.StatusUnprocessableEntity, doc.ProblemKeyReused, errors.Is(err, errKeyReused)},
		{http.StatusUnprocessableEntity, doc.ProblemDamaged, kind == doc.KindDamaged},
		{http.StatusServiceUnavailable, doc.ProblemStateFull,
			errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)},
		{http.StatusServiceUnavailable, doc.ProblemUnsettled, errors.Is(err, engine.ErrUnsettled)},
		{http.StatusServiceUnavailable, doc.ProblemHeld, errors.Is(err, engine.ErrHeld)},
		{http.StatusServiceUnavailable, doc.ProblemCrowd, errors.Is(err, engine.ErrCrowd)},
	} {
		if c.status == status && c.is {
			return c.code
		}
	}
	return ""
}
