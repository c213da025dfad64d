package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"time"
)

// later is a ResponseWriter of a server that keeps connections while an answer waits (server/serve/lot).
type later interface {
	// Later has f make the answer when the handler has returned; false: the handler has to make it. f returns false
	// where that cannot be yet, and has then again called when it is worth another look. When end is not nil it makes
	// the answer as things are.
	Later(limit time.Duration, f func(end error, w http.ResponseWriter, again func()) (made bool)) bool
}

// laterAnswer makes an answer when it can be made, as later has it.
type laterAnswer func(end error, w http.ResponseWriter, r *http.Request, again func()) (made bool)

// afterwards answers when f can, or must after a time. Where an answer has to wait, the request is not kept: 5,000 of
// them, their buffers and stacks are most of what a server has in memory.
func afterwards(w http.ResponseWriter, r *http.Request, limit time.Duration, f laterAnswer) {
	asked := &http.Request{Method: r.Method, URL: &url.URL{Path: r.URL.Path}, RemoteAddr: r.RemoteAddr}
	if l, ok := w.(later); ok && l.Later(limit, func(end error, w http.ResponseWriter, again func()) bool {
		return f(end, w, asked, again)
	}) {
		return
	}
	look := make(chan struct{}, 1)
	again := func() {
		select {
		case look <- struct{}{}:
		default:
		}
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	var end error
	for !f(end, w, r, again) {
		select {
		case <-look:
		case <-late.C:
			end = context.DeadlineExceeded
		case <-r.Context().Done():
			end = r.Context().Err()
		}
	}
}

// pending is what becomes durable.
type pending interface {
	// Over reports whether it is, or why it is not.
	Over() (bool, error)
	// Then has f called when that is known.
	Then(f func())
}

// maxStoring bounds how long an answer waits for the store, which is as slow as its disk.
const maxStoring = 10 * time.Minute

// whenStored answers when what a node told is durable, or with the reason why it is not.
func whenStored(w http.ResponseWriter, r *http.Request, p pending, answer func(http.ResponseWriter, *http.Request,
	error)) {
	if over, err := p.Over(); over || err != nil {
		answer(w, r, err)
		return
	}
	afterwards(w, r, maxStoring, func(end error, w http.ResponseWriter, r *http.Request, again func()) bool {
		over, err := p.Over()
		if !over && err == nil && end == nil {
			p.Then(again)
			return false
		}
		if !over {
			err = cmp.Or(err, end)
		}
		answer(w, r, err)
		return true
	})
}
