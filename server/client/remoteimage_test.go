package client

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
)

// TestAnswerBrokenOff: an answer that ends too early is a connection that broke, and says nothing of the object; the
// rest is asked for again.
func TestAnswerBrokenOff(t *testing.T) {
	const object = "0123456789"
	asked := 0
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		want := map[int]string{1: "bytes=2-7", 2: "bytes=5-7"}[asked]
		if got := r.Header.Get("Range"); got != want {
			t.Errorf("asked for %q, want %q", got, want)
		}
		w.Header().Set("Content-Length", map[int]string{1: "6", 2: "3"}[asked])
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write([]byte(map[int]string{1: object[2:5], 2: object[5:8]}[asked])) // who is gone has not read it
	}))
	defer srv.Close()
	pin, err := PinAt(t.Context(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(srv.URL, Credentials{Token: "x", Pin: pin})
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	m := &Image{l: c.Library(), ctx: t.Context(), out: &outage{note: func(words string) {
		notes = append(notes, words)
	}},
		index: &image.Index{Frames: []image.Frame{{Length: int64(len(object))}}}}
	p := make([]byte, 6)
	if n, err := m.Object().ReadAt(p, 2); n != len(p) || err != nil || string(p) != object[2:8] {
		t.Errorf("read %q, %v, want %q", p[:n], err, object[2:8])
	}
	want := []string{"the server's answer broke off 3 bytes before its end; asking again",
		"the server answers again, after 1s"}
	if !slices.Equal(notes, want) {
		t.Errorf("said %q, want %q", notes, want)
	}
}
