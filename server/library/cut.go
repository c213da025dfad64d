package library

import (
	"context"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library/diskview"
)

// cut makes an image of one partition of an image of a disk. Its cells are as large as those of the other, so that they
// have the same frames where they begin at the same bytes.
func (l *Local) cut(ctx context.Context, s *doc.JobSpec, w *Watch) (*doc.JobResult, error) {
	im, err := l.st.Open(s.Image)
	if err != nil {
		return nil, err
	}
	defer im.Close()
	found, in, err := partitionOf(im, s.Partition)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Image, err)
	}
	view, err := diskview.New(im)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	began := time.Now()
	cfg := im.Config()
	part := capture.PartitionConfig(*in, found, cfg.DiskSize, cfg.SectorSize)
	part.Origin.Image = im.Manifest()
	d := &capture.Disk{Config: part, Table: part.Table, Extents: view.Allocated(found.Start, found.Size)}
	r, err := capture.Store(ctx, capture.Within(view, cfg.DiskSize, found.Start, found.Size), d, capture.Options{
		Store: l.st, Name: s.Name, Level: levelOf(cfg), Grid: im.Index().Grid, Parent: im.Manifest(),
		Created:  began.UTC(),
		Notes:    map[string]string{"org.diskcast.cut": fmt.Sprintf("%s:%d", im.Manifest(), s.Partition)},
		Progress: w.Progress,
	})
	if err != nil {
		return nil, RoomHelp(err, l.st.Dir(), "", "what does not share the cells of the disk is stored anew")
	}
	if over := found.Start % im.Index().Grid; over != 0 {
		w.note("Partition %d begins at byte %d, which is not on the image's grid of %s: its chunks are stored anew. "+
			"An image that is captured with --grid %s shares them.", s.Partition, found.Start,
			units.Bytes(im.Index().Grid), gridWords(found.Start))
	}
	return &doc.JobResult{Cut: &doc.ImageCut{Image: s.Image, Partition: s.Partition, Name: s.Name, Digest: r.Digest,
		Object: r.Object, Added: r.Added, Seconds: time.Since(began).Seconds()}}, nil
}

// partitionOf is a partition of an image of a disk.
func partitionOf(im *image.Image, number int) (*partition.Found, *image.Partition, error) {
	cfg := im.Config()
	if len(cfg.Table.Partitions) == 0 {
		return nil, nil, fmt.Errorf("it has no partition table, so it has no partition %d", number)
	}
	for i := range cfg.Table.Partitions {
		if cfg.Table.Partitions[i].Number == number {
			return &partition.Found{Partition: cfg.Table.Partitions[i], Table: cfg.Table}, &cfg.Partitions[i], nil
		}
	}
	return nil, nil, fmt.Errorf("it has no partition %d (`diskcast image show` lists them)", number)
}

// levelOf is at what level what is new is compressed.
func levelOf(c *image.Config) string {
	if c.Level == image.Best {
		return capture.Small
	}
	return c.Level
}

// gridWords is the largest grid that a byte is on.
func gridWords(at int64) string {
	grid := int64(64 << 20)
	for grid > 64<<10 && at%grid != 0 {
		grid /= 2
	}
	if at%grid != 0 {
		return "64K (no grid fits)"
	}
	if grid >= 1<<20 {
		return fmt.Sprintf("%dM", grid>>20)
	}
	return fmt.Sprintf("%dK", grid>>10)
}
