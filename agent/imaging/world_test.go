package imaging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/span"
	"github.com/diskcast/diskcast/internal/volume/table"
)

const (
	diskSize = 12 << 20
	grid     = 512 << 10
	sector   = 512
)

// world is a server with an image, a node with disks, and what the node reports.
type world struct {
	t       *testing.T
	source  []byte
	im      *image.Image
	object  []byte // what the server sends; a test may damage it
	disks   []session.Disk
	target  *imagetest.Memory
	inUse   string
	more    map[string]*imagetest.Memory // targets but for target, by path
	settled []string                     // "which path", as disks were told to the server
	of      int                          // the disk that the reports are about
	reread  []int
	result  json.RawMessage // of the last Result
	grown   []restore.Growth
	grow    error           // of growing
	chosen  *session.DiskID // by the session on this node

	mu      sync.Mutex
	steps   []string // "level step message"
	counts  []session.Progress
	fetched int64 // bytes of the object by HTTP
	gate    chan struct{}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	m := imagetest.NewMemory(make([]byte, diskSize), sector)
	g := imagetest.GPT(diskSize, sector, 2<<20, 7<<20)
	for i, p := range g.Partitions {
		imagetest.Fill(m.Bytes()[p.Start:p.End()], 7+uint64(i))
	}
	if err := table.Write(m, g, diskSize, sector); err != nil {
		t.Fatal(err)
	}
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Capture(t.Context(), bytes.NewReader(m.Bytes()), diskSize, sector,
		capture.Options{Store: s, Name: "img", Grid: grid}); err != nil {
		t.Fatal(err)
	}
	im, err := s.Open("img")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	object := make([]byte, im.ObjectSize())
	if _, err := im.Object().ReadAt(object, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	dirty := make([]byte, diskSize)
	imagetest.Random(dirty, 99)
	return &world{t: t, source: m.Bytes(), im: im, object: object, target: imagetest.NewMemory(dirty, sector),
		disks: []session.Disk{{Path: "/dev/vda", Size: diskSize, SectorSize: sector, Serial: "one"}}}
}

func (w *world) descriptor() *session.Descriptor {
	cd, cs := w.im.ConfigBlob()
	id, is := w.im.IndexBlob()
	return &session.Descriptor{
		V: 1, Session: "s", Action: session.Restore, Target: &session.Target{}, Verify: true,
		Image: &session.Image{Name: "img", Manifest: w.im.Manifest(), Config: session.Blob{Digest: cd, Size: cs},
			Index: session.Blob{Digest: id, Size: is}, ObjectSize: w.im.ObjectSize()},
		Cast: &session.Cast{ID: 1, Size: w.im.ObjectSize(), Key: make([]byte, 32), Payload: 1408, K: 128},
	}
}

func (w *world) options(r NewReceiver) Options {
	return Options{Server: w, Report: w, Disks: w, Receiver: r, Workers: 2}
}

// Blob and Object are the server.
func (w *world) Blob(_ context.Context, b session.Blob) ([]byte, error) {
	raw, err := w.im.Config().Marshal()
	if d, _ := w.im.IndexBlob(); b.Digest == d {
		raw, err = w.im.Index().AppendBinary(nil)
	}
	return raw, err
}

func (w *world) Object(ctx context.Context, manifest string, off, n int64, fn func(int64, []byte) error) error {
	if manifest != w.im.Manifest() {
		return errors.New("404")
	}
	if w.gate != nil {
		select {
		case <-w.gate:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for end := off + n; off < end; {
		k := min(end-off, 10_000)
		if err := fn(off, w.object[off:off+k]); err != nil {
			return err
		}
		off += k
		w.mu.Lock()
		w.fetched += k
		w.mu.Unlock()
	}
	return nil
}

func (w *world) ChooseDisk(_ context.Context, _ string, of int, d session.DiskID) (session.DiskID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = append(w.settled, fmt.Sprintf("%d %s", of, d.Path))
	if of > 0 {
		return d, nil
	}
	if w.chosen == nil {
		w.chosen = &d
	}
	return *w.chosen, nil
}

// List, InUse, Open and Reread are the hardware.
func (w *world) List() []session.Disk         { return w.disks }
func (w *world) InUse(string) (string, error) { return w.inUse, nil }
func (w *world) Open(d session.Disk) (restore.Target, error) {
	if m := w.more[d.Path]; m != nil {
		return m, nil
	}
	return w.target, nil
}
func (w *world) Reread(_ context.Context, _ string, n []int) error { w.reread = n; return nil }
func (w *world) Grow(_ context.Context, _ session.Disk, g restore.Growth) error {
	w.grown = append(w.grown, g)
	return w.grow
}
func (w *world) Disk(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of = i
}
func (w *world) Progress(string, session.Progress) {}
func (w *world) Step(step, level, message string, p *session.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of > 0 {
		message = fmt.Sprintf("{disk %d} %s", w.of+1, message)
	}
	w.steps = append(w.steps, level+" "+step+" "+message)
	if p != nil {
		w.counts = append(w.counts, *p)
	}
}

func (w *world) Result(step, level, message string, result json.RawMessage) {
	w.result = result
	w.Step(step, level, message, nil)
}
func (w *world) Refused(chunk int, message string) {
	w.Step(session.StepChunk, session.Warn, fmt.Sprintf("[%d] %s", chunk, message), nil)
}

// said tells whether a report has these words.
func (w *world) said(words string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.steps {
		if strings.Contains(s, words) {
			return true
		}
	}
	return false
}

func (w *world) mustSay(words ...string) {
	w.t.Helper()
	for _, x := range words {
		if !w.said(x) {
			w.t.Errorf("nothing was reported of %q; reports:\n%s", x, strings.Join(w.steps, "\n"))
		}
	}
}

// order checks that the steps came in this order, each at least once.
func (w *world) order(steps ...string) {
	w.t.Helper()
	i := 0
	for _, s := range w.steps {
		if i < len(steps) && strings.Fields(s)[1] == steps[i] {
			i++
		}
	}
	if i < len(steps) {
		w.t.Errorf("step %s is missing or late in:\n%s", steps[i], strings.Join(w.steps, "\n"))
	}
}

// complete checks that the target has all of the image.
func (w *world) complete() {
	w.t.Helper()
	for i, c := range w.im.Index().Chunks {
		for _, e := range append(append([]image.Extent(nil), c.Extents...), c.Zeros...) {
			if !bytes.Equal(w.source[e.Offset:e.End()], w.target.Bytes()[e.Offset:e.End()]) {
				w.t.Fatalf("chunk %d: disk bytes %d+%d differ", i, e.Offset, e.Length)
			}
		}
	}
}

// untouched checks that nothing was written.
func (w *world) untouched() {
	w.t.Helper()
	dirty := make([]byte, diskSize)
	imagetest.Random(dirty, 99)
	if !bytes.Equal(dirty, w.target.Bytes()) {
		w.t.Error("the disk was written to")
	}
}

// fakeCast is a multicast receiver that reads the world's object.
type fakeCast struct {
	w    *world
	p    cast.Params
	sink cast.Sink
	o    cast.ReceiverOptions

	mu      sync.Mutex
	missing span.Set
	sent    int64
	wrong   int // times that its bytes were not the object's
	change  chan struct{}
	// play brings blocks until it returns; default all that is missing, last first.
	play func(ctx context.Context, f *fakeCast) error
}

func (w *world) multicast(play func(ctx context.Context, f *fakeCast) error) NewReceiver {
	return func(p cast.Params, sink cast.Sink, o cast.ReceiverOptions) (Receiver, error) {
		f := &fakeCast{w: w, p: p, sink: sink, o: o, play: play, change: make(chan struct{}, 1)}
		var have span.Set
		for _, h := range o.Have {
			have = have.Add(h.Offset, h.Length)
		}
		f.missing = span.Invert(have, p.Size)
		return f, nil
	}
}

func (f *fakeCast) Run(ctx context.Context) error {
	if f.play != nil {
		if err := f.play(ctx, f); err != nil {
			return err
		}
	}
	for {
		if err := f.bring(ctx, 1<<62); err != nil {
			return err
		}
		if len(f.Missing()) == 0 {
			f.o.OnState(cast.State{Phase: cast.Complete})
			return nil
		}
	}
}

// bring delivers up to n bytes of what is missing, in rounds from the end of the object to its start.
func (f *fakeCast) bring(ctx context.Context, n int64) error {
	const block = 20_000
	for m := f.Missing(); len(m) > 0 && n > 0; m = f.Missing() {
		for i := len(m) - 1; i >= 0 && n > 0; i-- {
			for r := m[i]; r.Length > 0 && n > 0; {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				k := min(r.Length, block)
				r.Length -= k
				off := r.Offset + r.Length
				f.mu.Lock()
				f.missing = f.missing.Remove(off, k)
				f.sent += k
				f.mu.Unlock()
				if err := f.sink.Block(off, f.w.object[off:off+k]); err != nil {
					return err
				}
				n -= k
			}
		}
	}
	return nil
}

func (f *fakeCast) Again(off, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missing = f.missing.Add(off, n)
	select {
	case f.change <- struct{}{}:
	default:
	}
}

func (f *fakeCast) Deliver(off int64, p []byte) error {
	f.mu.Lock()
	f.missing = f.missing.Remove(off, int64(len(p)))
	f.mu.Unlock()
	select {
	case f.change <- struct{}{}:
	default:
	}
	return nil
}

// leaves is how many wrong pieces make a fakeCast leave the group.
const leaves = 3

func (f *fakeCast) left() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong >= leaves
}

// Wrong leaves the group at the third piece, as a real receiver does after some.
func (f *fakeCast) Wrong() {
	f.mu.Lock()
	f.wrong++
	leave := f.wrong == leaves
	f.mu.Unlock()
	if leave {
		f.o.OnState(cast.State{Phase: cast.Unicast, Why: "wrong bytes come by multicast"})
	}
}

func (f *fakeCast) Missing() []cast.Range {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]cast.Range(nil), f.missing...)
}

func (f *fakeCast) Stats() cast.ReceiverStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return cast.ReceiverStats{Multicast: f.sent}
}

// during runs a restore with a limit in time.
func (w *world) restore(d *session.Descriptor, r NewReceiver, casts chan *session.Cast) error {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	_, err := Restore(ctx, d, casts, w.options(r))
	return err
}
