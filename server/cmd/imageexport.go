package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/convert"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/library/diskview"
)

func imageExport(e *env) *cobra.Command {
	var format, name string
	var partition int
	cmd := &cobra.Command{
		Use:   "export IMAGE TARGET",
		Short: "Write an image for other programs, or for another store",
		Long: `Write an image for other programs, or for another store. Every chunk is hashed on the way.

  --format oci        a directory in OCI image layout, made or added to (the default): what diskcast, skopeo and ` +
			`others read
  --format raw        a sparse file with the disk's bytes
  --format qcow2      a disk for qemu and its kin
  --format partclone  the partition given with --partition, for partclone.restore

A file that exists is not overwritten.`,
		Example: `  diskcast image export debian /mnt/usb/images
  diskcast image export debian debian.qcow2 --format qcow2
  diskcast image export debian root.pcl --format partclone --partition 2`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			switch format {
			case "oci", "raw", "qcow2", "partclone":
			default:
				return usage("--format %q is none of oci, raw, qcow2, partclone", format)
			}
			if given := cmd.Flags().Changed("partition"); given != (format == "partclone") {
				return usage("--partition says which partition --format partclone writes, and goes with no other " +
					"format")
			}
			if err := e.outside(a[1]); err != nil {
				return fmt.Errorf("export of %s to %s: %w", a[0], a[1], err)
			}
			began := time.Now()
			export := e.exportHere
			if e.remote() {
				export = e.exportThere
			}
			r, err := export(cmd.Context(), exported{ref: a[0], target: a[1], format: format, name: name,
				partition: partition})
			if err != nil {
				return fmt.Errorf("export of %s to %s: %w", a[0], a[1], err)
			}
			r.Image, r.Target, r.Format, r.Seconds = a[0], a[1], format, time.Since(began).Seconds()
			if e.JSON {
				return e.Doc(r)
			}
			_, err = fmt.Fprintf(e.Out, "%s is in %s (%s): %s in %.1f s\n", r.Image, r.Target, r.Format,
				units.Bytes(r.Bytes), r.Seconds)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "oci", "oci, raw, qcow2 or partclone")
	f.StringVar(&name, "name", "", "name in the OCI layout (default: the image's)")
	f.IntVar(&partition, "partition", 0, "number of the partition, 0 for a disk without a table")
	return cmd
}

// exported is what is asked of an export.
type exported struct {
	ref, target, format, name string
	partition                 int
}

// exportHere exports an image of the store on this machine.
func (e *env) exportHere(ctx context.Context, x exported) (*doc.ImageExported, error) {
	st, err := e.findStore()
	if err != nil {
		return nil, err
	}
	im, err := st.Open(x.ref)
	if err != nil {
		return nil, err
	}
	defer im.Close()
	r := &doc.ImageExported{Digest: im.Manifest()}
	if x.format != "oci" {
		r.Bytes, err = e.exportFile(ctx, im, x.target, x.format, x.partition)
		return r, err
	}
	to, err := image.OpenStore(x.target)
	if err != nil {
		return nil, layoutHelp(err, x.target)
	}
	bar := e.Progress("copying " + im.Name())
	_, err = to.Copy(ctx, st, im.Manifest(), layoutName(&x, im.Manifest()), bar.Update)
	bar.Close()
	err = layoutHelp(err, x.target)
	if damage := (*image.DamageError)(nil); errors.As(err, &damage) && damage.Image == im.Manifest() {
		damage.Image = x.ref
	}
	for _, b := range im.Blobs() {
		r.Bytes += b.Size
	}
	return r, err
}

// exportThere exports an image of a server. What is not an OCI layout is made from one, which lies beside the target
// until then.
func (e *env) exportThere(ctx context.Context, x exported) (*doc.ImageExported, error) {
	c, err := e.dial(e.images)
	if err != nil {
		return nil, err
	}
	im, err := c.Library().Show(ctx, x.ref, 0)
	if err != nil {
		return nil, err
	}
	r := &doc.ImageExported{Digest: im.Digest}
	dir, name := x.target, layoutName(&x, im.Digest)
	if x.format != "oci" {
		if _, err := os.Lstat(x.target); !errors.Is(err, fs.ErrNotExist) {
			return nil, existsError(x.target)
		}
		u, err := e.begin(x.target, true)
		if err != nil {
			return nil, err
		}
		defer func() { _ = u.remove() }() // what is left the next export removes
		dir, name = u.path, ""
	}
	help := func(err error) error { return layoutHelp(err, x.target) }
	if x.format != "oci" {
		help = func(err error) error {
			return library.TargetHelp(err, filepath.Dir(x.target), "a copy of the image as the server has it lies "+
				"there until the export is whole")
		}
	}
	st, err := image.OpenStore(dir)
	if err != nil {
		return nil, help(err)
	}
	bar := e.Progress("fetching " + x.ref)
	err = c.Library().Fetch(ctx, x.ref, im.Digest, st, name, library.Watch{Progress: bar.Update, Note: e.Note})
	bar.Close()
	if err != nil {
		return nil, help(err)
	}
	if x.format == "oci" {
		for _, b := range im.Blobs {
			r.Bytes += b.Size
		}
		return r, nil
	}
	got, err := st.Open(im.Digest)
	if err != nil {
		return nil, err
	}
	defer got.Close()
	r.Bytes, err = e.exportFile(ctx, got, x.target, x.format, x.partition)
	return r, err
}

// layoutHelp is library.TargetHelp for an OCI layout.
func layoutHelp(err error, dir string) error {
	if _, serr := os.Stat(dir); serr != nil {
		dir = filepath.Dir(dir)
	}
	return library.TargetHelp(err, dir, "what was copied stays, and the same export goes on where it was")
}

// diskHelp is library.TargetHelp for a file with the disk of the image.
func diskHelp(err error, file string, x *image.Index) error {
	var n int64
	for i := range x.Chunks {
		for _, e := range x.Chunks[i].Extents {
			n += e.Length
		}
	}
	return library.TargetHelp(err, filepath.Dir(file), fmt.Sprintf("the image has %s that are not zero",
		units.Bytes(n)))
}

// layoutName is the name that an image gets in a layout: the one asked for, or that by which the image was; none when
// that was a digest.
func layoutName(x *exported, digest string) string {
	switch {
	case x.name != "":
		return x.name
	case namesDigest(x.ref, digest), image.CheckName(x.ref) != nil:
		return ""
	}
	return x.ref
}

// namesDigest reports whether ref is a digest, perhaps cut short as the store takes it.
func namesDigest(ref, digest string) bool {
	ref = strings.TrimPrefix(ref, "sha256:")
	return len(ref) >= 12 && strings.HasPrefix(strings.TrimPrefix(digest, "sha256:"), ref)
}

func existsError(path string) error {
	return fmt.Errorf("%s exists: remove it or name another file", path)
}

// exportFile writes a new file under another name first, so that a file with the name asked for is whole.
func (e *env) exportFile(ctx context.Context, im *image.Image, path, format string, partition int) (
	size int64, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return 0, existsError(path)
	}
	d, err := diskview.New(im)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	defer func() { err = diskHelp(err, path, im.Index()) }()
	u, err := e.begin(path, false)
	if err != nil {
		return 0, err
	}
	defer func() {
		if rerr := u.remove(); err == nil {
			err = rerr
		}
	}()
	f, err := os.OpenFile(u.path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = os.Link(u.path, path) // not Rename: that would overwrite what came meanwhile
		}
	}()
	bar := e.Progress("writing " + path)
	defer bar.Close()
	if err := writeFormat(ctx, im, d, f, format, partition, bar); err != nil {
		return 0, err
	}
	if err := f.Chmod(private.FileMode); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func writeFormat(ctx context.Context, im *image.Image, d *diskview.Disk, f *os.File, format string, partition int,
	bar *ui.Progress) error {
	stored := d.Stored()
	total := int64(0)
	for _, x := range stored {
		total += x.Length
	}
	r := &countedReader{r: d, total: total, bar: bar}
	switch format {
	case "raw":
		return convert.ExportRaw(ctx, r, d.Size(), stored, f)
	case "qcow2":
		return convert.ExportQcow2(ctx, r, d.Size(), stored, f)
	}
	for _, p := range im.Config().Partitions {
		if p.Number != partition {
			continue
		}
		block := p.BlockSize
		name := convert.PartcloneName(p.FS)
		if name == "raw" || block < 512 {
			block = 512
		}
		alloc := d.Allocated(p.Start, p.Size)
		r.total = 0
		for _, x := range alloc {
			r.total += x.Length
		}
		return convert.ExportPartclone(ctx, &part{r, p.Start}, p.Size, alloc,
			convert.Partition{FileSystem: name, BlockSize: block}, f)
	}
	return fmt.Errorf("the image has no partition %d (`diskcast image show %s` lists them)", partition, im.Name())
}

// countedReader tells a progress bar what is read.
type countedReader struct {
	r           *diskview.Disk
	done, total int64
	bar         *ui.Progress
}

func (c *countedReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.done += int64(n)
	c.bar.Update(min(c.done, c.total), c.total)
	return n, err
}

// part is a part of a disk from a byte on.
type part struct {
	r     *countedReader
	start int64
}

func (p *part) ReadAt(b []byte, off int64) (int, error) { return p.r.ReadAt(b, p.start+off) }
