// Package capturing carries out the capture of a descriptor: it chooses the disk, finds out what on it is in use, and
// sends the chunks that the server does not have. Nothing is written to the disk.
//
// It keeps nothing: a capture that was interrupted, by a power cut or a server that was killed, is run again from the
// start, and what the server took before is read and hashed, but neither compressed nor sent.
package capturing

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/inuse"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/partition"
)

// Server is what a capture needs of the node API; *client.Client is one.
type Server interface {
	HasFrame(ctx context.Context, capture string, disk int64, f client.Frame) (bool, error)
	PutFrame(ctx context.Context, capture string, disk int64, f client.Frame, stored []byte) error
	FinishCapture(ctx context.Context, capture string, disk int64, config, index []byte) (digest string, err error)
	disk.Server
}

var _ Server = (*client.Client)(nil)

// Reporter takes the steps of the capture.
type Reporter interface {
	Step(step, level, message string, p *session.Progress)
	Progress(message string, p session.Progress)
}

// Disks is the hardware.
type Disks interface {
	List() []session.Disk
}

// Options of Capture.
type Options struct {
	Server Server
	Report Reporter
	Disks  Disks
	// DiskWait is how long a disk that is not there may take to come.
	DiskWait disk.Wait
	// Workers hash and compress; Memory bounds their buffers, in bytes. 0: the package's defaults.
	Workers int
	Memory  int64
	// Uploads is how many frames are on their way at the same time; 0 means 4.
	Uploads int
	Log     *slog.Logger // nil discards
}

// tries is how often a capture is run when the server has lost frames that it had taken.
const tries = 3

// Capture sends the descriptor's disk and returns the digest of the image.
func Capture(ctx context.Context, d *session.Descriptor, o Options) (string, error) {
	if o.Uploads <= 0 {
		o.Uploads = 4
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	chosen, err := choose(ctx, o, d)
	if err != nil {
		return "", err
	}
	src, err := capture.OpenSource(chosen.Path)
	var used *inuse.Error
	if errors.As(err, &used) {
		return "", fmt.Errorf("%w. Unmount or stop it on the node, or choose another disk", used)
	}
	if err != nil {
		return "", err
	}
	defer src.Close()
	var options []capture.SurveyOption
	if d.Upload.DropGaps {
		options = append(options, capture.DropGaps())
	}
	by, err := partitionOf(d)
	if err != nil {
		return "", err
	}
	found, from, err := capture.Look(src, src.Size, src.SectorSize, by, options...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", chosen.Path, err)
	}
	if err := disk.Settle(ctx, o.Server, d, 0, chosen, o.Disks.List); err != nil {
		return "", err
	}
	o.Report.Step(session.StepPlan, session.Info, planWords(d.Upload, chosen, found),
		&session.Progress{ToRead: volume.Bytes(found.Extents)})
	for _, n := range found.Table.Notes {
		o.Log.Warn("partition table: "+n, "disk", chosen.Path)
	}
	for _, p := range found.Config.Partitions {
		for _, n := range p.Notes {
			o.Log.Warn("partition: "+n, "disk", chosen.Path, "number", p.Number)
		}
	}
	for try := 1; ; try++ {
		digest, r, err := send(ctx, src, from, d.Upload, found, o)
		var status *client.StatusError
		if errors.As(err, &status) && status.Code == http.StatusConflict && try < tries {
			o.Log.Warn("the server lacks frames that it had taken; reading the disk again for them", "error", err)
			continue
		}
		if err != nil {
			return "", fmt.Errorf("capture of %s: %w", chosen.Path, err)
		}
		p := r.progress()
		o.Report.Step(session.StepUploaded, session.Info,
			fmt.Sprintf("%s is image %s, %s; read %s in %v, sent %s", chosen.Path, d.Upload.Name, digest,
				diskrule.Bytes(p.Read), time.Since(r.began).Round(100*time.Millisecond), diskrule.Bytes(p.Sent)), &p)
		return digest, nil
	}
}

func choose(ctx context.Context, o Options, d *session.Descriptor) (session.Disk, error) {
	list := func() []session.Disk {
		list := slices.Clone(o.Disks.List())
		for i := range list {
			list[i].ReadOnly = false // enough for reading
		}
		return list
	}
	return disk.Await(ctx, list, d, o.DiskWait)
}

func planWords(u *session.Upload, d session.Disk, found *capture.Disk) string {
	used := volume.Bytes(found.Extents)
	if of := capture.Words(found.Config); of != "" {
		return fmt.Sprintf("%s: %s, with %s in use, becomes image %s at level %s", diskrule.Describe(d), of,
			diskrule.Bytes(used), u.Name, u.Level)
	}
	return fmt.Sprintf("%s, with %d partitions and %s in use, becomes image %s at level %s", diskrule.Describe(d),
		len(found.Config.Partitions), diskrule.Bytes(used), u.Name, u.Level)
}

// partitionOf is the partition that a descriptor is about; nil: the whole disk.
func partitionOf(d *session.Descriptor) (*partition.By, error) {
	if !d.OfPartition() {
		return nil, nil
	}
	job, err := session.ParsePartitionJob(d.Job)
	if err != nil {
		return nil, err
	}
	by := partition.By(job.PartitionBy)
	return &by, nil
}

// run counts what one reading of the disk does.
type run struct {
	began        time.Time
	rec          *capture.Recorder
	read, toRead int64
}

func (r *run) progress() session.Progress {
	return session.Progress{Read: r.read, ToRead: r.toRead, Sent: r.rec.Sent()}
}

// send reads the disk once, sends what the server lacks, and has it make the image.
func send(ctx context.Context, src *capture.Source, from io.ReaderAt, u *session.Upload, found *capture.Disk,
	o Options) (string, *run, error) {
	r := &run{began: time.Now()}
	size := found.Config.DiskSize
	grid := max(u.Grid, image.GridFor(size))
	r.rec = capture.NewRecorder(ctx, &remote{o.Server, u.ID, size}, size, grid, o.Uploads)
	defer r.rec.Close()
	var res capture.Result
	err := capture.Chunks(ctx, from, found, r.rec,
		capture.Options{Level: u.Level, Grid: grid, Workers: o.Workers, Memory: o.Memory, Log: o.Log,
			Progress: func(done, total int64) {
				r.read, r.toRead = done, total
				o.Report.Progress("reading", r.progress())
			}}, &res)
	if err != nil {
		return "", r, err
	}
	if err := src.Changed(); err != nil {
		return "", r, err
	}
	index, err := r.rec.Index()
	if err != nil {
		return "", r, err
	}
	cfg := *found.Config
	cfg.Level = u.Level
	sum := index.Content()
	cfg.Content = hex.EncodeToString(sum[:])
	config, err := cfg.Marshal()
	if err != nil {
		return "", r, err
	}
	blob, err := index.AppendBinary(nil)
	if err != nil {
		return "", r, err
	}
	digest, err := o.Server.FinishCapture(ctx, u.ID, size, config, blob)
	return digest, r, err
}

// remote is the server's side of the capture.
type remote struct {
	s    Server
	id   string
	disk int64
}

var _ capture.Remote = (*remote)(nil)

func (r *remote) Has(ctx context.Context, sum [32]byte, size int64) (bool, error) {
	return r.s.HasFrame(ctx, r.id, r.disk, client.Frame{Sum: sum, Size: size})
}

func (r *remote) Put(ctx context.Context, sum [32]byte, size int64, stored []byte) error {
	return r.s.PutFrame(ctx, r.id, r.disk, client.Frame{Sum: sum, Size: size}, stored)
}
