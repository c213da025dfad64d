package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/library/registry/registrytest"
)

// gate is Debian's docker-registry behind a proxy that counts, and that breaks connections when it is told to.
type gate struct {
	t        *testing.T
	host     string
	in, out  atomic.Int64 // bytes of blobs
	breakIn  atomic.Int64 // break once when so many have come; 0: never
	breakOut atomic.Int64
}

func newGate(t *testing.T) *gate {
	t.Helper()
	addr := registrytest.Start(t)
	g := &gate{t: t}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: addr})
		r.Out.Host = r.In.Host // Locations name the proxy
	}, ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &counted{r.Body, &g.in, &g.breakIn}
		proxy.ServeHTTP(&countedWriter{w, g}, r)
	}))
	t.Cleanup(srv.Close)
	g.host = srv.Listener.Addr().String()
	return g
}

var errBroken = errors.New("the cable was pulled")

type counted struct {
	io.ReadCloser
	n, limit *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p[:min(len(p), 64<<10)])
	if at, l := c.n.Add(int64(n)), c.limit.Load(); l != 0 && at >= l && c.limit.CompareAndSwap(l, 0) {
		return 0, errBroken
	}
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	g *gate
}

func (c *countedWriter) Write(p []byte) (int, error) {
	if at, l := c.g.out.Add(int64(len(p))), c.g.breakOut.Load(); l != 0 && at >= l &&
		c.g.breakOut.CompareAndSwap(l, 0) {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

func (g *gate) open(name, uploads string) *Repository {
	g.t.Helper()
	g.t.Setenv("DOCKER_CONFIG", g.t.TempDir())
	r, err := Open(g.host+"/"+name,
		Options{PlainHTTP: true, Uploads: uploads, Client: &http.Client{Transport: &http.Transport{}}})
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

const size = 40 << 20

// stored is a store with an image that does not compress.
func stored(t *testing.T) (*image.Store, *image.Image) {
	t.Helper()
	st := empty(t)
	b := make([]byte, size)
	imagetest.Random(b, 3)
	if _, err := capture.Capture(t.Context(), bytes.NewReader(b), size, 512,
		capture.Options{Store: st, Name: "debian", Level: capture.Fast}); err != nil {
		t.Fatal(err)
	}
	im, err := st.Open("debian")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return st, im
}

func empty(t *testing.T) *image.Store {
	t.Helper()
	st, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestPushAndPull(t *testing.T) {
	g := newGate(t)
	st, im := stored(t)
	var done, all int64
	if err := g.open("lab/debian:12", t.TempDir()).Push(t.Context(), st, im,
		func(d, a int64) { done, all = d, a }); err != nil {
		t.Fatal(err)
	}
	if done != all || all < size {
		t.Errorf("progress ended at %d of %d", done, all)
	}
	before := g.in.Load()
	if err := g.open("lab/debian:again", t.TempDir()).Push(t.Context(), st, im, nil); err != nil {
		t.Fatal(err)
	}
	if n := g.in.Load() - before; n > 64<<10 {
		t.Errorf("%d bytes were sent again", n)
	}
	for _, ref := range []string{"lab/debian:12", "lab/debian:again", "lab/debian@" + im.Manifest()} {
		to := empty(t)
		digest, err := g.open(ref, "").Pull(t.Context(), to, "pulled", nil)
		if err != nil || digest != im.Manifest() {
			t.Fatalf("%s: %s, %v", ref, digest, err)
		}
		got, err := to.Open("pulled")
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
		got.Close()
	}
	judge(t, g.host+"/lab/debian:12", im.Manifest())
	if _, err := g.open("lab/debian:nosuch", "").Pull(t.Context(), empty(t), "x", nil); err == nil {
		t.Error("a tag that is not there")
	}
}

// judge has skopeo take the image from the registry into a layout that is a store of ours.
func judge(t *testing.T, ref, want string) {
	t.Helper()
	bin, err := exec.LookPath("skopeo")
	if err != nil {
		if need.CI() {
			t.Fatal("skopeo is missing: .ci/packages test installs it")
		}
		t.Log("skopeo is not installed: it does not judge")
		return
	}
	dir := filepath.Join(t.TempDir(), "layout")
	if out, err := exec.Command(bin, "copy", "--src-tls-verify=false", "docker://"+ref, "oci:"+dir+
		":judged").CombinedOutput(); err != nil {
		t.Fatalf("skopeo: %v\n%s", err, out)
	}
	st, err := image.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	im, err := st.Open("judged")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if err := im.Verify(t.Context(), nil); err != nil || im.Manifest() != want {
		t.Errorf("what skopeo took is %s, %v", im.Manifest(), err)
	}
}

// TestPushGoesOn breaks a push for good in the middle; another program sends the rest.
func TestPushGoesOn(t *testing.T) {
	g := newGate(t)
	st, im := stored(t)
	uploads := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err := g.open("debian:12", uploads).Push(ctx, st, im, func(done, _ int64) {
		if done > size*3/4 {
			cancel()
		}
	})
	if err == nil {
		t.Fatal("pushed through a broken cable")
	}
	if err := g.open("debian:12", uploads).Push(t.Context(), st, im, nil); err != nil {
		t.Fatal(err)
	}
	if n := g.in.Load(); n > im.ObjectSize()+piece+1<<20 {
		t.Errorf("%d bytes were sent of an object of %d", n, im.ObjectSize())
	}
	if _, err := g.open("debian:12", "").Pull(t.Context(), empty(t), "x", nil); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(uploads); err != nil || len(left) != 0 {
		t.Errorf("remembered after the end: %v, %v", left, err)
	}
}

// TestPullGoesOn: the same in the other direction, with a connection that breaks once and an end of the program.
func TestPullGoesOn(t *testing.T) {
	g := newGate(t)
	st, im := stored(t)
	if err := g.open("debian:12", t.TempDir()).Push(t.Context(), st, im, nil); err != nil {
		t.Fatal(err)
	}
	to := empty(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := g.open("debian:12", "").Pull(ctx, to, "x", func(done, _ int64) {
		if done > size/2 {
			cancel()
		}
	}); err == nil {
		t.Fatal("pulled all of it")
	}
	before := g.out.Load()
	digest, err := g.open("debian:12", "").Pull(t.Context(), to, "x", nil)
	if err != nil || digest != im.Manifest() {
		t.Fatalf("%s, %v", digest, err)
	}
	// Half is there; what the registry sends before it learns where to begin is lost.
	if n := g.out.Load() - before; n > size*3/4 {
		t.Errorf("%d bytes came after half of %d was there", n, size)
	}
}

// TestBrokenConnection: a connection that breaks in the middle of a blob is mended without the operator.
func TestBrokenConnection(t *testing.T) {
	g := newGate(t)
	st, im := stored(t)
	g.breakIn.Store(25 << 20)
	if err := g.open("debian:12", t.TempDir()).Push(t.Context(), st, im, nil); err != nil {
		t.Fatal(err)
	}
	g.breakOut.Store(g.out.Load() + 15<<20)
	to := empty(t)
	if digest, err := g.open("debian:12", "").Pull(t.Context(), to, "x", nil); err != nil || digest != im.Manifest() {
		t.Fatalf("%s, %v", digest, err)
	}
	if g.breakIn.Load() != 0 || g.breakOut.Load() != 0 {
		t.Error("nothing was broken")
	}
	got, err := to.Open("x")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if err := got.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", "debian", "UPPER/Case", "host/repo@sha256:12"} {
		if r, err := Open(bad, Options{}); err == nil {
			t.Errorf("%q was taken for %s", bad, r.Name())
		}
	}
	if r, err := Open("example.org:5000/a/b", Options{}); err != nil || r.Name() != "example.org:5000/a/b:latest" {
		t.Errorf("%v, %v", r, err)
	}
	for in, want := range map[string]int64{"0-0": 0, "0-99": 100, "bytes=0-9": 10} {
		if got, err := rangeEnd(in); err != nil || got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "5-9", "0--4", "0-x", "-"} {
		if got, err := rangeEnd(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}
