package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/convert"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/server/diskview"
)

func imageExport(e *env) *cobra.Command {
	var format, name string
	var partition int
	cmd := &cobra.Command{
		Use:   "export IMAGE TARGET",
		Short: "Write an image for other programs, or for another store",
		Long: `Write an image for other programs, or for another store. Every chunk is hashed on the way.

  --format oci        a directory in OCI image layout, made or added to (the default): what diskcast, skopeo and others read
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
				return usage("--partition says which partition --format partclone writes, and goes with no other format")
			}
			im, err := e.openImage(a[0])
			if err != nil {
				return err
			}
			defer im.Close()
			began := time.Now()
			var size int64
			if format == "oci" {
				if name == "" {
					name = layoutName(a[0], im)
				}
				size, err = e.exportLayout(cmd.Context(), im, a[1], name)
			} else {
				size, err = e.exportFile(cmd.Context(), im, a[1], format, partition)
			}
			if err != nil {
				return fmt.Errorf("export of %s to %s: %w", a[0], a[1], err)
			}
			took := time.Since(began)
			if e.json {
				return e.printJSON(map[string]any{"image": a[0], "digest": im.Manifest(), "target": a[1], "format": format, "bytes": size, "seconds": took.Seconds()})
			}
			_, err = fmt.Fprintf(e.out, "%s is in %s (%s): %s in %.1f s\n", a[0], a[1], format, bytesWords(size), took.Seconds())
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "oci", "oci, raw, qcow2 or partclone")
	f.StringVar(&name, "name", "", "name in the OCI layout (default: the image's)")
	f.IntVar(&partition, "partition", 0, "number of the partition, 0 for a disk without a table")
	return cmd
}

// layoutName is the name by which the image was asked for; none when that was a digest.
func layoutName(ref string, im *image.Image) string {
	if d := im.Manifest(); ref == d || "sha256:"+ref == d || short(d) == ref || image.CheckName(ref) != nil {
		return ""
	}
	return ref
}

func (e *env) exportLayout(ctx context.Context, im *image.Image, dir, name string) (int64, error) {
	from, err := e.openStore()
	if err != nil {
		return 0, err
	}
	to, err := image.OpenStore(dir)
	if err != nil {
		return 0, err
	}
	bar := e.progress("copying " + im.Name())
	_, err = to.Copy(ctx, from, im.Manifest(), name, bar.update)
	bar.close()
	size := int64(0)
	for _, b := range im.Blobs() {
		size += b.Size
	}
	return size, err
}

// exportFile writes a new file under another name first, so that a file with the name asked for is whole.
func (e *env) exportFile(ctx context.Context, im *image.Image, path, format string, partition int) (size int64, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s exists: remove it or name another file", path)
	}
	d, err := diskview.New(im)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = os.Link(f.Name(), path) // not Rename: that would overwrite what came meanwhile
		}
		if rerr := os.Remove(f.Name()); err == nil {
			err = rerr
		}
	}()
	bar := e.progress("writing " + path)
	defer bar.close()
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

func writeFormat(ctx context.Context, im *image.Image, d *diskview.Disk, f *os.File, format string, partition int, bar *progress) error {
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
		return convert.ExportPartclone(ctx, &part{r, p.Start}, p.Size, alloc, convert.Partition{FileSystem: name, BlockSize: block}, f)
	}
	return fmt.Errorf("the image has no partition %d (`diskcast image show %s` lists them)", partition, im.Name())
}

// countedReader tells a progress bar what is read.
type countedReader struct {
	r           *diskview.Disk
	done, total int64
	bar         *progress
}

func (c *countedReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.done += int64(n)
	c.bar.update(min(c.done, c.total), c.total)
	return n, err
}

// part is a part of a disk from a byte on.
type part struct {
	r     *countedReader
	start int64
}

func (p *part) ReadAt(b []byte, off int64) (int, error) { return p.r.ReadAt(b, p.start+off) }
