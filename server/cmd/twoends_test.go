package cmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/library/captures"
	"github.com/diskcast/diskcast/server/library/images"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

var update = flag.Bool("update", false, "write the golden files")

// shop is a store of images, and a server in front of it.
type shop struct {
	t               *testing.T
	st              *image.Store
	state, dir, url string
}

func newShop(t *testing.T) *shop { return shopAt(t, filepath.Join(t.TempDir(), "images")) }

func shopAt(t *testing.T, dir string) *shop {
	s := &shop{t: t, state: filepath.Join(t.TempDir(), "state"), dir: dir}
	id, err := identity.Load(s.state)
	if err != nil {
		t.Fatal(err)
	}
	if s.st, err = image.OpenStore(s.dir); err != nil {
		t.Fatal(err)
	}
	ims, lib := images.New(s.st), library.NewLocal(s.st)
	e, err := engine.New(t.Context(), engine.Config{Store: store.NewMemory(), Images: ims,
		Casts: &enginetest.Casts{}, Addr: netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	jobs, caps := library.NewJobs(lib, log), captures.New(s.st, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- jobs.Run(ctx) }()
	<-jobs.Ready()
	srv := httptest.NewUnstartedServer(web.New(e, ims, caps, id.Token, log).WithLibrary(lib, jobs))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	s.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		cancel()
		<-done
		caps.Close()
		if err := ims.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// stock puts an image of 16 MiB into the store, the last quarter of which depends on the seed.
func (s *shop) stock(name string, seed uint64) {
	s.t.Helper()
	b := make([]byte, 16<<20)
	imagetest.Random(b[4<<20:], 1)
	imagetest.Random(b[12<<20:], seed)
	_, err := capture.Capture(s.t.Context(), bytes.NewReader(b), int64(len(b)), 512,
		capture.Options{Store: s.st, Name: name, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	if err != nil {
		s.t.Fatal(err)
	}
}

// run runs one command and returns its exit code, and what it printed.
func (s *shop) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	err := Run(s.t.Context(), args, strings.NewReader(""), &out, &errs)
	if err != nil {
		errs.WriteString(err.Error())
	}
	return ExitCode(err), out.String(), errs.String()
}

// dataFile is the file of the first blob with data of an image.
func (s *shop) dataFile(name string) string {
	s.t.Helper()
	im, err := s.st.Open(name)
	if err != nil {
		s.t.Fatal(err)
	}
	blob, _ := im.DataBlob(0)
	if err := im.Close(); err != nil {
		s.t.Fatal(err)
	}
	return filepath.Join(s.dir, "blobs", "sha256", strings.TrimPrefix(blob, "sha256:"))
}

func (s *shop) here() []string  { return []string{"--store", s.dir} }
func (s *shop) there() []string { return []string{"--server", s.url, "--state", s.state} }

var vary = regexp.MustCompile(`sha256:[0-9a-f]{64}|\b[0-9a-f]{12}\b|"seconds":[0-9.e-]+|\([0-9.]+ s\)`)

// Every command says the same of a store here and of a server's, and with --json what the golden files have.
func TestImagesHereAndThere(t *testing.T) {
	s := newShop(t)
	s.stock("old", 2)
	s.stock("lab/new:1", 3)
	t.Setenv("TZ", "UTC")
	for i, c := range []struct {
		code int
		args string
	}{
		{0, "list"}, {0, "show lab/new:1"}, {0, "show old --map"}, {0, "show old --map=svg"},
		{0, "diff old lab/new:1"}, {0, "diff old lab/new:1 --extents"}, {0, "diff old old"},
		{0, "verify old lab/new:1"}, {0, "gc --dry-run"}, {0, "tag old old"}, {1, "show nothing"},
		{1, "verify nothing"}, {1, "rm nothing"}, {2, "tag old bad..name"},
		{2, "pull not_a_registry"}, {2, "push old nowhere"},
	} {
		for _, json := range []bool{false, true} {
			args := append([]string{"image"}, strings.Fields(c.args)...)
			if json {
				args = append(args, "--json")
			}
			code1, out1, err1 := s.run(append(args, s.here()...)...)
			code2, out2, err2 := s.run(append(args, s.there()...)...)
			if code1 != c.code || code1 != code2 {
				t.Errorf("%v: exit codes %d and %d, want %d: %s%s", args, code1, code2, c.code, err1, err2)
			}
			if d := cmp.Diff(vary.ReplaceAllString(out1, "X"), vary.ReplaceAllString(out2, "X")); d != "" {
				t.Errorf("%v: the server says another thing: %s", args, d)
			}
			if json && c.code == 0 {
				s.golden(fmt.Sprintf("image%02d-%s.json", i, strings.Fields(c.args)[0]), out1)
			}
		}
	}
}

func (s *shop) golden(name, got string) {
	s.t.Helper()
	name = filepath.Join("testdata", "golden", name)
	got = vary.ReplaceAllString(got, "X")
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		s.t.Errorf("%s (-want +got, -update writes it): %s", name, d)
	}
}

// Damage at a server is exit code 4, and the words are the same.
func TestDamageThere(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	path := s.dataFile("debian")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	code1, _, err1 := s.run(append([]string{"image", "verify", "debian"}, s.here()...)...)
	code2, _, err2 := s.run(append([]string{"image", "verify", "debian"}, s.there()...)...)
	if code1 != exitDamage || code2 != exitDamage || err1 != err2 ||
		!strings.Contains(err1, "sha256:"+filepath.Base(path)) {
		t.Errorf("%d %q\n%d %q", code1, err1, code2, err2)
	}
}

// What changes a store changes that of the server, and nothing here.
func TestChangesThere(t *testing.T) {
	s := newShop(t)
	s.stock("old", 2)
	s.stock("new", 3)
	do := func(want int, has string, args ...string) {
		t.Helper()
		code, out, errs := s.run(append(args, s.there()...)...)
		if code != want || !strings.Contains(out+errs, has) {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	do(0, "today  sha256:", "image", "tag", "new", "today")
	do(0, "still has the name today", "image", "rm", "new")
	do(0, "frees its space", "image", "rm", "today")
	do(1, "today", "image", "show", "today")
	do(0, "freed 4.", "image", "gc")
	do(0, "gc", "job", "list")
	do(1, "started anew", "job", "watch", "zzzz-1")
	if list, err := s.st.List(); err != nil || len(list) != 1 || list[0].Name != "old" {
		t.Errorf("left: %+v, %v", list, err)
	}
}

// An image that is brought to a server from here is the same as one that is stored there, and what is fetched from
// there is what was brought.
func TestImportAndExportThere(t *testing.T) {
	s, local := newShop(t), filepath.Join(t.TempDir(), "local")
	dir := t.TempDir()
	disk, back := filepath.Join(dir, "disk.img"), filepath.Join(dir, "back.img")
	b := make([]byte, 20<<20)
	imagetest.Random(b[4<<20:], 5)
	if err := os.WriteFile(disk, b, 0o600); err != nil {
		t.Fatal(err)
	}
	must := func(args ...string) string {
		t.Helper()
		code, out, errs := s.run(args...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		return out
	}
	there := func(args ...string) string { t.Helper(); return must(append(args, s.there()...)...) }
	digest := regexp.MustCompile("sha256:[0-9a-f]{64}")
	here := digest.FindString(must("image", "import", disk, "--name", "debian", "--store", local))
	out := there("image", "import", disk, "--name", "debian")
	if got := digest.FindString(out); got != here || !strings.Contains(out, "verified") {
		t.Errorf("imported there: %s, here: %s", out, here)
	}
	// Again, under another name: nothing of it is sent.
	if out = there("image", "import", disk, "--name", "again", "--json"); !strings.Contains(out, `"added":0,`) {
		t.Errorf("again: %s", out)
	}
	there("image", "export", "debian", back, "--format", "raw")
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, b) {
		t.Errorf("what came back is not what went: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("beside the export lies %v, %v", left, err)
	}
	if code, _, errs := s.run(append([]string{"image", "export", "debian", back, "--format", "raw"},
		s.there()...)...); code != exitFailed || !strings.Contains(errs, "exists") {
		t.Errorf("over a file: %d %s", code, errs)
	}
	// As layouts, both ways.
	layout := filepath.Join(dir, "layout")
	there("image", "export", "debian", layout)
	must("image", "verify", "debian", "--store", layout)
	there("image", "rm", "debian", "again")
	there("image", "gc")
	if out = there("image", "import", layout, "--image", "debian", "--name", "third"); !strings.Contains(out,
		"every frame hashed") {
		t.Errorf("a layout: %s", out)
	}
	there("image", "verify", "third")
	must("image", "diff", "third", "third", "--store", s.dir)
	// A layout that is damaged is told of, and is not stored.
	st, err := image.OpenStore(layout)
	if err != nil {
		t.Fatal(err)
	}
	im, err := st.Open("debian")
	if err != nil {
		t.Fatal(err)
	}
	blob, size := im.DataBlob(0)
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(blob, "sha256:"))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	there("image", "rm", "third")
	there("image", "gc") // else the server has the frames, and none is read here
	code, _, errs := s.run(append([]string{"image", "import", layout, "--image", "debian", "--name", "fourth"},
		s.there()...)...)
	if code != exitDamage || !strings.Contains(errs, "not sound") {
		t.Errorf("a damaged layout: %d %s", code, errs)
	}
	there("image", "gc") // nothing is held
}
