package rule

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

var (
	seeds = flag.Int("seeds", 150, "how many disks to make")
	from  = flag.Int64("from", 0, "the seed of the first")
	seed  = flag.Int64("seed", -1, "the only disk to make")
)

// TestRule captures disks that were made by chance, restores them onto random bytes, and lets no byte differ that no
// judge calls free.
func TestRule(t *testing.T) {
	all := pool(t)
	if t.Failed() || len(all) == 0 {
		t.Fatal("there are no file systems to make disks of")
	}
	first, n := *from, int64(*seeds)
	if *seed >= 0 {
		first, n = *seed, 1
	}
	dir := volumetest.Dir(t)
	var free, left, refused atomic.Int64
	var big sync.Mutex // one disk of hundreds of MB at a time
	g := errgroup.Group{}
	g.SetLimit(runtime.GOMAXPROCS(0))
	for s := first; s < first+n; s++ {
		g.Go(func() error {
			d := compose(uint64(s), all)
			if len(d.bytes) > 100*mib {
				big.Lock()
				defer big.Unlock()
			}
			if *seed >= 0 {
				t.Logf("seed %d: %d bytes\n    %s", s, len(d.bytes), d)
			}
			got, err := through(t.Context(), d, filepath.Join(dir, fmt.Sprint(s)), s)
			if d.refused && errors.Is(err, errRefused) {
				refused.Add(1)
				return nil
			}
			if err == nil {
				err = d.compare(got, &left)
				free.Add(d.mayLeave)
			}
			if err != nil {
				t.Errorf("seed %d: %v\n    %s", s, err, d)
			} else if s%checkEvery == 0 || *seed >= 0 {
				d.checkers(t, got)
			}
			return nil
		})
	}
	_ = g.Wait() // they fail the test
	t.Logf("%d disks, %d refused; %d MB were free in file systems with nothing behind them, of which at least %d MB "+
		"were left out", n, refused.Load(), free.Load()>>20, left.Load()>>20)
	if *seed < 0 && left.Load() < free.Load()/2 {
		t.Errorf("of %d such bytes only %d were left out: the test shows nothing when all is in the images",
			free.Load(), left.Load())
	}
}

var errRefused = errors.New("the capture says no")

// through captures the disk and returns what a restore makes of random bytes.
func through(ctx context.Context, d *disk, dir string, seed int64) ([]byte, error) {
	defer os.RemoveAll(dir)
	st, err := image.OpenStore(dir)
	if err != nil {
		return nil, err
	}
	var src io.ReaderAt = bytes.NewReader(d.bytes)
	if seed%2 == 0 {
		src = newHoley(d.bytes)
	}
	res, err := capture.Capture(ctx, src, int64(len(d.bytes)), int(d.sector),
		capture.Options{Store: st, Level: capture.Fast, Workers: 1, Grid: 1 << 20})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	im, err := st.Open(res.Digest)
	if err != nil {
		return nil, err
	}
	defer im.Close()
	if notes := im.AgeNotes(); len(notes) > 0 {
		return nil, fmt.Errorf("a new image says of itself: %q", notes)
	}
	target := make([]byte, len(d.bytes))
	imagetest.Random(target, uint64(seed))
	m := imagetest.NewMemory(target, int(d.sector))
	if _, err := restore.Local(ctx, im, m,
		restore.LocalOptions{Workers: 1, Verify: seed%4 == 0, Delta: seed%5 == 0}); err != nil {
		return nil, fmt.Errorf("restoring: %w", err)
	}
	return m.Bytes(), nil
}

// holey is a disk that knows where it is zero.
type holey struct {
	*bytes.Reader
	runs []volume.Extent
}

func (s holey) Allocated() []volume.Extent { return s.runs }

func newHoley(b []byte) holey {
	runs := volume.NewRuns(int64(len(b)))
	for at := 0; at < len(b); at += 4096 {
		if p := b[at:min(len(b), at+4096)]; !image.IsZero(p) {
			runs.Add(int64(at), int64(len(p)))
		}
	}
	return holey{bytes.NewReader(b), runs.Extents()}
}

// compare returns an error that names the places where bytes differ that are not free. left counts those that are.
func (d *disk) compare(got []byte, left *atomic.Int64) error {
	differ := volume.NewRuns(int64(len(got)))
	for at := 0; at < len(got); at += 512 {
		end := min(len(got), at+512)
		if bytes.Equal(d.bytes[at:end], got[at:end]) {
			continue
		}
		for i := at; i < end; i++ {
			if d.bytes[i] != got[i] {
				differ.Add(int64(i), 1)
			}
		}
	}
	runs := differ.Extents()
	allowed := volume.Merge(int64(len(got)), d.free, d.repair)
	left.Add(volume.Bytes(volume.Subtract(runs, d.repair)))
	wrong := volume.Subtract(runs, allowed)
	if len(wrong) == 0 {
		return nil
	}
	lost := int64(0)
	for _, e := range wrong {
		for _, b := range d.bytes[e.Offset:e.End()] {
			if b != 0 {
				lost++
			}
		}
	}
	w := fmt.Sprintf("%d bytes differ that nobody called free, %d of them were not zero:", volume.Bytes(wrong), lost)
	for i, e := range wrong {
		if i > 0 && d.where(e.Offset) == d.where(wrong[i-1].Offset) {
			continue
		}
		w += fmt.Sprintf(" from byte %d %s;", e.Offset, d.where(e.Offset))
	}
	return errors.New(w)
}

// where names the place of a byte.
func (d *disk) where(off int64) string {
	for i, p := range d.parts {
		if off >= p.start && off < p.start+p.size {
			if d.contents[i].fs != nil && off >= p.start+d.contents[i].need {
				return fmt.Sprintf("behind the file system in partition %d", i+1)
			}
			return fmt.Sprintf("in partition %d", i+1)
		}
	}
	if off < d.parts[0].start {
		return "before the partitions"
	}
	return "outside of partitions"
}

// checkEvery is how many seeds there are for one whose file systems are checked by their own tools.
const checkEvery = 10

// checkers runs the file systems' own tools on what was restored.
func (d *disk) checkers(t *testing.T, got []byte) {
	for _, s := range d.sound {
		if d.refused || len(s.fs.check) == 0 {
			continue
		}
		path := filepath.Join(t.TempDir(), strings.ReplaceAll(s.fs.name, " ", "-"))
		if err := os.WriteFile(path, got[s.start:s.start+s.fs.size], 0o600); err != nil {
			t.Error(err)
			continue
		}
		if out, err := volumetest.Try(t, s.fs.check[0],
			append(s.fs.check[1:len(s.fs.check):len(s.fs.check)], path)...); err != nil {
			t.Errorf("%s says of a restored file system: %v\n%s", s.fs.check[0], err, out)
		}
	}
}
