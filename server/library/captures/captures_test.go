package captures_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/capturing"
	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume/table"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/library/captures"
	"github.com/diskcast/diskcast/server/library/images"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// lab is a server that can be killed and started again behind one address, and a node with a disk. The node is the
// agent's own code: what is under test is that the two understand each other.
type lab struct {
	t    *testing.T
	dir  string
	db   store.Store
	id   *identity.Identity
	srv  *httptest.Server
	puts atomic.Int64 // frames that came
	// ahead is how far the server's clock is ahead of this machine's, in nanoseconds.
	ahead atomic.Int64

	mu   sync.Mutex
	e    *engine.Engine
	h    http.Handler // nil: the server is down
	stop func()
	put  func(n int64)                                // called with each frame
	told func(r *http.Request, code int, body string) // how each request that sends something was answered
}

// onPut and onAnswer are called while requests of a node that is gone may still be answered.
func (l *lab) onPut(f func(n int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put = f
}

func (l *lab) onAnswer(f func(r *http.Request, code int, body string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = f
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, dir: t.TempDir(), db: store.NewMemory()}
	var err error
	if l.id, err = identity.Load(filepath.Join(l.dir, "state")); err != nil {
		t.Fatal(err)
	}
	l.srv = httptest.NewUnstartedServer(l)
	l.srv.TLS = &tls.Config{Certificates: []tls.Certificate{l.id.Cert}}
	l.srv.StartTLS()
	l.start()
	t.Cleanup(func() { l.srv.Close(); l.kill() })
	return l
}

func (l *lab) start() {
	l.t.Helper()
	st := l.store()
	caps := captures.New(st, nil)
	ims := images.New(st)
	e, err := engine.New(l.t.Context(),
		engine.Config{Store: l.db, Images: ims, Captures: caps, Casts: &enginetest.Casts{},
			Addr: netip.MustParseAddr("127.0.0.1"), Up: l.up, Now: func() time.Time { return epoch.Add(l.up()) }})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	<-e.Ready()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.e, l.h = e, web.New(e, ims, caps, l.id.Token, slog.New(slog.DiscardHandler))
	l.stop = func() {
		cancel()
		<-done
		caps.Close()
		ims.Close()
	}
}

// epoch is when the clocks of the servers under test began.
var epoch = time.Now()

func (l *lab) up() time.Duration { return time.Since(epoch) + time.Duration(l.ahead.Load()) }

// kill takes the server away: requests fail from now on, and what was in memory is lost.
func (l *lab) kill() {
	l.mu.Lock()
	stop := l.stop
	l.h, l.stop = nil, nil
	l.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		l.mu.Lock()
		n, put := l.puts.Add(1), l.put
		l.mu.Unlock()
		if put != nil {
			put(n)
		}
	}
	l.mu.Lock()
	h, told := l.h, l.told
	l.mu.Unlock()
	if h == nil {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	if r.Method != http.MethodGet && told != nil {
		a := &answer{ResponseWriter: w, code: http.StatusOK}
		defer func() { told(r, a.code, a.body.String()) }()
		w = a
	}
	h.ServeHTTP(w, r)
}

// answer remembers what is answered.
type answer struct {
	http.ResponseWriter
	code int
	body bytes.Buffer
}

func (a *answer) WriteHeader(code int) {
	a.code = code
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(p []byte) (int, error) {
	a.body.Write(p)
	return a.ResponseWriter.Write(p)
}

func (l *lab) store() *image.Store {
	l.t.Helper()
	st, err := image.OpenStore(filepath.Join(l.dir, "images"))
	if err != nil {
		l.t.Fatal(err)
	}
	return st
}

const mac = "52:54:00:00:00:01"

// node is a booted node whose only disk is the file.
func (l *lab) node(boot, path string, size int64) *client.Client {
	l.t.Helper()
	pin, err := client.ParsePin(l.id.Pin)
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := client.New(client.Options{Server: l.srv.URL, Pin: pin, Backoff: time.Millisecond,
		MaxBackoff: 10 * time.Millisecond, Hello: func() session.Hello {
			return session.Hello{Boot: boot,
				Inventory: session.Inventory{NICs: []session.NIC{{Name: "eth0", MAC: mac, Boot: true}},
					Disks: []session.Disk{{Path: path, Size: size}}}}
		}})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := c.Connect(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	return c
}

// disk makes the node's disk: partition 1 is not understood, so all of it is captured.
func (l *lab) disk(size int64) (string, []byte) {
	l.t.Helper()
	m := imagetest.NewMemory(make([]byte, size), 512)
	imagetest.Random(m.Bytes()[1<<20:size-1<<20], 4)
	clear(m.Bytes()[10<<20 : 11<<20])
	if err := table.Write(m, imagetest.GPT(size, 512, size-2<<20), size, 512); err != nil {
		l.t.Fatal(err)
	}
	path := filepath.Join(l.dir, "disk")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path, m.Bytes()
}

// disks are the node's.
type disks struct {
	path string
	size int64
}

func (d disks) List() []session.Disk {
	return []session.Disk{{Path: d.path, Size: d.size, SectorSize: 512, ReadOnly: true}}
}

// reports keeps the last step and its counts.
type reports struct {
	mu    sync.Mutex
	steps []string
	last  *session.Progress
}

func (r *reports) Step(step, _, message string, p *session.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, step)
	r.last = p
}
func (r *reports) Progress(string, session.Progress) {}

func (l *lab) create(name string) *doc.Session {
	l.t.Helper()
	s, err := l.e.Create(l.t.Context(), doc.Spec{V: 1, Capture: name, Nodes: []string{mac}})
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *lab) descriptor(c *client.Client) *session.Descriptor {
	l.t.Helper()
	d, err := c.Descriptor(l.t.Context(), 0, time.Second)
	if err != nil || d == nil || d.Action != session.Capture {
		l.t.Fatalf("descriptor %+v, %v", d, err)
	}
	return d
}

// local is the digest of the same disk captured into a store of its own.
func (l *lab) local(b []byte) string {
	l.t.Helper()
	st, err := image.OpenStore(filepath.Join(l.t.TempDir(), "local"))
	if err != nil {
		l.t.Fatal(err)
	}
	r, err := capture.Capture(l.t.Context(), bytes.NewReader(b), int64(len(b)), 512,
		capture.Options{Store: st, Name: "local"})
	if err != nil {
		l.t.Fatal(err)
	}
	return r.Digest
}

const size = 40 << 20

// TestServerKilledHalfWay captures a disk while the server is killed, with all its memory, and comes back.
func TestServerKilledHalfWay(t *testing.T) {
	l := newLab(t)
	path, b := l.disk(size)
	c := l.node("b1", path, size)
	s := l.create("golden")
	d := l.descriptor(c)
	if d.Upload.Name != "golden" || d.Upload.Level != image.Default || d.Boot.Method != session.BootStay {
		t.Errorf("descriptor %+v", d.Upload)
	}
	restarted := make(chan struct{})
	l.onPut(func(n int64) {
		if n != 5 {
			return
		}
		go func() {
			defer close(restarted)
			l.kill()
			l.start()
		}()
		<-restarted
	})
	var r reports
	digest, err := capturing.Capture(t.Context(), d,
		capturing.Options{Server: c, Report: &r, Disks: disks{path: path, size: size}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-restarted:
	default:
		t.Error("the server was not killed")
	}
	if want := l.local(b); digest != want {
		t.Errorf("image %s over the network, %s locally", digest, want)
	}
	if len(r.steps) != 2 || r.steps[1] != session.StepUploaded || r.last.Read != r.last.ToRead || r.last.Sent == 0 {
		t.Errorf("steps %v, counts %+v", r.steps, r.last)
	}
	im, err := l.store().Open("golden")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if err := im.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	// The event ends the session, of a node that told its plan.
	err = c.PostEvents(t.Context(),
		session.Events{Boot: "b1",
			Events: []session.Event{{Seq: 1, Session: s.ID, Step: session.StepPlan, Level: session.Info},
				{Seq: 2, Session: s.ID, Step: session.StepUploaded, Level: session.Info}}})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := l.e.Session(s.ID); err != nil || s.State != doc.Done || s.Image.Manifest != digest {
		t.Errorf("session %+v, %v", s, err)
	}
	if ids, err := l.store().Stages(); err != nil || len(ids) != 0 {
		t.Errorf("left over: %v, %v", ids, err)
	}

	// Captured again under another name: nothing is sent.
	l.onPut(nil)
	before := l.puts.Load()
	l.create("again")
	d2 := l.descriptor(c)
	again, err := capturing.Capture(t.Context(), d2,
		capturing.Options{Server: c, Report: &r, Disks: disks{path: path, size: size}})
	if err != nil || again != digest {
		t.Errorf("second capture %s, %v", again, err)
	}
	if n := l.puts.Load() - before; n != 0 {
		t.Errorf("%d frames were sent that the store had", n)
	}
}

// TestNodeLosesPower breaks the capture off in the middle; the node boots again and sends only the rest.
func TestNodeLosesPower(t *testing.T) {
	l := newLab(t)
	path, b := l.disk(size)
	c := l.node("b1", path, size)
	l.create("golden")
	d := l.descriptor(c)
	ctx, off := context.WithCancel(t.Context())
	l.onPut(func(n int64) {
		if n == 5 {
			off()
		}
	})
	var r reports
	if _, err := capturing.Capture(ctx, d,
		capturing.Options{Server: c, Report: &r, Disks: disks{path: path, size: size}, Uploads: 1}); err == nil {
		t.Fatal("a capture without power")
	}
	first := l.puts.Load()
	l.onPut(nil)
	// The image is not made while the boot before may still send frames: for the minute after it was heard last.
	var early atomic.Int64
	l.onAnswer(func(r *http.Request, code int, body string) {
		if strings.HasSuffix(r.URL.Path, "/finish") && code == http.StatusServiceUnavailable &&
			strings.Contains(body, "the boot before may still run") {
			early.Add(1)
			l.ahead.Store(int64(time.Minute))
		}
	})
	c = l.node("b2", path, size)
	if again := l.descriptor(c); again.Upload.ID != d.Upload.ID || again.Serial != d.Serial {
		t.Errorf("after the reboot another descriptor: %+v", again)
	}
	digest, err := capturing.Capture(t.Context(), d,
		capturing.Options{Server: c, Report: &r, Disks: disks{path: path, size: size}})
	if err != nil {
		t.Fatal(err)
	}
	if want := l.local(b); digest != want {
		t.Errorf("image %s over the network, %s locally", digest, want)
	}
	if early.Load() == 0 {
		t.Error("the capture ended before the minute after the boot before was over")
	}
	im, err := l.store().Open("golden")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	frames := int64(len(im.Index().Frames))
	if second := l.puts.Load() - first; second > frames-first+2 {
		t.Errorf("%d frames of %d were sent first, then %d", first, frames, second)
	}
}

// TestCancelThrowsAway: what came of a cancelled capture goes, and the node is told.
func TestCancelThrowsAway(t *testing.T) {
	l := newLab(t)
	path, _ := l.disk(size)
	c := l.node("b1", path, size)
	s := l.create("golden")
	d := l.descriptor(c)
	cancelled := make(chan struct{})
	l.onPut(func(n int64) {
		if n == 4 {
			if _, err := l.e.Cancel(context.Background(), s.ID); err != nil {
				t.Error(err)
			}
			close(cancelled)
		}
	})
	var r reports
	_, err := capturing.Capture(t.Context(), d,
		capturing.Options{Server: c, Report: &r, Disks: disks{path: path, size: size}})
	var status *client.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusNotFound {
		t.Errorf("capture of a cancelled session: %v", err)
	}
	<-cancelled
	l.kill() // waits for what the cancel began
	if ids, err := l.store().Stages(); err != nil || len(ids) != 0 {
		t.Errorf("left over: %v, %v", ids, err)
	}
	if _, err := l.store().Open("golden"); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("image of a cancelled capture: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	l := newLab(t)
	path, _ := l.disk(16 << 20)
	for name, spec := range map[string]doc.Spec{
		"image too":   {V: 1, Capture: "x", Image: "y", Count: 1},
		"two nodes":   {V: 1, Capture: "x", Count: 2},
		"all":         {V: 1, Capture: "x", All: true},
		"name":        {V: 1, Capture: "no good", Count: 1},
		"level":       {V: 1, Capture: "x", Count: 1, Level: "best"},
		"parent":      {V: 1, Capture: "x", Count: 1, Parent: "nobody"},
		"verify":      {V: 1, Capture: "x", Count: 1, Verify: true},
		"kexec":       {V: 1, Capture: "x", Count: 1, Boot: &session.Boot{Method: session.BootKexec}},
		"stray level": {V: 1, Image: "y", Count: 1, Level: "fast"},
	} {
		if _, err := l.e.Create(t.Context(), spec); !errors.Is(err, engine.ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := l.node("b1", path, 16<<20)
	s := l.create("golden")
	d := l.descriptor(c)
	var r reports
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := capturing.Capture(t.Context(), d,
		capturing.Options{Server: c, Report: &r, Disks: disks{path: path, size: 16 << 20}}); err == nil ||
		!strings.Contains(err.Error(), "open for writing") || !strings.Contains(err.Error(), "on the node") {
		t.Errorf("disk in use: %v", err)
	}
	// A frame that is not what its name says, a node that claims success, another node's capture.
	var status *client.StatusError
	if err := c.PutFrame(t.Context(), d.Upload.ID, 16<<20, client.Frame{Size: 100}, []byte("no frame")); !errors.As(err,
		&status) || status.Code != http.StatusUnprocessableEntity {
		t.Errorf("false frame: %v", err)
	}
	if _, err := c.HasFrame(t.Context(), "s9-123", 16<<20, client.Frame{Size: 100}); !errors.As(err, &status) ||
		status.Code != http.StatusNotFound {
		t.Errorf("another capture: %v", err)
	}
	if _, err := c.FinishCapture(t.Context(), d.Upload.ID, 16<<20, []byte("{}"), nil); !errors.As(err, &status) ||
		status.Code != http.StatusBadRequest {
		t.Errorf("nonsense: %v", err)
	}
	if err := c.PostEvents(t.Context(),
		session.Events{Boot: "b1",
			Events: []session.Event{{Seq: 1, Session: s.ID, Step: session.StepUploaded,
				Level: session.Info}}}); err != nil {
		t.Fatal(err)
	}
	if s, err := l.e.Session(s.ID); err != nil || s.State != doc.Failed ||
		!strings.Contains(s.Reason, "no such image") {
		t.Errorf("session %+v, %v", s, err)
	}
}
