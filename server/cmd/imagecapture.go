package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/convert"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/inuse"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/library"
)

func imageImport(e *env) *cobra.Command {
	var c captureFlags
	cmd := &cobra.Command{
		Use:   "import FILE|DIRECTORY|DEVICE --name NAME",
		Short: "Store a disk image of another program, or a disk of this machine, as an image",
		Long: `Store a disk image of another program, or a disk of this machine, as an image, and verify what was ` +
			`stored.

What a file is, is told by what is in it, not by its name:
  raw disk images, also sparse ones      qcow2
  partclone, ntfsclone, imagezip (.ndz)  fixed VHDs (.vhd)
  any of these but qcow2 packed with gzip, xz, zstd, lz4 or bzip2, also split (.aa, .ab or .001, .002)
  a tar file of these, packed or not, with one disk and nothing else in it
A directory is a Clonezilla image, or an OCI layout such as another store, of which --image names the image.

What a file system calls free is left out, if it was recognised beyond doubt; everything else that is not zero is
stored, also what lies in no partition (--gaps drop leaves that out, and says how much). Chunks that the store has
already are not stored again.`,
		Example: `  diskcast image import debian.img --name debian
  diskcast image import debian.qcow2 --name debian --level small
  diskcast image import /home/partimag/lab-2024 --name lab
  diskcast image import /mnt/usb/images --image debian --name debian`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if c.name == "" {
				return usage("give the image a name with --name")
			}
			if err := c.check(); err != nil {
				return err
			}
			return e.importAny(cmd.Context(), a[0], &c)
		},
	}
	cmd.Flags().StringVar(&c.name, "name", "", "name of the image")
	cmd.Flags().StringVar(&c.ref, "image", "", "which image of an OCI layout (default: its only one)")
	cmd.Flags().StringVar(&c.scratch, "scratch", "",
		"directory for what has to be unpacked first (default: the store's)")
	c.register(cmd)
	return cmd
}

func imageCapture(e *env) *cobra.Command {
	var c captureFlags
	cmd := &cobra.Command{
		Use:   "capture DEVICE|FILE NAME",
		Short: "Capture a disk of this machine as an image",
		Long: `Capture a disk of this machine as an image, and verify what was stored. A disk in use is refused: ` +
			`mounted, in whatever namespace,
swap, part of an LVM, RAID or dm device, or open for writing. --live takes it all the same; ` +
			`the image is then of many different
moments and says so. A disk of a node is captured by ` + "`diskcast session create --capture`" + `.

With --partition only one partition is captured, by its number, name=NAME in a GPT or uuid=PARTUUID: such an image goes
into a partition of any disk (` + "`diskcast session create --partition`" + `), and never over a whole one.`,
		Example: `  diskcast image capture /dev/sdb golden
  diskcast image capture --partition 2 /dev/sdb golden-root
  diskcast image capture /dev/sdb golden-2 --parent golden --level fast`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			c.name = a[1]
			if err := c.check(); err != nil {
				return err
			}
			return e.importForeign(cmd.Context(), a[0], &c)
		},
	}
	cmd.Flags().StringVar(&c.partition, "partition", "", "capture only this: a number, name=NAME or uuid=PARTUUID")
	c.register(cmd)
	return cmd
}

// importAny stores what a path leads to.
func (e *env) importAny(ctx context.Context, path string, c *captureFlags) error {
	layout, err := isLayout(path)
	switch {
	case err != nil:
		return err
	case layout:
		return e.importLayout(ctx, path, c)
	}
	return e.importForeign(ctx, path, c)
}

// importForeign stores a file of another program's, a device, or a Clonezilla directory.
func (e *env) importForeign(ctx context.Context, path string, c *captureFlags) error {
	// else a directory, or the first piece of a split file, which convert looks for
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		src, err := openSource(path, c.live)
		if err != nil {
			return err
		}
		defer src.Close()
		if !info.Mode().IsRegular() {
			c.contained = convert.Contained(src, path)
			return e.capture(ctx, path, src, src.Size, src.SectorSize, c, false, src, nil)
		}
		return e.importFile(ctx, path, c, src)
	}
	return e.importFile(ctx, path, c, nil)
}

// openSource refuses what is in use with the way out, unless live.
func openSource(path string, live bool) (*capture.Source, error) {
	if live {
		return capture.OpenLive(path)
	}
	src, err := capture.OpenSource(path)
	var used *inuse.Error
	if errors.As(err, &used) {
		return nil, fmt.Errorf("%w: unmount or stop what uses it, or copy it with --live as it is, which may give an "+
			"image that cannot be used", used)
	}
	return src, err
}

// importFile stores a file of another program's or a Clonezilla directory. held, of a single file, keeps watch over it.
func (e *env) importFile(ctx context.Context, path string, c *captureFlags, held *capture.Source) error {
	var st *image.Store // nil: a server's
	var err error
	if !e.remote() {
		if st, err = e.openStore(); err != nil {
			return err
		}
	}
	scratch := c.scratch
	if scratch == "" {
		scratch = os.TempDir()
		if st != nil {
			scratch = st.Dir()
		}
	}
	d, err := convert.OpenContext(ctx, path, convert.Options{Scratch: scratch, Cut: c.cut})
	var cut *convert.CutError
	if errors.As(err, &cut) {
		return fmt.Errorf("%w. Get the whole of it, or take what there is with --cut", err)
	}
	if err != nil {
		dir := scratch
		if st != nil {
			dir = st.Dir()
		}
		return library.RoomHelp(err, dir, scratch, "")
	}
	defer d.Close()
	sector := d.SectorSize()
	if c.sector != 0 {
		sector = c.sector
	}
	if d.Size() == 0 || d.Size()%int64(sector) != 0 {
		return fmt.Errorf("%s (%s) has %d bytes, which is not a whole number of %d-byte sectors: it is no disk "+
			"image, or was cut; if it is one without its last zeros, "+
			"unpacked and padded (`truncate -s %%%d FILE`) it is taken", path, d.Format(), d.Size(), sector, sector)
	}
	return e.capture(ctx, path, d, d.Size(), sector, c, c.sector == 0, held, d.Notes())
}

// captured is what a capture or an import gave.
type captured struct {
	Name   string   `json:"name"`
	Digest string   `json:"digest"`
	Read   int64    `json:"read"`   // bytes of the disk that were read
	Holes  int64    `json:"holes"`  // bytes of the disk that were not read: the source says that they are zero
	Zeros  int64    `json:"zeros"`  // of both, bytes that are only noted
	Added  int64    `json:"added"`  // bytes that the store did not have
	Object int64    `json:"object"` // bytes that a restore sends
	Notes  []string `json:"notes,omitempty"`
	// Seconds are of the capture and of the verification after it.
	Seconds       float64 `json:"seconds"`
	VerifySeconds float64 `json:"verify_seconds"`
}

// capture stores the source and verifies what was stored, so that damage is found before it is offered to nodes.
// guessed says that the sector size is not known; held may be nil.
func (e *env) capture(ctx context.Context, path string, src io.ReaderAt, size int64, sector int, c *captureFlags,
	guessed bool, held *capture.Source, notes []string) error {
	var survey []capture.SurveyOption
	if guessed {
		survey = append(survey, capture.GuessedSector())
	}
	if c.gaps == gapsDrop {
		survey = append(survey, capture.DropGaps())
	}
	if c.contained != "" {
		survey = append(survey, capture.Note(c.contained))
	}
	if e.remote() {
		return e.captureThere(ctx, path, src, size, sector, c, survey, held, notes)
	}
	st, err := e.openStore()
	if err != nil {
		return err
	}
	was := e.named(ctx, library.NewLocal(st), c.name)
	marked := st.Damaged()
	began := time.Now()
	bar := e.Progress("reading " + path)
	o := capture.Options{Store: st, Name: c.name, Level: c.level, Parent: c.parent, Grid: c.cell, Workers: c.workers,
		Survey: survey, Partition: c.by,
		Created: began.UTC(), Log: e.quiet(), Progress: bar.Update}
	if held != nil {
		o.Users, o.Check = held.Users, held.Changed
	}
	r, err := capture.Capture(ctx, src, size, sector, o)
	bar.Close()
	if err != nil {
		return library.RoomHelp(fmt.Errorf("capture of %s: %w", path, err), st.Dir(), c.scratch,
			fmt.Sprintf("the disk has %s, of which an image takes what is in use, compressed", units.Bytes(size)))
	}
	seconds := time.Since(began).Seconds()
	verified, err := e.verifyStored(ctx, st, r.Digest, c.name)
	var damage *image.DamageError
	if errors.As(err, &damage) {
		h := &healing{env: e, st: st, o: o}
		if r, err = h.again(ctx, src, size, sector, r.Digest, err); err == nil {
			notes = append(notes, h.notes...)
			verified, err = e.verifyStored(ctx, st, r.Digest, c.name)
		}
	} else if err == nil {
		notes = append(notes, soundAgain(st, marked)...)
	}
	if errors.As(err, &damage) {
		return &codeError{exitDamage, err} // what to do was said, and done
	}
	if err != nil {
		return err
	}
	out := captured{Name: c.name, Digest: r.Digest, Read: r.Read, Holes: r.Holes, Zeros: r.Zeros, Added: r.Added,
		Object: r.Object, Notes: append(notes, library.ConfigNotes(r.Config)...), Seconds: seconds,
		VerifySeconds: verified}
	out.Notes = append(out.Notes, unrecognised(r)...)
	e.nameMoved(c.name, was, r.Digest)
	return e.printCaptured(&out)
}

func (e *env) printCaptured(out *captured) error {
	if e.JSON {
		return e.Doc(out)
	}
	holes := ""
	if out.Holes > 0 {
		holes = fmt.Sprintf(" and passed over %s of holes", units.Bytes(out.Holes))
	}
	fmt.Fprintf(e.Out, "%s  %s\nread %s%s in %.1f s, of it zeros %s; compressed %s, of it new in the store %s; "+
		"verified\n", out.Name, out.Digest,
		units.Bytes(out.Read), holes, out.Seconds, units.Bytes(out.Zeros), units.Bytes(out.Object),
		units.Bytes(out.Added))
	return printNotes(e.Out, out.Notes)
}

func (e *env) verifyStored(ctx context.Context, st *image.Store, digest, name string) (seconds float64, err error) {
	began := time.Now()
	bar := e.Progress("verifying " + name)
	err = st.Verify(ctx, digest, bar.Update)
	bar.Close()
	if err != nil {
		return 0, fmt.Errorf("the image was stored and does not verify; is the store's disk sound? %w", err)
	}
	return time.Since(began).Seconds(), nil
}

// unrecognised is a note for a disk that may be none.
func unrecognised(r *capture.Result) []string {
	c := r.Config
	if c.Origin != nil || r.Object == 0 || len(c.Partitions) != 1 || c.Partitions[0].Number != 0 ||
		c.Partitions[0].FS != "raw" {
		return nil
	}
	return []string{"Neither a partition table nor a file system was recognised. An archive, or an image of another " +
		"program's, would be stored in this way too: is this a disk?"}
}

func printNotes(w io.Writer, notes []string) error {
	for _, n := range notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", n); err != nil {
			return err
		}
	}
	return nil
}
