package imaging

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
)

// prepare comes to a plan for every disk of the descriptor, and opens them. Nothing is written before all of that is
// well, and the server knows which disks they are.
func prepare(ctx context.Context, d *session.Descriptor, o Options) (runs []*run, err error) {
	defer func() {
		if err == nil {
			return
		}
		if cerr := closeAll(runs); cerr != nil {
			err = errors.Join(err, cerr)
		}
		runs = nil
	}()
	for i := range d.Disks() {
		r, err := open(ctx, d.OfDisk(i), o)
		if err != nil {
			return runs, ofDisk(d, i, err)
		}
		r.of = i
		runs = append(runs, r)
		for _, other := range runs[:i] {
			if id := other.disk.ID(); other.disk.Path == r.disk.Path || id.Is(&r.disk) {
				return runs, fmt.Errorf("the rules for disk %d (%s) and disk %d (%s) both mean %s, which can get one "+
					"image "+
					"only; nothing was written to any disk. Say more in the rules", other.of+1,
					diskrule.Rule(*other.d.Target), i+1, diskrule.Rule(*r.d.Target), diskrule.Describe(r.disk))
			}
			if other.disk.SameMedium(&r.disk) {
				return runs, fmt.Errorf("the rules for disk %d and disk %d mean %s and %s, which say that they are "+
					"the same disk (wwn %s) by two paths; it can get one image only, and nothing was written to any "+
					"disk. Say more in the rules", other.of+1, i+1, other.disk.Path, r.disk.Path, r.disk.WWN)
			}
		}
		if err := r.check(); err != nil {
			return runs, ofDisk(d, i, err)
		}
	}
	for i, r := range runs {
		if err := disk.Settle(ctx, o.Server, r.d, i, r.disk, o.Disks.List); err != nil {
			return runs, ofDisk(d, i, err)
		}
	}
	return runs, nil
}

// ofDisk says of which disk an error is, where there are several.
func ofDisk(d *session.Descriptor, i int, err error) error {
	if d.Disks() == 1 {
		return err
	}
	return fmt.Errorf("disk %d of %d: %w", i+1, d.Disks(), err)
}

func closeAll(runs []*run) error {
	var errs []error
	for _, r := range runs {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// close closes the disk, if it is open.
func (r *run) close() error {
	if r.opened == nil {
		return nil
	}
	err := r.opened.Close()
	if r.opened = nil; err != nil {
		return fmt.Errorf("%s: closing it: %w", r.disk.Path, err)
	}
	return nil
}

// open finds and opens the disk of a descriptor of one.
func open(ctx context.Context, d *session.Descriptor, o Options) (*run, error) {
	cfg, idx, err := fetch(ctx, o.Server, d.Image)
	if err != nil {
		return nil, err
	}
	chosen, err := disk.Await(ctx, o.Disks.List, d, o.DiskWait)
	if err != nil {
		return nil, err
	}
	if use, err := o.Disks.InUse(chosen.Path); err != nil {
		return nil, fmt.Errorf("%s: cannot tell whether it is in use, so nothing was written: %w", chosen.Path, err)
	} else if use != "" {
		return nil, fmt.Errorf("%s is in use (%s); nothing was written. Unmount it on the node, stop the RAID, LVM or "+
			"pool that it is part of, or choose another disk", chosen.Path, use)
	}
	return &run{o: o, d: d, cfg: cfg, idx: idx, disk: chosen}, nil
}

// check opens the disk and makes the plan for it.
func (r *run) check() error {
	target, err := r.o.Disks.Open(r.disk)
	if err != nil {
		return fmt.Errorf("%s: %w", r.disk.Path, err)
	}
	r.target, r.opened = target, target
	if r.d.OfPartition() {
		if err := r.narrow(); err != nil {
			return err
		}
	}
	r.plan, err = restore.NewPlan(r.cfg, r.idx, r.target.Size(), r.target.SectorSize(), r.options()...)
	if err != nil {
		return fmt.Errorf("image %s cannot go to %s; nothing was written: %w", r.d.Image.Name, r.where(), err)
	}
	if r.leftovers, err = r.plan.Leftovers(r.target); err != nil {
		// What cannot be read is overwritten, or fails when it is written.
		r.o.Log.Warn("what the disk was before cannot be told", "disk", r.disk.Path, "err", err)
	}
	return nil
}

// fill does to the disk all that its plan says.
func (r *run) fill(ctx context.Context, casts <-chan *session.Cast) error {
	err := r.write(ctx, casts)
	// Closed before the table is read again: the kernel refuses that while the disk is open for writing exclusively.
	if cerr := r.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	r.reread(ctx)
	if r.d.NoGrow {
		return nil
	}
	return r.grow(ctx)
}

// total is what a disk receives and what is written to it at the most.
func total(idx *image.Index) (p session.Progress) {
	p.Needed = idx.ObjectSize()
	for i := range idx.Chunks {
		for _, e := range idx.Chunks[i].Extents {
			p.ToWrite += e.Length
		}
		for _, e := range idx.Chunks[i].Zeros {
			p.ToWrite += e.Length
		}
	}
	return p
}

// own is the progress of this disk alone.
func (r *run) own(p session.Progress) session.Progress {
	p.Received -= r.before.Received
	p.Needed -= r.before.Needed
	p.Multicast -= r.before.Multicast
	p.Unicast -= r.before.Unicast
	p.Written -= r.before.Written
	p.ToWrite -= r.before.ToWrite
	return p
}

// told is the progress of all disks: what the later ones will need is in it.
func (r *run) told(p session.Progress) session.Progress {
	p.Needed += r.ahead.Needed
	p.ToWrite += r.ahead.ToWrite
	return p
}
