package imaging

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/session"
)

// twoDisks is a node with two disks, and a descriptor that brings the image to both.
func twoDisks(t *testing.T) (*world, *imagetest.Memory, *session.Descriptor) {
	w := newWorld(t)
	w.disks = []session.Disk{{Path: "/dev/sda", Size: diskSize, SectorSize: sector, Serial: "A"},
		{Path: "/dev/sdb", Size: diskSize, SectorSize: sector, Serial: "B"}}
	dirty := make([]byte, diskSize)
	imagetest.Random(dirty, 99)
	second := imagetest.NewMemory(dirty, sector)
	w.more = map[string]*imagetest.Memory{"/dev/sdb": second}
	d := w.descriptor()
	d.Action, d.Target = session.RestoreDisks, &session.Target{Serial: "A"}
	d.MoreDisks = []session.MoreDisk{{Image: *d.Image, Target: session.Target{Serial: "B"}}}
	return w, second, d
}

func restoreBoth(w *world, d *session.Descriptor) error {
	o := w.options(w.multicast(nil))
	o.MoreCasts = []<-chan *session.Cast{nil}
	_, err := Restore(w.t.Context(), d, nil, o)
	return err
}

func TestSeveralDisks(t *testing.T) {
	w, second, d := twoDisks(t)
	if err := restoreBoth(w, d); err != nil {
		t.Fatal(err)
	}
	w.complete()
	first := w.target
	w.target = second
	w.complete()
	if !bytes.Equal(first.Bytes()[:1<<20], second.Bytes()[:1<<20]) {
		t.Error("the disks differ at their start")
	}
	if diff := cmp.Diff([]string{"0 /dev/sda", "1 /dev/sdb"}, w.settled); diff != "" {
		t.Errorf("disks told to the server, -want +got\n%s", diff)
	}
	w.order("plan", "table", "first-byte", "last-byte", "written", "verified", "grown", "plan", "table", "first-byte",
		"last-byte", "written", "verified", "grown")
	w.mustSay("info plan {disk 2} ", "info written {disk 2} ", "info first-byte {disk 2} by HTTP")
	if w.of != 0 {
		t.Errorf("what follows is told of disk %d", w.of+1)
	}
	last := w.counts[len(w.counts)-1]
	if last.Written != last.ToWrite || last.Received != last.Needed || last.Multicast != w.im.ObjectSize() ||
		last.Unicast != w.im.ObjectSize() {
		t.Errorf("in the end the counts are %+v", last)
	}
	written := w.counts[0].Written
	for _, c := range w.counts {
		if c.Written < written || c.ToWrite < last.ToWrite {
			t.Errorf("the counts of both disks run backwards: %+v", w.counts)
		}
		written = c.Written
	}
}

// TestNoDiskIsBegun has something that is in the way of the second disk: the first is not written to either, and the
// server is told of none.
func TestNoDiskIsBegun(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, d *session.Descriptor)
		want   string
	}{
		"one disk twice": {func(_ *world,
			d *session.Descriptor) {
			d.MoreDisks[0].Target = session.Target{Path: "/dev/sda"}
		},
			"the rules for disk 1 (serial A) and disk 2 (path /dev/sda) both mean /dev/sda"},
		"one disk by two paths": {func(w *world, d *session.Descriptor) {
			for i, place := range []string{"pci-0-scsi-0:0:0:0", "pci-1-scsi-0:0:0:0"} {
				w.disks[i].Serial, w.disks[i].WWN, w.disks[i].BusPath = "A", "naa.600a", place
			}
			d.Target.ByPath, d.MoreDisks[0].Target = "pci-0*", session.Target{ByPath: "pci-1*"}
		}, "mean /dev/sda and /dev/sdb, which say that they are the same disk (wwn naa.600a) by two paths"},
		"too small": {func(w *world, _ *session.Descriptor) {
			w.more["/dev/sdb"] = imagetest.NewMemory(make([]byte, diskSize/2), sector)
		}, "disk 2 of 2: image img cannot go to /dev/sdb"},
		"not there": {func(_ *world, d *session.Descriptor) { d.MoreDisks[0].Target = session.Target{Serial: "C"} },
			"disk 2 of 2: no disk fits the rule (serial C)"},
		"two fit": {func(_ *world, d *session.Descriptor) { d.MoreDisks[0].Target = session.Target{} },
			"disk 2 of 2: the rule (the only disk) fits 2 disks"},
	} {
		t.Run(name, func(t *testing.T) {
			w, second, d := twoDisks(t)
			c.change(w, d)
			err := restoreBoth(w, d)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			w.untouched()
			if w.more["/dev/sdb"] == second {
				w.target = second
				w.untouched()
			}
			if len(w.settled)+len(w.steps) > 0 {
				t.Errorf("the server is told %q, %q", w.settled, w.steps)
			}
		})
	}
}
