// Package imaging carries out the restore of a descriptor: it fetches what describes the image, chooses the disk,
// checks the plan, and only then writes: partition table first, then every chunk as it arrives by multicast or HTTP.
//
// Everything that can be refused is refused before the first write. A restore that was interrupted, by a power cut or a
// server that went away for good, leaves a disk that a later run completes: what is in place already is hashed and not
// received again.
package imaging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
)

// Server is what a restore needs of the node API.
type Server interface {
	// Blob returns a whole blob, checked against its digest.
	Blob(ctx context.Context, b session.Blob) ([]byte, error)
	// Object hands over bytes [off, off+n) of an image's object in order; p is valid only during the call.
	Object(ctx context.Context, manifest string, off, n int64, fn func(off int64, p []byte) error) error
	disk.Server
}

// Reporter takes the steps of the restore.
type Reporter interface {
	Step(step, level, message string, p *session.Progress)
	// Result is Step with what the server keeps of a partition: session.PartitionResult.
	Result(step, level, message string, result json.RawMessage)
	Progress(message string, p session.Progress)
	// Disk says which of the session's disks, counted from 0, what follows is about.
	Disk(i int)
	// Refused reports a chunk of the image, by its number in the index, whose bytes are not what the index says.
	Refused(chunk int, message string)
}

// Disks is the hardware.
type Disks interface {
	List() []session.Disk
	// InUse says what uses a disk; empty when nothing does.
	InUse(path string) (string, error)
	Open(d session.Disk) (restore.Target, error)
	// Reread has the kernel take over the new partition table and waits for the partitions' nodes.
	Reread(ctx context.Context, path string, partitions []int) error
	// Grow makes a file system fill the partition that has grown around it. Its error says what is left to be done.
	Grow(ctx context.Context, d session.Disk, g restore.Growth) error
}

// Receiver receives the object; cast.Receiver is one.
type Receiver interface {
	Run(ctx context.Context) error
	Again(off, n int64)
	Deliver(off int64, p []byte) error
	Missing() []cast.Range
	Wrong() // bytes that came by multicast are not the object's
	Stats() cast.ReceiverStats
}

// NewReceiver makes the receiver of a cast.
type NewReceiver func(p cast.Params, sink cast.Sink, o cast.ReceiverOptions) (Receiver, error)

// Multicast is the NewReceiver of a real node.
func Multicast(p cast.Params, sink cast.Sink, o cast.ReceiverOptions) (Receiver, error) {
	return cast.NewReceiver(p, sink, o)
}

// Options of Restore.
type Options struct {
	Server   Server
	Report   Reporter
	Disks    Disks
	Receiver NewReceiver // nil: Multicast
	// MoreCasts are the casts of Restore for the disks after the first.
	MoreCasts []<-chan *session.Cast
	// Interface is the NIC to join multicast groups on; Label the name under which the sender shows this node.
	Interface, Label string
	// DiskWait is how long a disk that is not there may take to come.
	DiskWait disk.Wait
	// Firmware is the machine's, session.BIOS or session.UEFI: the plan says so when that will not start the image.
	Firmware string
	// Workers write to the disk; WriterMemory and CastMemory bound, in bytes, what waits for them. 0: the packages'
	// defaults.
	Workers                  int
	WriterMemory, CastMemory int64
	Log                      *slog.Logger // nil discards
}

// Result is a disk that carries the image.
type Result struct {
	Disk   session.Disk
	Config *image.Config // of a restored partition: only what is known of the disk around it, its table
	// Partition is the number of the only one that was restored, 0 when the disk was. Gone is the UUID of the file
	// system that was in it, empty when the disk has one of that UUID still.
	Partition int
	Gone      string
	// Passphrase is what the site gave for the disk's loader to open encrypted volumes with; empty for nothing.
	Passphrase string
}

// Restore writes the descriptor's image to the descriptor's disk, and then the further images to theirs, if it has
// some; the result is of the first. A value that comes on casts while it runs replaces the cast that it receives from:
// the server started anew with another group or key.
func Restore(ctx context.Context, d *session.Descriptor, casts <-chan *session.Cast, o Options) (_ *Result, err error) {
	if o.Receiver == nil {
		o.Receiver = Multicast
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	runs, err := prepare(ctx, d, o)
	if err != nil {
		return nil, err
	}
	defer func() { // those that it did not come to
		if cerr := closeAll(runs); cerr != nil {
			err = errors.Join(err, cerr)
		}
	}()
	var before session.Progress
	for i, r := range runs {
		for _, later := range runs[i+1:] {
			x := total(later.idx)
			r.ahead.Needed += x.Needed
			r.ahead.ToWrite += x.ToWrite
		}
		o.Report.Disk(i)
		r.counts, r.before = before, before
		if i > 0 {
			casts = o.MoreCasts[i-1]
		}
		if err := r.fill(ctx, casts); err != nil {
			return nil, ofDisk(d, i, err)
		}
		before = r.counts
	}
	o.Report.Disk(0)
	return runs[0].result(), nil
}

// grow is the last thing that is done to the disk: from then on it is no longer what the image says. A file system that
// could not be grown is no failed restore, since its system has all that it had on the source.
func (r *run) grow(ctx context.Context) error {
	g := r.plan.Growth()
	switch {
	case g.Note != "":
		r.step(session.StepGrown, session.Info, "nothing grows: "+g.Note, nil)
		return nil
	case g.FS == "":
		what := "the disk"
		if r.partition != nil {
			what = "the partition"
		}
		r.step(session.StepGrown, session.Info, what+" is not larger than the image's: nothing to grow", nil)
		return nil
	}
	err := r.o.Disks.Grow(ctx, r.disk, g)
	switch {
	case err == nil:
		r.step(session.StepGrown, session.Info, g.Words(), nil)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		r.step(session.StepGrown, session.Warn, err.Error(), nil)
	}
	return nil
}

func numbers(cfg *image.Config) []int {
	var n []int
	if cfg.Table.Kind != "none" {
		for _, p := range cfg.Table.Partitions {
			n = append(n, p.Number)
		}
	}
	return n
}

// fetch gets and parses what describes the image.
func fetch(ctx context.Context, s Server, im *session.Image) (*image.Config, *image.Index, error) {
	raw, err := s.Blob(ctx, im.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("image %s: config: %w", im.Name, err)
	}
	cfg, err := image.ParseConfig(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("image %s: %w", im.Name, err)
	}
	if raw, err = s.Blob(ctx, im.Index); err != nil {
		return nil, nil, fmt.Errorf("image %s: index: %w", im.Name, err)
	}
	idx, err := image.ParseIndex(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("image %s: %w", im.Name, err)
	}
	if size := idx.ObjectSize(); size != im.ObjectSize {
		return nil, nil, fmt.Errorf("image %s: its index describes an object of %d bytes, the descriptor says %d: "+
			"the server's store and session do not fit together", im.Name, size, im.ObjectSize)
	}
	return cfg, idx, nil
}

// run is one restore under way.
type run struct {
	o      Options
	d      *session.Descriptor
	cfg    *image.Config
	idx    *image.Index
	disk   session.Disk
	target restore.Target
	opened restore.Target // what is closed in the end: the whole disk
	plan   *restore.Plan
	// leftovers are what the target was part of before, in words.
	leftovers []string
	// partition is the only one that is written; nil: the whole disk.
	partition *restore.Partition
	// counts are what was received and written, once that is over, with that of the disks before it, which is before;
	// ahead is what those after it will need.
	counts, before, ahead session.Progress
	of                    int // which of the session's disks it is
}

// write is the restore from its plan on to verification. What was read back wrong is fetched from the server once more,
// by HTTP, and hashed before it is written this time.
func (r *run) write(ctx context.Context, casts <-chan *session.Cast) error {
	seq := restore.Sequence{
		Name: r.disk.Path, Plan: r.plan, Target: r.target, Mode: r.mode(), Verify: r.d.Verify,
		Bring: func(ctx context.Context, have []restore.Range, repair bool) error {
			return r.receive(ctx, have, casts, repair)
		},
		Chosen: func(same, delta bool) {
			level, words := session.Info, r.planWords(same, delta)
			if w := r.cfg.FirmwareWarning(r.o.Firmware); w != "" && r.partition == nil && r.of == 0 {
				level, words = session.Warn, words+"; "+w
			}
			r.planned(level, words)
			for _, w := range r.plan.Warnings() {
				r.o.Log.Warn("plan: "+w, "disk", r.disk.Path)
			}
		},
		Tabled:   func(same bool) { r.step(session.StepTable, session.Info, r.tableWords(same), nil) },
		Wrong:    r.wrong,
		Progress: r.progress,
	}
	if err := seq.Run(ctx); err != nil || !r.d.Verify {
		return err
	}
	counts := r.told(r.counts)
	r.step(session.StepVerified, session.Info, "every chunk was read back and is what the image says", &counts)
	return nil
}

// mode is the descriptor's.
func mode(word string) restore.Mode {
	switch word {
	case session.Full:
		return restore.Full
	case session.Delta:
		return restore.Delta
	}
	return restore.Auto
}

// progress tells of the disk being read.
func (r *run) progress(step string, done, total int64) {
	words := map[string]string{"hash": "hashing what is on the disk", "verify": "reading back"}[step]
	r.o.Report.Progress(words+": "+percent(done, total), r.told(r.counts))
}

// wrong tells of what the disk does not hold: it is fetched from the server once more.
func (r *run) wrong(e *restore.MismatchError) {
	words := e.Error() + "; what differs is fetched and written once more"
	if e.Chunk >= 0 {
		r.o.Report.Refused(e.Chunk, words) // the server looks at its own copy too
		return
	}
	r.step(session.StepChunk, session.Warn, words, nil)
}

func (r *run) step(step, level, message string, p *session.Progress) {
	r.o.Report.Step(step, level, message, p)
}

func (r *run) planWords(same, delta bool) string {
	var b strings.Builder
	of := "disk"
	if r.cfg.Origin != nil {
		of = "partition"
	}
	fmt.Fprintf(&b, "image %s (%d chunks, %s compressed, of a %s of %s) goes to %s", r.d.Image.Name,
		len(r.idx.Chunks), diskrule.Bytes(r.idx.ObjectSize()), of, diskrule.Bytes(r.cfg.DiskSize), r.where())
	switch {
	case delta && same:
		b.WriteString("; the disk has this image's partition table already, so only what differs is received")
	case delta:
		b.WriteString("; only what differs is received")
	}
	if len(r.leftovers) > 0 {
		fmt.Fprintf(&b, "; wiped with it: %s", strings.Join(r.leftovers, ", "))
	}
	return b.String()
}

func (r *run) tableWords(same bool) string {
	cfg := r.cfg
	if r.partition != nil {
		return "the partition table stays as it is"
	}
	kind := map[string]string{"gpt": "GPT", "dos": "MBR"}[cfg.Table.Kind]
	if kind == "" {
		return "the image has no partition table; the disk is written as a whole"
	}
	what := fmt.Sprintf("%s with %d partitions", kind, len(cfg.Table.Partitions))
	if same {
		return what + " is on the disk already"
	}
	return what + " written"
}

func percent(done, total int64) string {
	if total <= 0 {
		return "100 %"
	}
	return fmt.Sprintf("%d %% of %s", done*100/total, diskrule.Bytes(total))
}
