package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
)

func imageCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "image", Aliases: []string{"images"},
		Short: "Store, inspect and restore images on this machine",
		Long:  "Store, inspect and restore images. These commands work on the store's directory itself; the server need not run.",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&e.store, "store", "", "image store (default STATE/images)")
	cmd.AddCommand(imageImport(e), imageCapture(e), imageList(e), imageShow(e), imageVerify(e), imageRestore(e))
	return cmd
}

func (e *env) openStore() (*image.Store, error) {
	st, err := image.OpenStore(e.storeDir())
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	return st, nil
}

func (e *env) openImage(ref string) (*image.Image, error) {
	st, err := e.openStore()
	if err != nil {
		return nil, err
	}
	return st.Open(ref)
}

// captureFlags are what import and capture share.
type captureFlags struct {
	name, level string
	sector      int
	workers     int
}

func (c *captureFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.level, "level", capture.Default, "compression: fast, default or small")
	f.IntVar(&c.sector, "sector-size", 0, "bytes of a sector of a disk image file (default: its table's, else 512)")
	f.IntVar(&c.workers, "workers", 0, "goroutines that compress (default: one for each CPU)")
}

func imageImport(e *env) *cobra.Command {
	var c captureFlags
	cmd := &cobra.Command{
		Use:   "import FILE|DEVICE --name NAME",
		Short: "Store a raw disk image, or a disk of this machine, as an image",
		Long: `Store a raw disk image, or a disk of this machine, as an image, and verify what was stored.

Only what the file systems use is stored; what is not understood is stored whole, zeroes left out, and said so.`,
		Example: `  diskcast image import debian.img --name debian
  diskcast image import /dev/sdb --name golden --level small`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if c.name == "" {
				return usage("give the image a name with --name")
			}
			return e.capture(cmd.Context(), a[0], &c)
		},
	}
	cmd.Flags().StringVar(&c.name, "name", "", "name of the image")
	c.register(cmd)
	return cmd
}

func imageCapture(e *env) *cobra.Command {
	var c captureFlags
	cmd := &cobra.Command{
		Use:     "capture DEVICE|FILE NAME",
		Short:   "Capture a disk of this machine as an image",
		Example: "  diskcast image capture /dev/sdb golden",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			c.name = a[1]
			return e.capture(cmd.Context(), a[0], &c)
		},
	}
	c.register(cmd)
	return cmd
}

type captured struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Read   int64  `json:"read"`   // bytes of the disk
	Zeros  int64  `json:"zeros"`  // of Read
	Added  int64  `json:"added"`  // bytes that the store did not have
	Object int64  `json:"object"` // bytes that a restore sends
	// Seconds are of the capture and of the verification after it.
	Seconds       float64 `json:"seconds"`
	VerifySeconds float64 `json:"verify_seconds"`
}

// capture stores the source and verifies what was stored, so that damage is found before it is offered to nodes.
func (e *env) capture(ctx context.Context, path string, c *captureFlags) error {
	switch c.level {
	case capture.Fast, capture.Default, capture.Small:
	default:
		return usage("--level %q is none of fast, default, small", c.level)
	}
	switch c.sector {
	case 0, 512, 4096:
	default:
		return usage("--sector-size %d is neither 512 nor 4096", c.sector)
	}
	src, err := openSource(path, c.sector)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := e.openStore()
	if err != nil {
		return err
	}
	began := time.Now()
	bar := e.progress("reading " + path)
	r, err := capture.Capture(ctx, src, src.Size, src.SectorSize, capture.Options{Store: st, Name: c.name, Level: c.level, Workers: c.workers, Created: began.UTC(), Log: e.quiet(), Progress: bar.update})
	bar.close()
	if err != nil {
		return fmt.Errorf("capture of %s: %w", path, err)
	}
	out := captured{Name: c.name, Digest: r.Digest, Read: r.Read, Zeros: r.Zeros, Added: r.Added, Object: r.Object, Seconds: time.Since(began).Seconds()}
	im, err := st.Open(r.Digest)
	if err != nil {
		return err
	}
	defer im.Close()
	began = time.Now()
	bar = e.progress("verifying " + c.name)
	err = im.Verify(ctx, bar.update)
	bar.close()
	if err != nil {
		return fmt.Errorf("the image was stored and does not verify; is the store's disk sound? %w", err)
	}
	out.VerifySeconds = time.Since(began).Seconds()
	if e.json {
		return e.printJSON(out)
	}
	fmt.Fprintf(e.out, "%s  %s\nread %s in %.1f s, of it zeros %s; compressed %s, of it new in the store %s; verified\n", c.name, r.Digest, bytesWords(r.Read), out.Seconds, bytesWords(r.Zeros), bytesWords(r.Object), bytesWords(r.Added))
	return printNotes(e.out, r.Config)
}

// printNotes says what a capture found that the operator should know.
func printNotes(w io.Writer, c *image.Config) error {
	for i := range c.Partitions {
		for _, n := range c.Partitions[i].Notes {
			if _, err := fmt.Fprintf(w, "note: partition %d: %s\n", c.Partitions[i].Number, n); err != nil {
				return err
			}
		}
	}
	return nil
}

type imageRow struct {
	Name     string    `json:"name"`
	Digest   string    `json:"digest"`
	Created  time.Time `json:"created,omitzero"`
	Disk     int64     `json:"disk"`
	Object   int64     `json:"object"`
	Firmware string    `json:"firmware,omitempty"`
	Problem  string    `json:"problem,omitempty"`
}

func imageList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the images of the store",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := e.openStore()
			if err != nil {
				return err
			}
			list, err := st.List()
			if err != nil {
				return err
			}
			out := []imageRow{}
			for _, x := range list {
				row := imageRow{Name: x.Name, Digest: x.Digest, Created: x.Created}
				if im, err := st.Open(x.Digest); err != nil {
					row.Problem = err.Error()
				} else {
					row.Disk, row.Object, row.Firmware = im.Config().DiskSize, im.ObjectSize(), im.Config().Firmware
					if err := im.Close(); err != nil {
						return err
					}
				}
				out = append(out, row)
			}
			if e.json {
				return e.printJSON(out)
			}
			rows := [][]string{{"NAME", "DIGEST", "DISK", "SENT", "FIRMWARE", "CREATED", "PROBLEM"}}
			for _, r := range out {
				created := "-"
				if !r.Created.IsZero() {
					created = r.Created.Local().Format(time.DateTime)
				}
				rows = append(rows, []string{dash(r.Name), short(r.Digest), bytesWords(r.Disk), bytesWords(r.Object), dash(r.Firmware), created, r.Problem})
			}
			return table(e.out, rows)
		},
	}
}

// short cuts a digest to what people can compare, and what the store takes.
func short(d string) string {
	if len(d) > 7+12 && strings.HasPrefix(d, "sha256:") {
		return d[7 : 7+12]
	}
	return d
}

func imageShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "show IMAGE",
		Short:   "Show an image's disk, partitions and file systems",
		Example: "  diskcast image show debian",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			im, err := e.openImage(a[0])
			if err != nil {
				return err
			}
			defer im.Close()
			c := im.Config()
			if e.json {
				return e.printJSON(map[string]any{"name": a[0], "digest": im.Manifest(), "object": im.ObjectSize(), "chunks": len(im.Index().Chunks), "frames": len(im.Index().Frames), "config": c})
			}
			err = table(e.out, [][]string{
				{"image", a[0]}, {"digest", im.Manifest()},
				{"disk", fmt.Sprintf("%s (%d bytes, %d-byte sectors), %s table", bytesWords(c.DiskSize), c.DiskSize, c.SectorSize, c.Table.Kind)},
				{"firmware", dash(c.Firmware)}, {"sent", bytesWords(im.ObjectSize())},
				{"stored", fmt.Sprintf("%s of the disk, zeroes %s, %d chunks", bytesWords(c.Stored), bytesWords(c.Zeros), c.Chunks)},
			})
			if err != nil {
				return err
			}
			rows := [][]string{{"", "PART", "START", "SIZE", "FS", "USED", "IN IMAGE", "LABEL", "NAME"}}
			for _, p := range c.Partitions {
				rows = append(rows, []string{"", strconv.Itoa(p.Number), strconv.FormatInt(p.Start, 10), bytesWords(p.Size), p.FS, bytesWords(p.Used), bytesWords(p.Allocated), dash(p.Label), dash(partName(c, p.Number))})
			}
			if err := table(e.out, rows); err != nil {
				return err
			}
			return printNotes(e.out, c)
		},
	}
}

func imageVerify(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "verify IMAGE...",
		Short: "Read images whole and compare every checksum",
		Long:  "Read images whole and compare every checksum. Exit code 4 says that one is damaged; the message says where.",
		Args:  args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			for _, ref := range a {
				if err := e.verify(cmd.Context(), ref); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (e *env) verify(ctx context.Context, ref string) error {
	im, err := e.openImage(ref)
	if err != nil {
		return err
	}
	defer im.Close()
	bar := e.progress("verifying " + ref)
	err = im.Verify(ctx, bar.update)
	bar.close()
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(map[string]any{"name": ref, "digest": im.Manifest(), "ok": true})
	}
	_, err = fmt.Fprintf(e.out, "%s  %s  whole\n", ref, im.Manifest())
	return err
}

// partName is the partition's name in the table.
func partName(c *image.Config, number int) string {
	if c.Table == nil {
		return ""
	}
	for i := range c.Table.Partitions {
		if c.Table.Partitions[i].Number == number {
			return c.Table.Partitions[i].Name
		}
	}
	return ""
}
