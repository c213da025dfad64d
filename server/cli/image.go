package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
)

func imageCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "image", Aliases: []string{"images"},
		Short: "Store, inspect and restore images on this machine",
		Long: `Store, inspect and restore images. These commands work on the store's directory itself; the server need not run.

An IMAGE is named by its name, or by its digest, of which the first 12 digits are enough.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&e.store, "store", "", "image store (default STATE/images)")
	cmd.AddCommand(imageImport(e), imageCapture(e), imageExport(e), imageList(e), imageShow(e), imageDiff(e), imageVerify(e), imageRestore(e),
		imageOptimize(e), imageTag(e), imageRemove(e), imageGC(e), imagePush(e), imagePull(e))
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
		Args:  cobra.NoArgs,
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

func imageVerify(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "verify IMAGE...",
		Short: "Read images whole and compare every checksum",
		Long:  "Read images whole and compare every checksum. Exit code 4 says that one is damaged; the message says where.",
		Args:  cobra.MinimumNArgs(1),
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
