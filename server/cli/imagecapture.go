package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/convert"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
)

// captureFlags are what import and capture share.
type captureFlags struct {
	name, level, parent string
	sector              int
	workers             int
	gaps                string
	scratch             string
	ref                 string
}

func (c *captureFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.level, "level", capture.Default, "compression: fast, default or small")
	f.StringVar(&c.parent, "parent", "", "image whose chunks are preferred where several have the same")
	f.IntVar(&c.sector, "sector-size", 0, "bytes of a sector of a disk image file (default: its table's, else 512)")
	f.StringVar(&c.gaps, "gaps", gapsKeep, "what lies in no partition: keep, or drop all but what boot loaders use (the first 64 MiB before the first partition)")
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
	if err := image.CheckName(c.name); err != nil {
		return usage("%w", err)
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

func imageImport(e *env) *cobra.Command {
	var c captureFlags
	cmd := &cobra.Command{
		Use:   "import FILE|DIRECTORY|DEVICE --name NAME",
		Short: "Store a disk image of another program, or a disk of this machine, as an image",
		Long: `Store a disk image of another program, or a disk of this machine, as an image, and verify what was stored.

What a file is, is told by what is in it, not by its name:
  raw disk images, also sparse ones      qcow2
  partclone, ntfsclone, imagezip (.ndz)  any of these but qcow2 packed with gzip, xz, zstd, lz4 or bzip2, also split (.aa, .ab)
A directory is a Clonezilla image, or an OCI layout such as another store, of which --image names the image.

What a file system calls free is left out, if it was recognised beyond doubt; everything else that is not zero is stored, also what
lies in no partition (--gaps drop leaves that out, and says how much). Chunks that the store has already are not stored again.`,
		Example: `  diskcast image import debian.img --name debian
  diskcast image import debian.qcow2 --name debian --level small
  diskcast image import /home/partimag/lab-2024 --name lab
  diskcast image import /mnt/usb/images --image debian --name debian`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if c.name == "" {
				return usage("give the image a name with --name")
			}
			if err := c.check(); err != nil {
				return err
			}
			if isLayout(a[0]) {
				return e.importLayout(cmd.Context(), a[0], &c)
			}
			return e.importForeign(cmd.Context(), a[0], &c)
		},
	}
	cmd.Flags().StringVar(&c.name, "name", "", "name of the image")
	cmd.Flags().StringVar(&c.ref, "image", "", "which image of an OCI layout (default: its only one)")
	cmd.Flags().StringVar(&c.scratch, "scratch", "", "directory for what has to be unpacked first (default: the store's)")
	c.register(cmd)
	return cmd
}

func imageCapture(e *env) *cobra.Command {
	var c captureFlags
	cmd := &cobra.Command{
		Use:   "capture DEVICE|FILE NAME",
		Short: "Capture a disk of this machine as an image",
		Long: `Capture a disk of this machine as an image, and verify what was stored. The disk must not be mounted for writing. A disk of
a node is captured by ` + "`diskcast session create --capture`" + `.`,
		Example: `  diskcast image capture /dev/sdb golden
  diskcast image capture /dev/sdb golden-2 --parent golden --level fast`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			c.name = a[1]
			if err := c.check(); err != nil {
				return err
			}
			return e.importForeign(cmd.Context(), a[0], &c)
		},
	}
	c.register(cmd)
	return cmd
}

// importForeign stores a file of another program's, a device, or a Clonezilla directory.
func (e *env) importForeign(ctx context.Context, path string, c *captureFlags) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode()&os.ModeDevice != 0 {
		src, err := openDevice(path)
		if err != nil {
			return err
		}
		defer src.Close()
		return e.capture(ctx, path, src, src.Size, src.SectorSize, c, false, nil)
	}
	st, err := e.openStore()
	if err != nil {
		return err
	}
	scratch := c.scratch
	if scratch == "" {
		scratch = st.Dir()
	}
	d, err := convert.OpenContext(ctx, path, convert.Options{Scratch: scratch})
	if err != nil {
		return err
	}
	defer d.Close()
	sector := d.SectorSize()
	if c.sector != 0 {
		sector = c.sector
	}
	if d.Size() == 0 || d.Size()%int64(sector) != 0 {
		return fmt.Errorf("%s (%s) has %d bytes, which is not a whole number of %d-byte sectors: it is no disk image", path, d.Format(), d.Size(), sector)
	}
	return e.capture(ctx, path, d, d.Size(), sector, c, c.sector == 0, d.Notes())
}

// captured is what a capture or an import gave.
type captured struct {
	Name   string   `json:"name"`
	Digest string   `json:"digest"`
	Read   int64    `json:"read"`   // bytes of the disk
	Zeros  int64    `json:"zeros"`  // of Read
	Added  int64    `json:"added"`  // bytes that the store did not have
	Object int64    `json:"object"` // bytes that a restore sends
	Notes  []string `json:"notes,omitempty"`
	// Seconds are of the capture and of the verification after it.
	Seconds       float64 `json:"seconds"`
	VerifySeconds float64 `json:"verify_seconds"`
}

// capture stores the source and verifies what was stored, so that damage is found before it is offered to nodes. guessed says that the
// sector size is not known.
func (e *env) capture(ctx context.Context, path string, src io.ReaderAt, size int64, sector int, c *captureFlags, guessed bool, notes []string) error {
	var survey []capture.SurveyOption
	if guessed {
		survey = append(survey, capture.GuessedSector())
	}
	if c.gaps == gapsDrop {
		survey = append(survey, capture.DropGaps())
	}
	st, err := e.openStore()
	if err != nil {
		return err
	}
	began := time.Now()
	bar := e.progress("reading " + path)
	r, err := capture.Capture(ctx, src, size, sector, capture.Options{Store: st, Name: c.name, Level: c.level, Parent: c.parent, Workers: c.workers, Survey: survey,
		Created: began.UTC(), Log: e.quiet(), Progress: bar.update})
	bar.close()
	if err != nil {
		return fmt.Errorf("capture of %s: %w", path, err)
	}
	out := captured{Name: c.name, Digest: r.Digest, Read: r.Read, Zeros: r.Zeros, Added: r.Added, Object: r.Object, Notes: append(notes, imageNotes(r.Config)...), Seconds: time.Since(began).Seconds()}
	if out.VerifySeconds, err = e.verifyStored(ctx, st, r.Digest, c.name); err != nil {
		return err
	}
	if e.json {
		return e.printJSON(out)
	}
	fmt.Fprintf(e.out, "%s  %s\nread %s in %.1f s, of it zeros %s; compressed %s, of it new in the store %s; verified\n", c.name, r.Digest, bytesWords(r.Read), out.Seconds, bytesWords(r.Zeros), bytesWords(r.Object), bytesWords(r.Added))
	return printNotes(e.out, out.Notes)
}

func (e *env) verifyStored(ctx context.Context, st *image.Store, digest, name string) (seconds float64, err error) {
	im, err := st.Open(digest)
	if err != nil {
		return 0, err
	}
	defer im.Close()
	began := time.Now()
	bar := e.progress("verifying " + name)
	err = im.Verify(ctx, bar.update)
	bar.close()
	if err != nil {
		return 0, fmt.Errorf("the image was stored and does not verify; is the store's disk sound? %w", err)
	}
	return time.Since(began).Seconds(), nil
}

func isLayout(path string) bool {
	_, err := os.Stat(filepath.Join(path, "oci-layout"))
	return err == nil
}

// importLayout takes an image from another OCI layout. What is broken off is taken up again.
func (e *env) importLayout(ctx context.Context, dir string, c *captureFlags) error {
	from, err := image.OpenStore(dir)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("open the layout %s: %w (it is locked while it is read; copy it to a place where you may write)", dir, err)
	}
	if err != nil {
		return fmt.Errorf("open the layout %s: %w", dir, err)
	}
	ref := c.ref
	if ref == "" {
		if ref, err = onlyImage(from); err != nil {
			return err
		}
	}
	st, err := e.openStore()
	if err != nil {
		return err
	}
	began := time.Now()
	bar := e.progress("copying " + ref)
	digest, err := st.Copy(ctx, from, ref, c.name, bar.update)
	bar.close()
	if err != nil {
		return fmt.Errorf("copy of %s from %s: %w (started again, it goes on where it was)", ref, dir, err)
	}
	took := time.Since(began)
	if e.json {
		return e.printJSON(map[string]any{"name": c.name, "digest": digest, "seconds": took.Seconds()})
	}
	_, err = fmt.Fprintf(e.out, "%s  %s\ncopied from %s in %.1f s, every blob's digest checked\n", c.name, digest, dir, took.Seconds())
	return err
}

func onlyImage(st *image.Store) (string, error) {
	list, err := st.List()
	if err != nil {
		return "", err
	}
	var names []string
	seen := map[string]bool{}
	for _, x := range list {
		if !seen[x.Digest] {
			names = append(names, x.Digest)
		}
		seen[x.Digest] = true
	}
	if len(names) != 1 {
		return "", usage("%s has %d images of ours: say which with --image (`diskcast image list --store %s` lists them)", st.Dir(), len(names), st.Dir())
	}
	return names[0], nil
}

// imageNotes are what a capture found that the operator should know.
func imageNotes(c *image.Config) []string {
	var out []string
	for _, n := range c.Table.Notes {
		out = append(out, "disk: "+plain(n))
	}
	for i := range c.Partitions {
		for _, n := range c.Partitions[i].Notes {
			out = append(out, fmt.Sprintf("partition %d: %s", c.Partitions[i].Number, plain(n)))
		}
	}
	return out
}

func printNotes(w io.Writer, notes []string) error {
	for _, n := range notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", n); err != nil {
			return err
		}
	}
	return nil
}
