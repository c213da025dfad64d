package imaging

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume/partition"
)

// narrow makes the partition that the descriptor names the target: nothing that follows can write another byte of the
// disk.
func (r *run) narrow() error {
	job, err := session.ParsePartitionJob(r.d.Job)
	if err != nil {
		return err
	}
	p, err := restore.OpenPartition(r.target, partition.By(job.PartitionBy))
	if err != nil {
		return fmt.Errorf("%s: nothing was written: %w", diskrule.Describe(r.disk), err)
	}
	r.partition, r.target = p, p.Window
	return nil
}

// where names the target.
func (r *run) where() string {
	if r.partition == nil {
		return diskrule.Describe(r.disk)
	}
	return fmt.Sprintf("partition %d (%s from byte %d, now %s) of %s", r.partition.Number,
		diskrule.Bytes(r.partition.Size), r.partition.Start, r.partition.Here(), diskrule.Describe(r.disk))
}

// options are those of the plan.
func (r *run) options() []restore.PlanOption {
	var o []restore.PlanOption
	if !r.d.NoGrow {
		o = append(o, restore.Grow())
	}
	if r.partition != nil {
		o = append(o, r.partition.Options()...)
	}
	return o
}

// mode is the descriptor's. A partition has no table to tell by whether much is there already: its file system's UUID
// does.
func (r *run) mode() restore.Mode {
	m := mode(r.d.Mode)
	if m == restore.Auto && r.partition != nil && r.partition.Holds(r.cfg) {
		return restore.Delta
	}
	return m
}

// planned tells of the plan, and of what it makes of the disk's other names.
func (r *run) planned(level, words string) {
	if r.partition == nil {
		r.step(session.StepPlan, level, words, nil)
		return
	}
	if w := r.partition.Warnings(r.cfg); len(w) > 0 {
		level, words = session.Warn, words+"; "+strings.Join(w, "; ")
	}
	p := r.partition
	result, err := json.Marshal(session.PartitionResult{V: session.PartitionVersion, Number: p.Number, Start: p.Start,
		Size: p.Size, UUID: partition.UUID(p.Table, &p.Partition)})
	if err != nil {
		r.o.Log.Error("the partition cannot be told of", "error", err)
	}
	r.o.Report.Result(session.StepPlan, level, words, result)
}

// result is what the machine is left with. Of a partition, the config is that of the disk around it: what starts the
// machine is looked for on all of it.
func (r *run) result() *Result {
	if r.partition == nil {
		return &Result{Disk: r.disk, Config: r.cfg}
	}
	return &Result{Disk: r.disk, Config: &image.Config{Table: r.partition.Table, DiskSize: r.partition.Table.DiskSize,
		SectorSize: r.partition.Table.SectorSize}, Partition: r.partition.Number, Gone: r.partition.Gone(r.cfg)}
}

// reread has the kernel read the table again, whose partitions' cached bytes are out of date.
func (r *run) reread(ctx context.Context) {
	cfg := r.result().Config
	if err := r.o.Disks.Reread(ctx, r.disk.Path, numbers(cfg)); err != nil {
		// The disk is right; a node that must restart to see its partitions is not a failed restore.
		r.o.Log.Warn("the kernel did not take over the new partition table", "disk", r.disk.Path, "error", err)
	}
}
