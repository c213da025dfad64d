package imaging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// divided is a world whose image is partition 1 of its source, and whose node has a disk with three partitions.
func divided(t *testing.T) (w *world, before []byte) {
	w = newWorld(t)
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Capture(t.Context(), bytes.NewReader(w.source), diskSize, sector, capture.Options{Store: s,
		Name: "img", Grid: grid, Partition: &partition.By{Number: 1}}); err != nil {
		t.Fatal(err)
	}
	if w.im, err = s.Open("img"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.im.Close() })
	w.object = make([]byte, w.im.ObjectSize())
	if _, err := w.im.Object().ReadAt(w.object, 0); err != nil {
		t.Fatal(err)
	}
	g := imagetest.GPT(diskSize, sector, mib, 3*mib, 2*mib)
	clear(w.target.Bytes()[:34*sector])
	clear(w.target.Bytes()[diskSize-34*sector:])
	if err := table.Write(w.target, g, diskSize, sector); err != nil {
		t.Fatal(err)
	}
	return w, slices.Clone(w.target.Bytes())
}

func partitionDescriptor(w *world, job string) *session.Descriptor {
	d := w.descriptor()
	d.Action, d.Job = session.RestorePartition, json.RawMessage(job)
	return d
}

// TestRestorePartition writes one partition of a node's disk, by multicast, and not a byte beside it.
func TestRestorePartition(t *testing.T) {
	w, before := divided(t)
	d := partitionDescriptor(w, `{"v":1,"number":2}`)
	if err := d.Validate(); err == nil || !strings.Contains(err.Error(), "cast") {
		t.Fatalf("the test's cast is no real one, and all else is right: %v", err)
	}
	if err := w.restore(d, w.multicast(nil), nil); err != nil {
		t.Fatal(err)
	}
	const start, end = 2 * mib, 5 * mib
	got := w.target.Bytes()
	if !bytes.Equal(got[:start], before[:start]) || !bytes.Equal(got[end:], before[end:]) {
		t.Error("bytes beside the partition were written")
	}
	if !bytes.Equal(got[start:start+2*mib], w.source[mib:3*mib]) {
		t.Error("the partition is not the image's")
	}
	w.order("plan", "table", "written", "verified", "grown")
	w.mustSay("goes to partition 2 (3.1 MB (3145728 bytes) from byte 2097152, now raw) of /dev/vda",
		"the partition table stays as it is")
	r, err := session.ParsePartitionResult(w.result)
	if err != nil || r.Number != 2 || r.Start != start || r.Size != end-start {
		t.Errorf("the server is told of %+v, %v", r, err)
	}
	if fmt.Sprint(w.reread) != "[1 2 3]" {
		t.Errorf("the kernel is to look for partitions %v", w.reread)
	}
	// What is there already is not received again.
	written, zeroed := w.target.Written()
	d.Mode = session.Delta
	if err := w.restore(d, w.multicast(nil), nil); err != nil {
		t.Fatal(err)
	}
	if now, z := w.target.Written(); now != written || z != zeroed {
		t.Errorf("%d bytes were written again", now+z-written-zeroed)
	}
	w.mustSay("only what differs is received")
}

// TestRefusePartition: what does not fit is refused before the first write.
func TestRefusePartition(t *testing.T) {
	for name, c := range map[string]struct {
		job, want string
		whole     bool // the image is of a disk
		table     func(b []byte)
	}{
		"too small": {job: `{"v":1,"number":1}`, want: "too small"},
		"not there": {job: `{"v":1,"number":9}`, want: "no partition 9"},
		"a disk":    {job: `{"v":1,"number":2}`, want: "image cut", whole: true},
		"no table": {job: `{"v":1,"number":2}`, want: "no partition table",
			table: func(b []byte) { clear(b[:mib]); clear(b[diskSize-mib:]) }},
		"damaged table": {job: `{"v":1,"number":2}`, want: "damaged", table: func(b []byte) { b[1024+40] ^= 1 }},
		"newer":         {job: `{"v":2,"number":2}`, want: "unknown document version"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := divided(t)
			if c.whole {
				b := newWorld(t)
				w.im, w.object = b.im, b.object
			}
			if c.table != nil {
				c.table(w.target.Bytes())
			}
			before := slices.Clone(w.target.Bytes())
			err := w.restore(partitionDescriptor(w, c.job), w.multicast(nil), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if !bytes.Equal(before, w.target.Bytes()) {
				t.Error("the disk was written to")
			}
		})
	}
}

// TestPartitionImageOverDisk: an image of a partition is none of a disk.
func TestPartitionImageOverDisk(t *testing.T) {
	w, before := divided(t)
	err := w.restore(w.descriptor(), w.multicast(nil), nil)
	if err == nil || !strings.Contains(err.Error(), "one partition") || !bytes.Equal(before, w.target.Bytes()) {
		t.Errorf("%v", err)
	}
}
