package imaging

import (
	"context"
	"errors"
	"testing"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume/table"
)

const mib = 1 << 20

// TestGrow restores to a disk that is larger: the last partition takes the rest, its file system is grown when
// everything was verified, and whatever comes of that, the restore is good.
func TestGrow(t *testing.T) {
	const larger = 2*diskSize + 4096
	for _, c := range []struct {
		name  string
		fs    string
		size  int64
		keep  bool
		err   error
		grown int64 // what the partition is grown to
		say   string
	}{
		{name: "ext4", fs: "ext4", size: larger, grown: larger/mib*mib - mib - 3*mib,
			say: "info grown partition 2 and its ext4 grew from 7340032 to 20971520 bytes"},
		{name: "no driver", fs: "xfs", size: larger, err: errors.New("the kernel has no driver"),
			grown: larger/mib*mib - mib - 3*mib, say: "warn grown the kernel has no driver"},
		{name: "cannot grow", fs: "ntfs", size: larger,
			say: `info grown nothing grows: partition 2, the last one, keeps its size: "ntfs" cannot be grown`},
		{name: "same size", fs: "ext4", size: diskSize, say: "info grown the disk is not larger"},
		{name: "not asked for", fs: "ext4", size: larger, keep: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.im.Config().Partitions[1].FS = c.fs
			w.grow = c.err
			dirty := make([]byte, c.size)
			imagetest.Random(dirty, 99)
			w.target = imagetest.NewMemory(dirty, sector)
			d := w.descriptor()
			d.NoGrow = c.keep
			if err := w.restore(d, w.multicast(nil), nil); err != nil {
				t.Fatal(err)
			}
			w.complete()
			w.order("plan", "table", "written", "verified")
			if c.say != "" {
				w.order("verified", "grown")
				w.mustSay(c.say)
			} else if w.said("grown") {
				t.Error("growing was told of")
			}
			if (c.grown > 0) != (len(w.grown) == 1) || c.grown > 0 && w.grown[0].To != c.grown {
				t.Errorf("grown: %+v", w.grown)
			}
			got, err := table.Read(w.target, c.size, sector)
			if err != nil {
				t.Fatal(err)
			}
			if want := max(c.grown, 7*mib); got.Partitions[1].Size != want {
				t.Errorf("the last partition has %d bytes, want %d", got.Partitions[1].Size, want)
			}
			// The next run finds what it would write.
			w.steps = nil
			if err := w.restore(d, w.multicast(nil), nil); err != nil {
				t.Fatal(err)
			}
			w.mustSay("only what differs is received", "GPT with 2 partitions is on the disk already")
		})
	}
}

func TestGrowReplaced(t *testing.T) {
	w := newWorld(t)
	w.im.Config().Partitions[1].FS = "btrfs"
	w.target = imagetest.NewMemory(make([]byte, 2*diskSize), sector)
	ctx, cancel := context.WithCancelCause(t.Context())
	o := w.options(w.multicast(nil))
	o.Disks = replaced{w, cancel}
	if _, err := Restore(ctx, w.descriptor(), nil, o); !errors.Is(err, node.ErrReplaced) {
		t.Errorf("%v, want ErrReplaced", err)
	}
	if w.said(session.StepGrown) {
		t.Error("a growing that was stopped is told as done")
	}
}

// replaced is a node that gets another task while its file system grows.
type replaced struct {
	*world
	cancel context.CancelCauseFunc
}

func (r replaced) Grow(ctx context.Context, _ session.Disk, _ restore.Growth) error {
	r.cancel(node.ErrReplaced)
	return ctx.Err()
}
