package restore_test

import (
	"bytes"
	"context"
	"errors"
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
