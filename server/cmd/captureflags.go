package cmd

import (
	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/volume/partition"
)

// captureFlags are what import and capture share.
type captureFlags struct {
	name, level, parent string
	sector              int
	workers             int
	live                bool
	cut                 bool
	grid                string
	cell                int64 // grid, parsed
	gaps                string
	scratch             string
	ref                 string
	contained           string // that the device holds a file, in words
	partition           string
	by                  *partition.By // partition, parsed; nil: the whole disk
}

func (c *captureFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.level, "level", capture.Default, "compression: fast, default or small")
	f.StringVar(&c.parent, "parent", "", "image whose chunks are preferred where several have the same")
	f.IntVar(&c.sector, "sector-size", 0, "bytes of a sector of a disk image file (default: its table's, else 512)")
	f.BoolVar(&c.live, "live", false,
		"take a disk that is in use: what is written meanwhile may make the copy unusable")
	f.BoolVar(&c.cut, "cut", false,
		"take a disk image file that ends before its own partition table does: as one piece, without its file systems")
	f.StringVar(&c.grid, "grid", "",
		"size of the pieces that the disk is cut into, a power of two from 64K to 64M (default: 4M, more for a disk "+
			"of more than 8 TiB)")
	f.StringVar(&c.gaps, "gaps", gapsKeep,
		"what lies in no partition: keep, or drop all but what boot loaders use (the first 64 MiB before the first "+
			"partition)")
	f.IntVar(&c.workers, "workers", 0, "goroutines that compress (default: one for each CPU)")
}

func (c *captureFlags) check() error {
	switch c.level {
	case capture.Fast, capture.Default, capture.Small:
	default:
		return usage("--level %q is none of fast, default, small", c.level)
	}
	if err := checkGaps(c.gaps); err != nil {
		return err
	}
	switch c.sector {
	case 0, 512, 4096:
	default:
		return usage("--sector-size %d is neither 512 nor 4096", c.sector)
	}
	if c.grid != "" {
		var err error
		if c.cell, err = parseSize(c.grid); err == nil {
			err = image.CheckGrid(c.cell)
		}
		if err != nil {
			return usage("--grid: %w", err)
		}
	}
	if err := image.CheckName(c.name); err != nil {
		return usage("%w", err)
	}
	if c.partition != "" {
		if c.gaps == gapsDrop {
			return usage("--gaps drop does not go with --partition: a partition has no space beside partitions")
		}
		var err error
		if c.by, err = parseBy(c.partition); err != nil {
			return err
		}
	}
	return nil
}

// Values of --gaps.
const (
	gapsKeep = "keep"
	gapsDrop = "drop"
)

func checkGaps(s string) error {
	if s != gapsKeep && s != gapsDrop {
		return usage("--gaps %q is neither keep nor drop", s)
	}
	return nil
}
