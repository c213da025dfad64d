package restore_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
)

func TestDelta(t *testing.T) {
	const mib = 1 << 20
	src := disk(t, 40*mib, 512, 17, 30*mib)
	s := store(t)
	old := captured(t, src, 512, capture.Options{Store: s})
	target := imagetest.NewMemory(bytes.Clone(src), 512)

	next := bytes.Clone(src)
	copy(next[9*mib:], "a change in one chunk")
	clear(next[21*mib : 21*mib+300000])
	im := captured(t, next, 512, capture.Options{Store: s})
	if im.ObjectSize() > 2*old.ObjectSize() || im.Index().Blobs != 2 {
		t.Errorf("the second image has %d blobs", im.Index().Blobs)
	}
	stats, err := restore.Local(context.Background(), im, target, restore.LocalOptions{Delta: true, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Needed > im.ObjectSize()/3 {
		t.Errorf("%d of %d object bytes were needed for two changed chunks", stats.Needed, im.ObjectSize())
	}
	sameData(t, im, next, target)

	// Interrupted: a restore of which some chunks never came is completed by what Present did not find.
	target = dirty(int64(len(next)), 512)
	p, err := restore.NewPlan(im.Config(), im.Index(), target.Size(), 512)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := p.SameTable(target); same || err != nil {
		t.Fatalf("SameTable on a foreign disk: %v %v", same, err)
	}
	if err := p.WriteTable(target); err != nil {
		t.Fatal(err)
	}
	if same, err := p.SameTable(target); !same || err != nil {
		t.Fatalf("SameTable after WriteTable: %v %v", same, err)
	}
	w, err := restore.NewWriter(p, target, restore.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, im.ObjectSize()/2)
	if _, err := im.Object().ReadAt(half, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Block(0, half); err != nil {
		t.Fatal(err)
	}
	var incomplete *restore.IncompleteError
	if err := w.Close(); !errors.As(err, &incomplete) {
		t.Fatalf("Close of half a restore: %v", err)
	}
	stats, err = restore.Local(context.Background(), im, target, restore.LocalOptions{Delta: true, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Needed > im.ObjectSize()*2/3 {
		t.Errorf("after half a restore %d of %d bytes are still needed", stats.Needed, im.ObjectSize())
	}
	sameData(t, im, next, target)
}

// TestReadBack has a disk that keeps another byte than was written, once or for ever: the first is mended, the second
// said.
func TestReadBack(t *testing.T) {
	src := disk(t, 40<<20, 512, 17, 30<<20)
	im := captured(t, src, 512, capture.Options{})
	chunks := im.Index().Chunks
	at := chunks[len(chunks)/2].Extents[0].Offset + 77
	for times, mended := range map[int]bool{1: true, 9: false} {
		target := &imagetest.Forgetful{Memory: dirty(int64(len(src)), 512), At: at, Times: times}
		var told []*restore.MismatchError
		o := restore.LocalOptions{Verify: true, Wrong: func(e *restore.MismatchError) { told = append(told, e) }}
		stats, err := restore.Local(t.Context(), im, target, o)
		if (err == nil) != mended || len(told) != 1 || told[0].Offset > at || told[0].Offset+told[0].Length <= at {
			t.Errorf("wrong %d times: %v, told %v", times, err, told)
		}
		if mended {
			sameData(t, im, src, target.Memory)
		} else if words := "the target does not hold what was written to it"; !strings.Contains(err.Error(), words) {
			t.Errorf("error %q, want %q", err, words)
		}
		if stats.Needed <= im.ObjectSize() {
			t.Errorf("%d of %d object bytes were needed, and a chunk of them twice", stats.Needed, im.ObjectSize())
		}
	}
}
