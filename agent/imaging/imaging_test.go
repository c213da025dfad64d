package imaging

import (
	"bytes"
	"context"
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
	"github.com/diskcast/diskcast/internal/volume/table"
)

const (
	diskSize = 12 << 20
	grid     = 512 << 10
	sector   = 512
)

// world is a server with an image, a node with disks, and what the node reports.
type world struct {
	t      *testing.T
	source []byte
	im     *image.Image
	object []byte // what the server sends; a test may damage it
	disks  []session.Disk
	target *imagetest.Memory
	inUse  string
	reread []int
	grown  []restore.Growth
	grow   error // of growing

	mu      sync.Mutex
	steps   []string // "level step message"
	fetched int64    // bytes of the object by HTTP
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
	if _, err := capture.Capture(t.Context(), bytes.NewReader(m.Bytes()), diskSize, sector, capture.Options{Store: s, Name: "img", Grid: grid}); err != nil {
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
		Image: &session.Image{Name: "img", Manifest: w.im.Manifest(), Config: session.Blob{Digest: cd, Size: cs}, Index: session.Blob{Digest: id, Size: is}, ObjectSize: w.im.ObjectSize()},
		Cast:  &session.Cast{ID: 1, Size: w.im.ObjectSize(), Key: make([]byte, 32), Payload: 1408, K: 128},
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

// List, InUse, Open and Reread are the hardware.
func (w *world) List() []session.Disk                              { return w.disks }
func (w *world) InUse(string) (string, error)                      { return w.inUse, nil }
func (w *world) Open(session.Disk) (restore.Target, error)         { return w.target, nil }
func (w *world) Reread(_ context.Context, _ string, n []int) error { w.reread = n; return nil }
func (w *world) Grow(_ context.Context, _ session.Disk, g restore.Growth) error {
	w.grown = append(w.grown, g)
	return w.grow
}
func (w *world) Progress(string, session.Progress) {}
func (w *world) Step(step, level, message string, p *session.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, level+" "+step+" "+message)
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
	missing rangeSet
	sent    int64
	change  chan struct{}
	// play brings blocks until it returns; default all that is missing, last first.
	play func(ctx context.Context, f *fakeCast) error
}

func (w *world) multicast(play func(ctx context.Context, f *fakeCast) error) NewReceiver {
	return func(p cast.Params, sink cast.Sink, o cast.ReceiverOptions) (Receiver, error) {
		f := &fakeCast{w: w, p: p, sink: sink, o: o, play: play, change: make(chan struct{}, 1)}
		var have rangeSet
		for _, h := range o.Have {
			have = have.add(h.Offset, h.Length)
		}
		f.missing = have.complement(p.Size)
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
				f.missing = f.missing.remove(off, k)
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
	f.missing = f.missing.add(off, n)
}

func (f *fakeCast) Deliver(off int64, p []byte) error {
	f.mu.Lock()
	f.missing = f.missing.remove(off, int64(len(p)))
	f.mu.Unlock()
	select {
	case f.change <- struct{}{}:
	default:
	}
	return nil
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

func TestMulticast(t *testing.T) {
	w := newWorld(t)
	if err := w.restore(w.descriptor(), w.multicast(nil), nil); err != nil {
		t.Fatal(err)
	}
	w.complete()
	w.order("plan", "table", "first-byte", "last-byte", "written", "verified")
	w.mustSay("by multicast", "GPT with 2 partitions written")
	if w.fetched != 0 {
		t.Errorf("%d bytes by HTTP", w.fetched)
	}
	if len(w.reread) != 2 {
		t.Errorf("partitions waited for: %v", w.reread)
	}
}

func TestNoCast(t *testing.T) {
	w := newWorld(t)
	d := w.descriptor()
	d.Cast = nil
	if err := w.restore(d, nil, nil); err != nil {
		t.Fatal(err)
	}
	w.complete()
	w.mustSay("the session has no cast; fetching by HTTP", "info first-byte by HTTP")
	if w.fetched != w.im.ObjectSize() {
		t.Errorf("%d bytes by HTTP of %d", w.fetched, w.im.ObjectSize())
	}
}

// TestSilence has multicast that brings half, stops, and comes back after a part came by HTTP.
func TestSilence(t *testing.T) {
	w := newWorld(t)
	half := w.im.ObjectSize() / 2
	err := w.restore(w.descriptor(), w.multicast(func(ctx context.Context, f *fakeCast) error {
		f.o.OnState(cast.State{Phase: cast.Receiving})
		if err := f.bring(ctx, half); err != nil {
			return err
		}
		f.o.OnState(cast.State{Phase: cast.Silent, Why: "no multicast for 3 s"})
		<-f.change
		f.o.OnState(cast.State{Phase: cast.Receiving})
		return nil
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.complete()
	w.mustSay("warn multicast no multicast for 3 s; fetching by HTTP", "info multicast multicast arrives again")
	if w.fetched == 0 {
		t.Error("nothing came by HTTP")
	}
}

// TestLastWords has a receiver that says something and ends while the restore is busy with something else: it is told all the same.
func TestLastWords(t *testing.T) {
	w := newWorld(t)
	if err := w.restore(w.descriptor(), w.multicast(nil), nil); err != nil {
		t.Fatal(err)
	}
	for range 30 { // the restore looks first at any of what has happened
		w.steps = nil
		over := make(chan struct{})
		o := w.options(func(p cast.Params, sink cast.Sink, o cast.ReceiverOptions) (Receiver, error) {
			r, err := w.multicast(func(_ context.Context, f *fakeCast) error {
				f.o.OnState(cast.State{Phase: cast.Silent, Why: "no multicast for 3 s"})
				return nil
			})(p, sink, o)
			return ending{r, over}, err
		})
		o.Report = slow{w, over}
		if _, err := Restore(t.Context(), w.descriptor(), nil, o); err != nil {
			t.Fatal(err)
		}
		w.mustSay("warn multicast no multicast for 3 s; fetching by HTTP")
	}
}

// ending tells when it has ended.
type ending struct {
	Receiver
	over chan struct{}
}

func (e ending) Run(ctx context.Context) error {
	defer close(e.over)
	return e.Receiver.Run(ctx)
}

// slow takes its time over one step, until the receiver has ended.
type slow struct {
	*world
	over chan struct{}
}

func (s slow) Step(step, level, message string, p *session.Progress) {
	if step == session.StepLastByte {
		<-s.over
	}
	s.world.Step(step, level, message, p)
}

// TestSentAway is a straggler: the sender wants it to fetch all of the rest.
func TestSentAway(t *testing.T) {
	w := newWorld(t)
	err := w.restore(w.descriptor(), w.multicast(func(ctx context.Context, f *fakeCast) error {
		f.o.OnState(cast.State{Phase: cast.Unicast, Why: "the sender asks for it"})
		for len(f.Missing()) > 0 {
			select {
			case <-f.change:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.complete()
	if w.fetched != w.im.ObjectSize() {
		t.Errorf("%d bytes by HTTP of %d", w.fetched, w.im.ObjectSize())
	}
}

// TestRecast has the server come back with another cast when half is there: the other half is asked for, no more.
func TestRecast(t *testing.T) {
	w := newWorld(t)
	half := w.im.ObjectSize() / 2
	casts := make(chan *session.Cast, 1)
	var second *fakeCast
	err := w.restore(w.descriptor(), w.multicast(func(ctx context.Context, f *fakeCast) error {
		if f.p.ID == 2 {
			second = f
			return nil
		}
		if err := f.bring(ctx, half); err != nil {
			return err
		}
		c := *w.descriptor().Cast
		c.ID = 2
		casts <- &c
		<-ctx.Done()
		return ctx.Err()
	}), casts)
	if err != nil {
		t.Fatal(err)
	}
	w.complete()
	w.mustSay("casts anew")
	if second == nil || second.sent > w.im.ObjectSize()-half {
		t.Errorf("the second cast brought %d of %d bytes, although %d were there", second.sent, w.im.ObjectSize(), half)
	}
}

// TestDroppedForMemory restores in so little memory that the writer has to ask for bytes again.
func TestDroppedForMemory(t *testing.T) {
	for _, way := range []string{"multicast", "HTTP"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			var parts int64
			var recv *fakeCast
			o := w.options(w.multicast(func(ctx context.Context, f *fakeCast) error {
				recv = f
				// A part of every frame first: more than fit in memory.
				for i, fr := range w.im.Index().Frames {
					k := min(fr.Length, 150_000)
					parts += k
					if err := f.Deliver(fr.Object, w.object[fr.Object:fr.Object+k]); err != nil {
						return err
					}
					if err := f.sink.Block(fr.Object, w.object[fr.Object:fr.Object+k]); err != nil {
						return fmt.Errorf("frame %d: %w", i, err)
					}
				}
				if way == "multicast" {
					return nil
				}
				f.o.OnState(cast.State{Phase: cast.Unicast, Why: "x"})
				for len(f.Missing()) > 0 {
					select {
					case <-f.change:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				return nil
			}))
			o.WriterMemory, o.Workers = 3*grid, 1
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if _, err := Restore(ctx, w.descriptor(), nil, o); err != nil {
				t.Fatal(err)
			}
			w.complete()
			if parts+recv.sent+w.fetched <= w.im.ObjectSize() {
				t.Error("nothing was dropped: the test shows nothing")
			}
		})
	}
}

// TestPowerCut ends a restore in the middle and starts another: it receives what was missing and little more.
func TestPowerCut(t *testing.T) {
	w := newWorld(t)
	half := w.im.ObjectSize() / 2
	cut := errors.New("the plug is pulled")
	err := w.restore(w.descriptor(), w.multicast(func(ctx context.Context, f *fakeCast) error {
		if err := f.bring(ctx, half); err != nil {
			return err
		}
		return cut
	}), nil)
	if !errors.Is(err, cut) {
		t.Fatalf("%v, want the cut", err)
	}
	w.steps = nil
	var second *fakeCast
	err = w.restore(w.descriptor(), w.multicast(func(_ context.Context, f *fakeCast) error { second = f; return nil }), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.complete()
	w.mustSay("only what differs is received", "is on the disk already")
	if limit := w.im.ObjectSize() - half + 4*grid; second.sent > limit {
		t.Errorf("%d bytes were received, more than the %d that were missing", second.sent, limit)
	}
	// And a full restore does not look at what is there.
	d := w.descriptor()
	d.Mode = session.Full
	if err := w.restore(d, w.multicast(func(_ context.Context, f *fakeCast) error { second = f; return nil }), nil); err != nil {
		t.Fatal(err)
	}
	if second.sent != w.im.ObjectSize() {
		t.Errorf("mode full received %d of %d bytes", second.sent, w.im.ObjectSize())
	}
}

// TestRefusals: whatever cannot go well is said before the first write.
func TestRefusals(t *testing.T) {
	second := session.Disk{Path: "/dev/vdb", Size: diskSize, SectorSize: sector}
	tests := []struct {
		name string
		set  func(w *world, d *session.Descriptor)
		want []string
	}{
		{"two disks", func(w *world, _ *session.Descriptor) { w.disks = append(w.disks, second) }, []string{"fits 2 disks", "/dev/vda", "/dev/vdb", "serial one"}},
		{"no such disk", func(_ *world, d *session.Descriptor) { d.Target.Serial = "two" }, []string{"no disk fits", "/dev/vda", "another serial"}},
		{"in use", func(w *world, _ *session.Descriptor) { w.inUse = "vda1 is mounted at /x" }, []string{"/dev/vda is in use (vda1 is mounted at /x)"}},
		{"too small", func(w *world, _ *session.Descriptor) {
			w.disks[0].Size = 4 << 20
			w.target = imagetest.NewMemory(w.target.Bytes()[:4<<20:4<<20], sector)
		}, []string{"image img cannot go to /dev/vda", "nothing was written"}},
		{"another object", func(_ *world, d *session.Descriptor) { d.Image.ObjectSize++ }, []string{"its index describes an object of"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			d := w.descriptor()
			whole := w.target
			tt.set(w, d)
			err := w.restore(d, w.multicast(nil), nil)
			for _, part := range tt.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
			w.target = whole
			w.untouched()
		})
	}
}

// TestDamagedBlob has a server whose blob has a wrong byte: the chunk is named, never written, and the restore fails.
func TestDamagedBlob(t *testing.T) {
	for _, way := range []string{"multicast", "HTTP"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			f := w.im.Index().Frames[3]
			w.object[f.Object+f.Length/2] ^= 1
			chunk := f.Chunks[0]
			d := w.descriptor()
			if way == "HTTP" {
				d.Cast = nil
			}
			err := w.restore(d, w.multicast(nil), nil)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("img: chunk %d ", chunk)) {
				t.Fatalf("error %v does not name chunk %d", err, chunk)
			}
			w.mustSay(fmt.Sprintf("warn chunk [%d] img: chunk %d (disk offset", chunk, chunk))
			if w.said("info written") || w.said("info verified") {
				t.Error("a success was reported")
			}
			dirty := make([]byte, diskSize)
			imagetest.Random(dirty, 99)
			for _, c := range f.Chunks {
				for _, e := range w.im.Index().Chunks[c].Extents {
					if !bytes.Equal(dirty[e.Offset:e.End()], w.target.Bytes()[e.Offset:e.End()]) {
						t.Errorf("chunk %d was written", c)
					}
				}
			}
		})
	}
}

// TestCancel ends a restore that waits for a server that does not answer.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.gate = make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	d := w.descriptor()
	waiting := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := Restore(ctx, d, nil, w.options(w.multicast(func(ctx context.Context, f *fakeCast) error {
			f.o.OnState(cast.State{Phase: cast.Silent, Why: "x"})
			close(waiting)
			<-ctx.Done()
			return ctx.Err()
		})))
		done <- err
	}()
	<-waiting
	cancel(ErrReplaced)
	if err := <-done; !errors.Is(err, ErrReplaced) {
		t.Errorf("%v, want ErrReplaced", err)
	}
}

func TestRangeSet(t *testing.T) {
	var s rangeSet
	mask := make([]bool, 64)
	state := uint64(1)
	for range 4000 {
		state = state*6364136223846793005 + 1442695040888963407
		off, n := int64(state>>33)%60, int64(state>>40)%5
		add := state>>50&1 == 1
		if add {
			s = s.add(off, n)
		} else {
			s = s.remove(off, n)
		}
		for i := off; i < off+n && i < 64; i++ {
			mask[i] = add
		}
		got := make([]bool, 64)
		last := int64(-1)
		for _, r := range s {
			if r.Length <= 0 || r.Offset <= last {
				t.Fatalf("%v is not sorted and merged", s)
			}
			last = r.Offset + r.Length
			for i := r.Offset; i < last; i++ {
				got[i] = true
			}
		}
		for i := range mask {
			if mask[i] != got[i] {
				t.Fatalf("byte %d: %v", i, s)
			}
		}
	}
}
