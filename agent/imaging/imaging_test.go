package imaging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/session"
)

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

// TestLeftovers has a disk that was in a RAID set of the BIOS: the plan says so, and nothing of it is left.
func TestLeftovers(t *testing.T) {
	w := newWorld(t)
	copy(w.target.Bytes()[diskSize-1024:], "Intel Raid ISM Cfg Sig. 1.3.00")
	copy(w.target.Bytes()[diskSize-3087*512:], "Promise Technology, Inc.")
	if err := w.restore(w.descriptor(), w.multicast(nil), nil); err != nil {
		t.Fatal(err)
	}
	w.complete()
	w.mustSay("wiped with it: the disk was a member of an Intel RST (Matrix) RAID set (byte 12581888), " +
		"the disk was a member of a Promise FastTrak RAID set (byte 11002368)")
	if b := w.target.Bytes(); bytes.Contains(b, []byte("Intel Raid")) || bytes.Contains(b, []byte("Promise")) {
		t.Error("the signatures are still there")
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

// TestPlanWarns has an image that the machine's firmware will not start: the plan says so, before anything is written.
func TestPlanWarns(t *testing.T) {
	for machine, want := range map[string]string{session.BIOS: "the image starts by UEFI and this machine by BIOS",
		session.UEFI: "", "": ""} {
		w := newWorld(t)
		w.im.Config().Firmware, w.im.Config().EFI = image.UEFI, nil
		d := w.descriptor()
		d.Cast = nil
		o := w.options(nil)
		o.Firmware = machine
		if _, err := Restore(t.Context(), d, nil, o); err != nil {
			t.Fatal(err)
		}
		w.complete()
		w.order("plan", "table", "written", "verified")
		if got := w.said("warn plan "); got != (want != "") || !w.said(want) {
			t.Errorf("firmware %q: a warning: %v, want %q; reports:\n%s", machine, got, want,
				strings.Join(w.steps, "\n"))
		}
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

// TestLastWords has a receiver that says something and ends while the restore is busy with something else: it is told
// all the same.
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

// TestPoisoned has every byte of the cast be wrong: nothing of it is written, and what is right comes by HTTP.
func TestPoisoned(t *testing.T) {
	w := newWorld(t)
	bad := bytes.Clone(w.object)
	for i := range bad {
		bad[i] ^= 1
	}
	var recv *fakeCast
	err := w.restore(w.descriptor(), w.multicast(func(ctx context.Context, f *fakeCast) error {
		phase := cast.State{Phase: cast.Receiving, Why: "somebody sends beside the sender"}
		if recv = f; f.left() {
			phase = cast.State{Phase: cast.Unicast, Why: "wrong bytes come by multicast"}
		}
		f.o.OnState(phase)
		for m := f.Missing(); len(m) > 0 || !f.left(); m = f.Missing() {
			if len(m) > 0 && !f.left() {
				off, n := m[0].Offset, min(m[0].Length, 20_000)
				f.mu.Lock()
				f.missing = f.missing.Remove(off, n)
				f.mu.Unlock()
				if err := f.sink.Block(off, bad[off:off+n]); err != nil {
					return err
				}
				continue
			}
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
	if recv.wrong < 3 {
		t.Errorf("the receiver was told of %d wrong pieces, want 3 and more", recv.wrong)
	}
	w.mustSay("warn multicast somebody sends beside the sender",
		"warn multicast wrong bytes come by multicast; fetching by HTTP")
}

// TestOneChunkPoisoned: who has the cast's key makes one chunk come wrong again and again. That says nothing of the
// server's copy: the node leaves the group and gets the chunk by HTTP.
func TestOneChunkPoisoned(t *testing.T) {
	w := newWorld(t)
	first := w.im.Index().Frames[0].Length
	bad := bytes.Clone(w.object)
	bad[first/2] ^= 1
	times := 0
	err := w.restore(w.descriptor(), w.multicast(func(ctx context.Context, f *fakeCast) error {
		f.o.OnState(cast.State{Phase: cast.Receiving})
		for !f.left() {
			if m := f.Missing(); len(m) > 0 && m[0].Offset == 0 && m[0].Length >= first {
				times++
				f.mu.Lock()
				f.missing = f.missing.Remove(0, first)
				f.mu.Unlock()
				if err := f.sink.Block(0, bad[:first]); err != nil {
					return err
				}
				continue
			}
			select {
			case <-f.change:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		f.o.OnState(cast.State{Phase: cast.Unicast, Why: "wrong bytes come by multicast"})
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
	if times < leaves {
		t.Errorf("the chunk came wrong %d times, want %d", times, leaves)
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
	err = w.restore(w.descriptor(), w.multicast(func(_ context.Context, f *fakeCast) error { second = f; return nil }),
		nil)
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
	if err := w.restore(d, w.multicast(func(_ context.Context, f *fakeCast) error { second = f; return nil }),
		nil); err != nil {
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
		{"two disks", func(w *world, _ *session.Descriptor) { w.disks = append(w.disks, second) },
			[]string{"fits 2 disks", "/dev/vda", "/dev/vdb", "serial one"}},
		{"no such disk", func(_ *world, d *session.Descriptor) { d.Target.Serial = "two" },
			[]string{"no disk fits", "/dev/vda", "another serial"}},
		{"in use", func(w *world, _ *session.Descriptor) { w.inUse = "vda1 is mounted at /x" },
			[]string{"/dev/vda is in use (vda1 is mounted at /x)"}},
		{"too small", func(w *world, _ *session.Descriptor) {
			w.disks[0].Size = 4 << 20
			w.target = imagetest.NewMemory(w.target.Bytes()[:4<<20:4<<20], sector)
		}, []string{"image img cannot go to /dev/vda", "nothing was written"}},
		{"another object", func(_ *world, d *session.Descriptor) { d.Image.ObjectSize++ },
			[]string{"its index describes an object of"}},
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
	cancel(node.ErrReplaced)
	if err := <-done; !errors.Is(err, node.ErrReplaced) {
		t.Errorf("%v, want ErrReplaced", err)
	}
}
