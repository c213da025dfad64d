package web

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/engine"
)

// maxFrame bounds a frame as sent: zstd adds little to what it cannot compress.
const maxFrame = image.MaxGrid + image.MaxGrid>>7 + 1024

// upload finds the capture of a request; when there is none, the request is answered and ok is false.
func (a *API) upload(w http.ResponseWriter, r *http.Request, node string) (u *engine.Upload, disk int64, ok bool) {
	u, err := a.engine.Upload(node, r.PathValue("id"))
	if err != nil {
		a.failFor(w, r, err)
		return nil, 0, false
	}
	disk, err = strconv.ParseInt(r.URL.Query().Get("disk"), 10, 64)
	if err != nil || disk <= 0 {
		a.fail(w, r, http.StatusBadRequest, fmt.Errorf("disk=%q is not a size in bytes", r.URL.Query().Get("disk")))
		return nil, 0, false
	}
	return u, disk, true
}

// frameOf reads SUM-SIZE: 64 hex digits and the length of the decoded bytes.
func frameOf(r *http.Request) (sum [32]byte, size int64, err error) {
	digits, length, _ := strings.Cut(r.PathValue("frame"), "-")
	b, err := hex.DecodeString(digits)
	if err == nil {
		size, err = strconv.ParseInt(length, 10, 64)
	}
	if err != nil || len(b) != len(sum) || size <= 0 || size > image.MaxGrid {
		return sum, 0, errors.New("a frame is named by its BLAKE3 sum in hex, a dash, and its decoded size in bytes")
	}
	return [32]byte(b), size, nil
}

func (a *API) hasFrame(w http.ResponseWriter, r *http.Request, node string) {
	u, disk, ok := a.upload(w, r, node)
	if !ok {
		return
	}
	sum, size, err := frameOf(r)
	if err != nil {
		a.fail(w, r, http.StatusBadRequest, err)
		return
	}
	have, err := a.captures.Has(u, disk, sum, size)
	if err != nil {
		a.failCapture(w, r, u, err)
		return
	}
	a.reply(w, http.StatusOK, session.FrameReply{V: session.Version, Have: have})
}

func (a *API) putFrame(w http.ResponseWriter, r *http.Request, node string) {
	u, disk, ok := a.upload(w, r, node)
	if !ok {
		return
	}
	sum, size, err := frameOf(r)
	if err != nil {
		a.fail(w, r, http.StatusBadRequest, err)
		return
	}
	stored, err := readBody(r)
	if err != nil {
		a.failDocument(w, r, err)
		return
	}
	if err := a.captures.Put(u, disk, sum, size, stored); err != nil {
		a.failCapture(w, r, u, err)
		return
	}
	a.engine.CaptureFailed(u, nil)
	w.WriteHeader(http.StatusNoContent)
}

// readBody reads a body into memory, of one piece when the client says how long it is.
func readBody(r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n >= 0 && n <= maxFrame {
		b := make([]byte, n)
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	return io.ReadAll(r.Body)
}

// finishCapture takes the config, whose length the query says, and then the index.
func (a *API) finishCapture(w http.ResponseWriter, r *http.Request, node string) {
	u, disk, ok := a.upload(w, r, node)
	if !ok {
		return
	}
	if err := a.engine.MayFinish(node); err != nil {
		a.failFor(w, r, err)
		return
	}
	digest := u.Digest
	if digest == "" { // else the answer to an earlier request was lost
		n, err := strconv.ParseInt(r.URL.Query().Get("config"), 10, 64)
		if err != nil || n <= 0 || n > image.MaxConfig {
			a.fail(w, r, http.StatusBadRequest,
				fmt.Errorf("config=%q is not the length of a config", r.URL.Query().Get("config")))
			return
		}
		cfg, x, err := readImage(r.Body, n)
		if err != nil {
			a.failDocument(w, r, err)
			return
		}
		if digest, err = a.captures.Finish(r.Context(), u, disk, x, cfg); err != nil {
			a.failCapture(w, r, u, err)
			return
		}
		if err := a.engine.Captured(r.Context(), u, digest); err != nil {
			a.failFor(w, r, err)
			return
		}
	}
	a.reply(w, http.StatusOK, session.CaptureReply{V: session.Version, Digest: digest})
}

func readImage(body io.Reader, config int64) (*image.Config, *image.Index, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, nil, err
	}
	if int64(len(b)) < config {
		return nil, nil, fmt.Errorf("the config is cut short at %d bytes of %d", len(b), config)
	}
	cfg, err := image.ParseConfig(b[:config])
	if err != nil {
		return nil, nil, err
	}
	x, err := image.ParseIndex(b[config:])
	return cfg, x, err
}

// failCapture finds the status for an error of the store: what the node can mend has one of its own, what the server's
// operator must mend is the session's trouble.
func (a *API) failCapture(w http.ResponseWriter, r *http.Request, u *engine.Upload, err error) {
	var missing *image.MissingError
	switch {
	case errors.As(err, &missing):
		a.fail(w, r, http.StatusConflict, err)
	case errors.Is(err, image.ErrFormat):
		a.fail(w, r, http.StatusUnprocessableEntity, err)
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, image.ErrNotFound), r.Context().Err() != nil:
		a.failFor(w, r, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		a.engine.CaptureFailed(u, err)
		a.fail(w, r, http.StatusInsufficientStorage, fmt.Errorf("%w: the server's image store is full. Make room "+
			"there with `diskcast image rm` and `diskcast image gc --unnamed`; the node asks again, and the capture "+
			"goes on by itself", err))
	default:
		a.engine.CaptureFailed(u, err)
		a.failFor(w, r, err)
	}
}
