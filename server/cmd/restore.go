package cmd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/library"
)

func imageRestore(e *env) *cobra.Command {
	var o restore.LocalOptions
	var yes, grow bool
	var size, part string
	var sector int
	cmd := &cobra.Command{
		Use:   "restore IMAGE TARGET",
		Short: "Write an image to a disk or a file of this machine",
		Long: `Write an image to a disk or a file of this machine, with the same engine that nodes use: what does ` +
			`not fit is refused
before the first write, and every chunk is hashed before it is written. A disk, or a file that holds something, is
asked about first, unless --yes is given. A target that is in use is refused.

On a target that is larger than the image's disk, the last partition is given the rest, and after everything was
written and verified its file system (ext2, ext3, ext4, XFS or btrfs) is grown by this machine's kernel, which takes
root; where that cannot be, a warning says what is left to be done. --grow=false leaves all sizes as they are. A
smaller target will do if no partition's file system reaches beyond its end.

With --server, the image is read where it lies: what is needed of it is fetched while it is written, with --delta only
what differs, and no copy is kept. Nobody may take it out of the server's store meanwhile.

With --partition, the image goes into one partition of the target (by its number, name=NAME in a GPT or uuid=PARTUUID):
nothing else of it is written, its partition table stays as it is. Nothing on the whole disk may be in use.`,
		Example: `  diskcast image restore debian /dev/sdb --verify
  diskcast image restore debian disk.img --size 20G
  diskcast image restore debian /dev/sdb --delta --yes
  diskcast image restore debian-root /dev/sdb --partition 2 --verify
  diskcast image restore debian /dev/sdb --delta --server https://10.0.0.1:8443`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := e.outside(a[1]); err != nil {
				return err
			}
			im, err := e.openSource(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			defer im.close()
			to := restore.TargetOptions{SectorSize: sector}
			info, err := os.Stat(a[1])
			device := err == nil && info.Mode()&os.ModeDevice != 0
			switch {
			case device && size != "":
				return usage("--size is for files: %s has a size of its own", a[1])
			case part != "" && info == nil:
				return usage("%s is not there: a partition is of a disk with a partition table", a[1])
			case part != "" && size != "":
				return usage("--size does not go with --partition: the target has its size already")
			case part != "" && !device:
				to.SectorSize = cmp.Or(sector, im.Config().SectorSize)
			case !device:
				if to.Size, err = parseSize(size); err != nil {
					return err
				}
				if to.Size == 0 && (info == nil || info.Size() < im.Config().DiskSize) {
					to.Size = im.Config().DiskSize
				}
				if sector == 0 {
					to.SectorSize = im.Config().SectorSize
				}
			}
			// Before the question: to overwrite what is in use is no choice.
			if err := restore.Unused(a[1]); err != nil {
				return fmt.Errorf("target: %w", err)
			}
			if !yes && (device || info != nil && info.Size() > 0) {
				what := a[1]
				if part != "" {
					what = "partition " + part + " of " + what
				}
				if err := e.confirm(fmt.Sprintf("All data on %s will be overwritten with image %s. Type yes to go on: ",
					what, a[0])); err != nil {
					return err
				}
			}
			t, err := restore.OpenTarget(a[1], to)
			if err != nil {
				return err
			}
			if grow {
				o.Plan = append(o.Plan, restore.Grow())
			}
			r := &localRestore{env: e, image: a[0], target: a[1], o: o}
			if part == "" {
				return r.run(cmd.Context(), im, t, t)
			}
			w, err := r.into(t, im, part)
			if err != nil {
				return errors.Join(fmt.Errorf("nothing was written to %s: %w", a[1], err), t.Close())
			}
			return r.run(cmd.Context(), im, t, w)
		},
	}
	f := cmd.Flags()
	f.StringVar(&part, "partition", "", "write only this partition: a number, name=NAME or uuid=PARTUUID")
	f.BoolVar(&o.Delta, "delta", false, "hash the target first and write only what differs")
	f.BoolVar(&o.Verify, "verify", false, "read back and compare")
	f.IntVar(&o.Workers, "workers", 0, "goroutines that decode and write (default: one for each CPU)")
	f.BoolVar(&grow, "grow", true, "give the last partition and its file system the rest of a larger target")
	f.BoolVar(&yes, "yes", false, "do not ask before overwriting a disk or a file")
	f.StringVar(&size, "size", "", "size of a target file (default: the image's disk)")
	f.IntVar(&sector, "sector-size", 0, "bytes of a sector of a target file (default: the image's)")
	return cmd
}

// localRestore is one restore of this machine.
type localRestore struct {
	*env
	image, target string
	o             restore.LocalOptions
	growth        restore.Growth
}

// opened is an image that is restored, of a store here or of a server's.
type opened struct {
	restore.Source
	manifest string
	notes    []string // what the operator should know of it
	close    func()
}

func (e *env) openSource(ctx context.Context, ref string) (*opened, error) {
	if !e.remote() {
		im, err := e.openImage(ref)
		if err != nil {
			return nil, err
		}
		// Nothing was written to it.
		return &opened{im, im.Manifest(), library.Notes(im), func() { _ = im.Close() }}, nil
	}
	c, err := e.dial(e.images)
	if err != nil {
		return nil, err
	}
	shown, err := c.Library().Show(ctx, ref, 0)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // many fetch at once
	im, err := c.Library().OpenImage(ctx, ref, shown.Digest, func(words string) {
		mu.Lock()
		defer mu.Unlock()
		e.Note(words)
	})
	if err != nil {
		return nil, err
	}
	return &opened{im, im.Manifest(), shown.Notes, func() {}}, nil
}

// into finds the partition, which is all of the target that is written then.
func (r *localRestore) into(t restore.Target, im *opened, which string) (restore.Target, error) {
	by, err := parseBy(which)
	if err != nil {
		return nil, err
	}
	p, err := restore.OpenPartition(t, *by)
	if err != nil {
		return nil, err
	}
	for _, w := range p.Warnings(im.Config()) {
		r.Warn(w)
	}
	r.o.Plan = append(r.o.Plan, p.Options()...)
	return p.Window, nil
}

// run restores to w, which is t or a part of it, closes t, and grows what the plan made room for.
func (r *localRestore) run(ctx context.Context, im *opened, t, w restore.Target) error {
	bars := &ui.Steps{UI: &r.UI, Target: r.target}
	r.o.Progress = bars.Update
	r.o.Planned = func(p *restore.Plan) {
		r.growth = p.Growth()
		for _, n := range im.notes {
			r.Note(n)
		}
		for _, s := range p.Warnings() {
			r.Warn(s)
		}
		left, err := p.Leftovers(w)
		for _, s := range left {
			r.Note(s + "; that is wiped")
		}
		if err != nil {
			r.Warn("what the target was before cannot be told: " + err.Error())
		}
	}
	r.o.Wrong = func(e *restore.MismatchError) { r.Warn(e.Error() + "; what differs is written once more") }
	began := time.Now()
	st, err := restore.Local(ctx, im, w, r.o)
	bars.Close()
	if err == nil {
		// While it is open: nobody else can use the disk then, so the kernel cannot refuse because it is in use.
		if e := restore.RereadTable(ctx, t); e != nil && len(im.Config().Table.Partitions) > 0 {
			r.Warn(e.Error() + "; this machine goes by the old table until it restarts, or `partprobe` is run")
		}
	}
	if e := t.Close(); err == nil {
		err = e
	}
	if err != nil {
		return diskHelp(fmt.Errorf("restore of %s to %s: %w", r.image, r.target, err), r.target, im.Index())
	}
	grown := false
	if r.growth.FS != "" {
		switch err := r.growth.FileSystem(ctx, r.target, t.SectorSize()); {
		case ctx.Err() != nil:
			return err
		case err != nil:
			r.Warn(err.Error())
		default:
			grown = true
		}
	}
	took := time.Since(began)
	if r.JSON {
		doc := map[string]any{"image": r.image, "digest": im.manifest, "target": r.target, "written": st.Written,
			"needed": st.Needed, "seconds": took.Seconds(), "verified": r.o.Verify}
		if g := r.growth; g.FS != "" {
			doc["grown"] = map[string]any{"partition": g.Number, "from": g.From, "to": g.To, "file_system": g.FS,
				"filled": grown}
		}
		return r.Doc(doc)
	}
	fmt.Fprintf(r.Out, "%s is on %s: wrote %s in %.1f s (%s)\n", r.image, r.target, units.Bytes(st.Written),
		took.Seconds(), units.Speed(st.Written, took))
	switch g := r.growth; {
	case grown:
		_, err = fmt.Fprintf(r.Out, "%s\n", g.Words())
	case g.Note != "":
		_, err = fmt.Fprintf(r.Out, "nothing was grown: %s\n", g.Note)
	}
	return err
}

// confirm asks on a terminal; elsewhere nobody could answer.
func (e *env) confirm(question string) error {
	if _, ok := ui.Terminal(e.in); !ok {
		return usage("a disk, or a file that holds something, is overwritten only with --yes, or after asking on a " +
			"terminal")
	}
	fmt.Fprint(e.Err, question)
	answer, err := bufio.NewReader(e.in).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return &codeError{exitFailed, fmt.Errorf("not confirmed; nothing was written")}
	}
	return nil
}
