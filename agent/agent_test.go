package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// inNamespace runs the test again, alone and in a network namespace of its own, because the sockets of a cast are
// opened by many goroutines. It returns true in there.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("DISKCAST_TEST_NAMESPACE") != "" {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetMulticastOn(lo)
		}
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	}
	need.Root(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "DISKCAST_TEST_NAMESPACE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

// fakeServer is a server with one image: the real TLS, the real casts, and a few lines for everything else.
type fakeServer struct {
	t     *testing.T
	im    *image.Image
	store *image.Store
	http  *httptest.Server
	descs chan *session.Descriptor
	own   personal.Settings // what a node is given

	mu     sync.Mutex
	events []session.Event
	seen   map[uint64]bool
	news   chan struct{}
	survey *session.Survey // of the last hello
}

const diskSize = 32 << 20

func newFakeServer(t *testing.T) (*fakeServer, []byte) {
	t.Helper()
	m := imagetest.NewMemory(make([]byte, diskSize), 512)
	g := imagetest.GPT(diskSize, 512, 4<<20, 20<<20)
	for i, p := range g.Partitions {
		imagetest.Fill(m.Bytes()[p.Start:p.End()], 3+uint64(i))
	}
	if err := table.Write(m, g, diskSize, 512); err != nil {
		t.Fatal(err)
	}
	store, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Capture(t.Context(), bytes.NewReader(m.Bytes()), diskSize, 512,
		capture.Options{Store: store, Name: "img", Grid: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	return serveImage(t, store), m.Bytes()
}

// serveImage is a server of the store's image.
func serveImage(t *testing.T, store *image.Store) *fakeServer {
	t.Helper()
	im, err := store.Open("img")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	s := &fakeServer{t: t, im: im, store: store, descs: make(chan *session.Descriptor, 1), seen: map[uint64]bool{},
		news: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/node/hello", s.hello)
	mux.HandleFunc("GET /v1/node/{node}/descriptor", s.descriptor)
	mux.HandleFunc("POST /v1/node/{node}/events", s.event)
	mux.HandleFunc("POST /v1/node/{node}/disk", func(w http.ResponseWriter, r *http.Request) {
		var c session.DiskChoice
		if err := session.Decode(r.Body, &c); err != nil {
			t.Errorf("disk choice: %v", err)
		}
		json.NewEncoder(w).Encode(c)
	})
	mux.HandleFunc("GET /v1/blobs/{digest}", func(w http.ResponseWriter, r *http.Request) {
		b, size, err := store.BlobReader(r.PathValue("digest"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		defer b.Close()
		http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(b, 0, size))
	})
	mux.HandleFunc("GET /v1/objects/{digest}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(im.Object(), 0, im.ObjectSize()))
	})
	mux.HandleFunc("POST /v1/node/{node}/personalization", s.personalization)
	s.http = httptest.NewTLSServer(mux)
	t.Cleanup(s.http.Close)
	return s
}

func (s *fakeServer) hello(w http.ResponseWriter, r *http.Request) {
	var h session.Hello
	if err := session.Decode(r.Body, &h); err != nil {
		s.t.Errorf("hello: %v", err)
	}
	if len(h.Inventory.Disks) != 1 {
		s.t.Errorf("disks: %+v", h.Inventory.Disks)
	}
	s.mu.Lock()
	s.survey = h.Inventory.Survey
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
	json.NewEncoder(w).Encode(session.HelloReply{V: 1, Node: "n1", Token: "t"})
}

func (s *fakeServer) descriptor(w http.ResponseWriter, r *http.Request) {
	select {
	case d := <-s.descs:
		if after, _ := strconv.ParseUint(r.FormValue("after"), 10, 64); after >= d.Serial {
			s.t.Errorf("asked for a descriptor after %d, the next is %d", after, d.Serial)
		}
		json.NewEncoder(w).Encode(d)
	case <-r.Context().Done():
	}
}

func (s *fakeServer) event(w http.ResponseWriter, r *http.Request) {
	var b session.Events
	if err := session.Decode(r.Body, &b); err != nil {
		s.t.Errorf("events: %v", err)
	}
	s.mu.Lock()
	for _, e := range b.Events {
		if !s.seen[e.Seq] {
			s.seen[e.Seq] = true
			s.events = append(s.events, e)
		}
	}
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusNoContent)
}

// wait returns the events of a session up to the one of the step.
func (s *fakeServer) wait(id, step string) []session.Event {
	s.t.Helper()
	for {
		s.mu.Lock()
		var out []session.Event
		for _, e := range s.events {
			if e.Session == id {
				out = append(out, e)
				if e.Step == step {
					s.mu.Unlock()
					return out
				}
			}
		}
		s.mu.Unlock()
		select {
		case <-s.news:
		case <-s.t.Context().Done():
			s.t.Fatalf("no event %s of session %s", step, id)
		}
	}
}

// surveyed waits until the node has told that its one disk has a table of the kind.
func (s *fakeServer) surveyed(table string) *session.Content {
	s.t.Helper()
	for {
		s.mu.Lock()
		told := s.survey
		s.mu.Unlock()
		if told != nil && len(told.Disks) == 1 && told.Disks[0].Table == table {
			return &told.Disks[0]
		}
		select {
		case <-s.news:
		case <-s.t.Context().Done():
			s.t.Fatalf("the node told %+v of its disk, and not of a table %s", told, table)
		}
	}
}

// session sends the image, by a real cast, to whoever follows the descriptor that it hands out.
func (s *fakeServer) session(ctx context.Context, serial uint64) (*cast.Sender, *session.Descriptor) {
	s.t.Helper()
	cd, cs := s.im.ConfigBlob()
	id, is := s.im.IndexBlob()
	c := &session.Cast{
		ID: uint32(serial), Group: netip.AddrPortFrom(netip.MustParseAddr("239.195.1.1"), uint16(7000+serial)),
		Feedback: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(8000+serial)),
		Key:      make([]byte, 32), Size: s.im.ObjectSize(), Payload: 1408, K: 128,
	}
	rand.Read(c.Key)
	p := cast.Params{ID: c.ID, Group: c.Group, Feedback: c.Feedback, Size: c.Size, Payload: c.Payload, K: c.K}
	copy(p.Key[:], c.Key)
	secret := cast.NewSecret()
	var err error
	if p.Sender, err = cast.PublicOf(secret); err != nil {
		s.t.Fatal(err)
	}
	c.Sender = p.Sender[:]
	sender, err := cast.NewSender(p, s.im.Object(), cast.SenderOptions{Secret: secret, Rate: 400e6})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := sender.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	d := &session.Descriptor{V: 1, Session: fmt.Sprintf("s%d", serial), Node: "n1", Serial: serial,
		Action: session.Restore, Cast: c,
		Image: &session.Image{Name: "img", Manifest: s.im.Manifest(), Config: session.Blob{Digest: cd, Size: cs},
			Index: session.Blob{Digest: id, Size: is}, ObjectSize: s.im.ObjectSize()},
		Target: &session.Target{}, Verify: true, Boot: &session.Boot{Method: session.BootKexec}}
	return sender, d
}

// TestEndToEnd runs the agent as a program against a server, with everything real but the machine: TLS, HTTP,
// multicast, image, disk engine. The disk is a file, and the machine stays.
func TestEndToEnd(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s, source := newFakeServer(t)
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.img")
	cmdline := filepath.Join(dir, "cmdline")
	dirty := make([]byte, diskSize+4<<20)
	imagetest.Random(dirty, 1)
	for name, content := range map[string][]byte{
		disk: dirty,
		cmdline: []byte("quiet diskcast.server=" + s.http.URL + " diskcast.pin=" +
			client.PinOf(s.http.Certificate().RawSubjectPublicKeyInfo).String()),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var console bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"-site", filepath.Join(dir, "none"), "-cmdline", cmdline, "-no-network", "-no-boot",
			"-disk", disk}, nil, &console, io.Discard)
	}()

	if c := s.surveyed("none"); c.Problem != "" || len(c.Partitions) != 0 {
		t.Errorf("noise: %+v", c)
	}
	_, d := s.session(ctx, 1)
	s.descs <- d
	var steps []string
	for _, e := range s.wait("s1", session.StepBoot) {
		if e.Step != session.StepProgress && e.Step != session.StepLog {
			steps = append(steps, e.Step)
		}
		if e.Step == session.StepFailed {
			t.Fatalf("failed: %s", e.Message)
		}
		if e.Step == session.StepLastByte && (e.Progress.Multicast < s.im.ObjectSize() || e.Progress.Unicast != 0) {
			t.Errorf("last byte: %+v", e.Progress)
		}
	}
	if got, want := strings.Join(steps, " "),
		"plan table first-byte last-byte written verified grown entry boot"; got != want {
		t.Errorf("steps %s, want %s", got, want)
	}
	got, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range s.im.Index().Chunks {
		for _, e := range append(append([]image.Extent(nil), c.Extents...), c.Zeros...) {
			if !bytes.Equal(source[e.Offset:e.End()], got[e.Offset:e.End()]) {
				t.Fatalf("chunk %d: disk bytes %d+%d differ", i, e.Offset, e.Length)
			}
		}
	}

	// What is on the disk now is told, as the node stays.
	if c := s.surveyed("gpt"); c.TableID != s.im.Config().Table.DiskID || len(c.Partitions) != 2 {
		t.Errorf("after the restore: %+v", c)
	}

	// The same image again: the disk has it, so next to nothing is sent.
	sender, d := s.session(ctx, 2)
	s.descs <- d
	for _, e := range s.wait("s2", session.StepBoot) {
		if e.Step == session.StepFirstByte || e.Step == session.StepFailed {
			t.Errorf("%s: %s", e.Step, e.Message)
		}
	}
	if sent := sender.Stats().Payload; sent > s.im.ObjectSize()/20 {
		t.Errorf("%d bytes were sent for a disk that had everything", sent)
	}

	// What cannot be done is said, and the node stays.
	s.descs <- &session.Descriptor{V: 1, Session: "s3", Node: "n1", Serial: 3, Action: session.Capture,
		Target: &session.Target{},
		Upload: &session.Upload{ID: "s3-1", Name: "golden", Level: "fast", Grid: 1 << 20}}
	if e := s.wait("s3", session.StepFailed); !strings.Contains(e[len(e)-1].Message, "404") {
		t.Errorf("%+v", e)
	}
	// The disk is erased, and what the server is told of it is what is there.
	s.descs <- &session.Descriptor{V: 1, Session: "s4", Node: "n1", Serial: 4, Action: erasure.Action,
		Target: &session.Target{},
		Job:    json.RawMessage(`{"method": "zero", "read_back": "all"}`)}
	events := s.wait("s4", erasure.StepErased)
	var result erasure.Result
	if err := json.Unmarshal(events[len(events)-1].Result, &result); err != nil || !result.OK ||
		result.Term != erasure.Clear || result.ReadBack.Bytes != int64(len(dirty)) {
		t.Errorf("%v, %+v", err, result)
	}
	if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, make([]byte, len(dirty))) {
		t.Errorf("%v, or the disk is not zero", err)
	}
	s.wait("s4", session.StepBoot)
	s.surveyed("none")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(console.String(), "ERROR") && !strings.Contains(console.String(), "ERROR failed: capture of") {
		t.Errorf("console:\n%s", &console)
	}
	if testing.Verbose() {
		t.Logf("console:\n%s", &console)
	}
}

func TestShares(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		memory int64
		cpus   int
	}{{256 * mib, 1}, {460 * mib, 2}, {460 * mib, 64}, {16 << 30, 8}, {1 << 40, 256}, {0, 1}} {
		b, limit := shares(tt.memory, tt.cpus)
		if b.workers < 1 || b.workers > tt.cpus+2 || b.writer < 16*mib || b.cast < 16*mib {
			t.Errorf("%d MiB, %d CPUs: %+v", tt.memory/mib, tt.cpus, b)
		}
		// Kernel, userland and the kernel to come need the rest.
		if tt.memory >= 400*mib && (b.writer+b.cast+int64(b.workers)*12*mib > tt.memory/2 || limit > tt.memory/2) {
			t.Errorf("%d MiB: %+v and a limit of %d MiB are too much", tt.memory/mib, b, limit/mib)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"extra"},
		{"-site", filepath.Join(t.TempDir(), "none"), "-cmdline", os.DevNull}} {
		if err := run(t.Context(), args, nil, io.Discard, io.Discard); err == nil {
			t.Errorf("%q were taken", args)
		}
	}
	if err := run(t.Context(), []string{"-h"}, nil, io.Discard, io.Discard); err != nil {
		t.Errorf("-h: %v", err)
	}
}

// TestAfterStdin has an agent whose drivers are not loaded yet: it says hello when they are, and ends when told to.
func TestAfterStdin(t *testing.T) {
	greeted := make(chan struct{})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else it is not noticed that the agent ends
		close(greeted)
		<-r.Context().Done()
	}))
	defer srv.Close()
	pin := sha256.Sum256(srv.Certificate().RawSubjectPublicKeyInfo)
	cmdline := filepath.Join(t.TempDir(), "cmdline")
	if err := os.WriteFile(cmdline, fmt.Appendf(nil, "diskcast.server=%s diskcast.pin=sha256:%x", srv.URL, pin),
		0o600); err != nil {
		t.Fatal(err)
	}
	begin := func(ctx context.Context) (*io.PipeWriter, <-chan error) {
		r, w := io.Pipe()
		t.Cleanup(func() { w.Close() })
		ended := make(chan error, 1)
		go func() { // ends with ctx
			ended <- run(ctx, []string{"-after-stdin", "-no-network", "-no-boot", "-site", cmdline + ".none",
				"-cmdline", cmdline}, r, io.Discard, io.Discard)
		}()
		return w, ended
	}
	ctx, stop := context.WithCancel(t.Context())
	w, ended := begin(ctx)
	select {
	case err := <-ended:
		t.Errorf("it ended: %v", err)
	case <-greeted:
		t.Error("it said hello without its disks")
	case <-time.After(50 * time.Millisecond):
	}
	w.Close()
	select {
	case <-greeted:
	case err := <-ended:
		t.Fatalf("it ended before it said hello: %v", err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("told to end: %v", err)
	}
	ctx, stop = context.WithCancel(t.Context())
	_, ended = begin(ctx)
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("told to end before its drivers were loaded: %v", err)
	}
}
