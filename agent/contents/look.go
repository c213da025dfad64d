package contents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/esp"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/internal/volume/probe"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// maxRead bounds the bytes that are read of one disk: signatures and a few folders are far below it.
const maxRead = 64 << 20

// Why a disk is not looked at to the end.
var (
	errMuch  = fmt.Errorf("more than %d MiB would have to be read", maxRead>>20)
	errStuck = errors.New("it did not answer in time")
	errWork  = errors.New("the node works for a session")
)

// bounded reads until its context ends or too much was read.
type bounded struct {
	io.ReaderAt
	ctx  context.Context
	left int64
}

func (b *bounded) ReadAt(p []byte, off int64) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, context.Cause(b.ctx)
	}
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errMuch
	}
	return b.ReaderAt.ReadAt(p, off)
}

// Look says what is on the disk, which is read from r.
func Look(ctx context.Context, r io.ReaderAt, d session.Disk) session.Content {
	c := session.Content{Disk: d.ID()}
	in := &bounded{r, ctx, maxRead}
	t, err := table.Read(in, d.Size, d.SectorSize)
	switch {
	case err != nil:
		c.Problem = "its partition table cannot be read: " + err.Error()
	case t.Refused:
		c.Doubt = t.Notes[0]
	default:
		inside(&c, in, t, d)
	}
	tidy(&c)
	return c
}

// File opens a disk, or a file in the place of one. What was read does not stay in memory: an erase that reads back
// must not be given it.
func File(d session.Disk) (Disk, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

type file struct{ *os.File }

func (f file) Close() error {
	// A hint: what stays is dropped with the last one that has it open.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return f.File.Close()
}

// inside fills in what a table, or a disk without one, has.
func inside(c *session.Content, in *bounded, t *volume.Table, d session.Disk) {
	c.Table, c.TableID = t.Kind, t.DiskID
	parts := t.Partitions
	if t.Kind == table.KindNone {
		parts = []volume.Partition{{Size: d.Size}}
	}
	for i := range parts {
		p := &parts[i]
		if len(c.Partitions) == session.MaxSurveyPartitions {
			c.More = len(parts) - i
			break
		}
		what := session.PartitionContent{Number: p.Number, Start: p.Start, Size: p.Size, Name: p.Name}
		if t.Kind != table.KindNone {
			what.UUID = partition.UUID(t, p)
		}
		section := io.NewSectionReader(in, p.Start, p.Size)
		seen, err := probe.Look(section, p.Size)
		spent := in.spent() // what was looked for after that was not found, and may be there
		if spent != nil {
			err = spent
		}
		switch {
		case err != nil && t.Kind == table.KindNone:
			c.Problem = err.Error()
		case spent != nil:
			c.Problem, c.More = fmt.Sprintf("partition %d: %v", p.Number, err), len(parts)-i
		case err != nil: // a bad sector, say: the others may be read
			c.Problem = fmt.Sprintf("partition %d: %v", p.Number, err)
			c.Partitions = append(c.Partitions, what)
			continue
		}
		if err != nil {
			break
		}
		what.FS, what.Label, what.Signatures = seen.Type, seen.Label, seen.Signatures
		if t.Kind == table.KindNone && seen.Type == volume.TypeRaw && len(seen.Signatures) == 0 {
			break // a disk with nothing on it that is known
		}
		c.Partitions = append(c.Partitions, what)
		if esp.Is(p.Type) && seen.Type == "vfat" {
			starts, err := loaders(section, p.Size)
			if err != nil {
				c.Problem = fmt.Sprintf("partition %d: what starts from it: %v", p.Number, err)
			}
			c.Starts = append(c.Starts, starts...)
		}
	}
	c.Starts = append(c.Starts, bootCode(t)...)
	slices.Sort(c.Starts)
	c.Starts = slices.Compact(c.Starts)
}

// spent is why nothing can be read any more, nil while it can.
func (b *bounded) spent() error {
	if b.left < 0 {
		return errMuch
	}
	return context.Cause(b.ctx)
}

// loaders names the boot loaders of an EFI system partition.
func loaders(r io.ReaderAt, size int64) ([]string, error) {
	found, err := esp.Read(r, size)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range found.Loaders {
		out = append(out, l.Name+" (UEFI)")
	}
	if len(out) == 0 {
		for _, l := range found.Fallbacks {
			out = append(out, l.Path+" (UEFI)")
		}
	}
	return out, nil
}

// bootCode tells whether BIOS would find a program in the first sector.
func bootCode(t *volume.Table) []string {
	const end = 440 // of the code, where the disk's signature is
	if len(t.MBR) < end || !slices.ContainsFunc(t.MBR[:end], func(b byte) bool { return b != 0 }) {
		return nil
	}
	if bytes.Contains(t.MBR[:end], []byte("GRUB")) {
		return []string{"GRUB (BIOS)"}
	}
	return []string{"boot code in the MBR (BIOS)"}
}

// tidy makes what a disk says of itself lines of text, and bounds it. The disk's own id stays as the inventory has it.
func tidy(c *session.Content) {
	c.Starts = c.Starts[:min(len(c.Starts), session.MaxSurveyStarts)]
	id := c.Disk
	plain.AllWords(c, session.MaxSurveyWord)
	c.Disk = id
}
