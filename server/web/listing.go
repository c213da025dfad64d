package web

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// Bounds of a page of a list.
const (
	usualPage = 100
	maxPage   = 1000
)

var errLostCursor = errors.New("what the cursor stood at is gone: ask without a cursor, which begins anew")

// listed answers with a list; with a part of it where the request has limit or cursor, and then with the request for
// the next one in the Link header (RFC 8288). key tells an element from all others, and is the same as long as it
// exists. keep is the filter, nil for none: a cursor stands where its element does, also when that fits no more.
func listed[T any](a *API, w http.ResponseWriter, r *http.Request, list []T, key func(*T) string, keep func(*T) bool) {
	q := r.URL.Query()
	if !q.Has("limit") && !q.Has("cursor") {
		a.reply(w, http.StatusOK, kept(list, keep))
		return
	}
	limit, begin := usualPage, 0
	if s := q.Get("limit"); q.Has("limit") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			a.fail(w, r, http.StatusBadRequest, fmt.Errorf("limit=%.40q is not a number from 1 to %d", s, maxPage))
			return
		}
		limit = n
	}
	if c := q.Get("cursor"); c != "" {
		at := slices.IndexFunc(list, func(v T) bool { return mark(key(&v)) == c })
		if at < 0 {
			a.fail(w, r, http.StatusGone, errLostCursor)
			return
		}
		begin = at + 1
	}
	list = kept(list[begin:], keep)
	end := min(limit, len(list))
	part := make([]T, 0, end) // no elements are an empty list
	part = append(part, list[:end]...)
	if end < len(list) && len(part) > 0 {
		q.Set("cursor", mark(key(&part[len(part)-1])))
		w.Header().Set("Link", "<"+r.URL.EscapedPath()+"?"+q.Encode()+`>; rel="next"`)
	}
	a.reply(w, http.StatusOK, part)
}

// kept are the elements that a filter keeps, in a list of its own where there is one.
func kept[T any](list []T, keep func(*T) bool) []T {
	if keep == nil {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return !keep(&v) })
}

// mark is the cursor behind an element.
func mark(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}
