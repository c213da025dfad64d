package registry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestSilent has registries that take a connection, or begin an answer, and say no more.
func TestSilent(t *testing.T) {
	const limit = 300 * time.Millisecond
	st, im := stored(t)
	for name, answer := range map[string]string{
		"from the start": "",
		"in a header":    "HTTP/1.1 200 OK\r\nContent-Type: ",
		"in an answer": "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n" +
			"Docker-Content-Digest: " + im.Manifest() + "\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					t.Cleanup(func() { c.Close() })
					if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
						_, _ = io.WriteString(c, answer)
					}
				}
			}()
			t.Setenv("DOCKER_CONFIG", t.TempDir())
			r, err := Open(l.Addr().String()+"/x:1", Options{PlainHTTP: true, Uploads: t.TempDir(), Silence: limit})
			if err != nil {
				t.Fatal(err)
			}
			want := func(what string, err error) {
				t.Helper()
				if _, ok := errors.AsType[*SilentError](err); !ok || !strings.Contains(err.Error(), l.Addr().String()) {
					t.Errorf("%s: %v", what, err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err = r.Pull(ctx, empty(t), "x", nil)
			want("pull", err)
			if name != "in an answer" { // to a push it says that all is there
				want("push", r.Push(ctx, st, im, nil))
			}
		})
	}
}

// TestSlow: a registry that takes a body slowly is not silent, though it says nothing for longer than the limit.
func TestSlow(t *testing.T) {
	const limit, steps = time.Second, 15
	taken := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range steps {
			if _, err := io.CopyN(io.Discard, r.Body, 1); err != nil {
				t.Errorf("byte %d: %v", i, err)
				return
			}
			taken <- struct{}{}
		}
		fmt.Fprint(w, "taken")
	}))
	defer srv.Close()
	body, sender := io.Pipe()
	go func() {
		for range steps {
			time.Sleep(limit / 10)
			_, _ = sender.Write([]byte("x"))
			<-taken
		}
		sender.Close()
	}()
	began := time.Now()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := patient(limit).Do(req)
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	defer resp.Body.Close()
	if took := time.Since(began); took < limit {
		t.Errorf("it took %v: the limit of %v was not tried", took, limit)
	}
}
