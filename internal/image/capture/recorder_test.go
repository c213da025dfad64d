package capture_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
)

// stageRemote is a Remote without a network between. After so many frames it breaks.
type stageRemote struct {
	*image.Stage
	left atomic.Int64
}

var errBroken = errors.New("connection reset")

func (r *stageRemote) Has(_ context.Context, sum [32]byte, size int64) (bool, error) {
	return r.Stage.Has(sum, size), nil
}

func (r *stageRemote) Put(_ context.Context, sum [32]byte, size int64, stored []byte) error {
	if r.left.Add(-1) < 0 {
		return errBroken
	}
	return r.Stage.Put(sum, size, stored)
}

func TestRemoteCapture(t *testing.T) {
	const grid = 64 << 10
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 4<<20+77)
	imagetest.Fill(disk, 14)
	size := int64(len(disk))
	o := image.BuilderOptions{DiskSize: size, Grid: grid}
	attempt := func(frames int64) (int64, string, error) {
		g, err := s.OpenStage("s1-n1", o)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		remote := &stageRemote{Stage: g}
		remote.left.Store(frames)
		rec := capture.NewRecorder(context.Background(), remote, size, grid, 3)
		defer rec.Close()
		d, err := capture.Survey(bytes.NewReader(disk), size, 512)
		if err != nil {
			t.Fatal(err)
		}
		var res capture.Result
		if err := capture.Chunks(context.Background(), bytes.NewReader(disk), d, rec,
			capture.Options{Grid: grid, Level: capture.Fast}, &res); err != nil {
			return rec.Sent(), "", err
		}
		x, err := rec.Index()
		if err != nil {
			return rec.Sent(), "", err
		}
		// Over the wire.
		b, err := x.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if x, err = image.ParseIndex(b); err != nil {
			t.Fatal(err)
		}
		d.Config.Level = capture.Fast
		digest, err := g.Finish(context.Background(), x, d.Config, "remote", time.Time{}, nil)
		return rec.Sent(), digest, err
	}
	if _, _, err := attempt(10); !errors.Is(err, errBroken) {
		t.Fatalf("the broken connection: %v", err)
	}
	if list, err := s.Stages(); err != nil || len(list) != 1 {
		t.Errorf("stages %v %v", list, err)
	}
	sent, digest, err := attempt(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.Stages(); err != nil || len(list) != 0 {
		t.Errorf("stages %v %v", list, err)
	}
	// The same as captured here, and the second attempt did not send what the first one had.
	local, err := image.OpenStore(filepath.Join(t.TempDir(), "local"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := capture.Capture(context.Background(), bytes.NewReader(disk), size, 512,
		capture.Options{Store: local, Grid: grid, Level: capture.Fast})
	if err != nil {
		t.Fatal(err)
	}
	if digest != r.Digest {
		t.Errorf("captured over the network the digest is %s, here %s", digest, r.Digest)
	}
	if sent >= r.Object {
		t.Errorf("the second attempt sent %d bytes, the whole has %d", sent, r.Object)
	}
	im, err := s.Open("remote")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if err := im.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
}

func TestStageRefuses(t *testing.T) {
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenStage("../up", image.BuilderOptions{DiskSize: 1 << 20}); err == nil {
		t.Error("a stage outside of its directory")
	}
	g, err := s.OpenStage("a", image.BuilderOptions{DiskSize: 1 << 20, Grid: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	e, err := image.NewEncoder(capture.Fast)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5000)
	imagetest.Random(b, 1)
	sum, frame := e.Sum(b), e.Encode(nil, b)
	for name, err := range map[string]error{
		"wrong sum":  g.Put([32]byte{1}, 5000, frame),
		"wrong size": g.Put(sum, 4999, frame),
		"too large":  g.Put(sum, 64<<10+1, frame),
		"no frame":   g.Put(sum, 5000, []byte("hello")),
	} {
		if !errors.Is(err, image.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x := &image.Index{DiskSize: 1 << 20, Grid: 64 << 10, Blobs: 1,
		Frames: []image.Frame{{Length: 1, Size: 5000, Sum: sum}},
		Chunks: []image.Chunk{{Cell: 2, Extents: []image.Extent{{Offset: 2 * 64 << 10, Length: 5000}}}}}
	var missing *image.MissingError
	if _, err := g.Finish(context.Background(), x, &image.Config{}, "", time.Time{}, nil); !errors.As(err, &missing) ||
		len(missing.Frames) != 1 {
		t.Errorf("a frame that was never sent: %v", err)
	}
	if err := g.Put(sum, 5000, frame); err != nil {
		t.Error(err)
	}
	for i := range 600 { // more than the disk can hold
		imagetest.Random(b, uint64(i+2))
		if err = g.Put(e.Sum(b), 5000, e.Encode(nil, b)); err != nil {
			break
		}
	}
	if !errors.Is(err, image.ErrFormat) {
		t.Errorf("3 MB of frames for a disk of 1 MiB: %v", err)
	}
}
