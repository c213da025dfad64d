package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/plain"
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
	// Notes are what its capture found that the operator should know; Problem is why the image cannot be opened. Either does not go with the other.
	Notes   []string `json:"notes,omitempty"`
	Problem string   `json:"problem,omitempty"`
}

func imageList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the images of the store",
		Long: `List the images of the store. NOTES counts what their captures found that one should know (` + "`diskcast image show`" + ` and --json have
the words). An image that cannot be opened has a problem, which is printed below the list, and in --json as "problem".`,
		Args: cobra.NoArgs,
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
				if im, err := st.Open(cmp.Or(x.Name, x.Digest)); err != nil {
					row.Problem = advised(err).Error()
				} else {
					row.Disk, row.Object, row.Firmware = im.Config().DiskSize, im.ObjectSize(), im.Config().Firmware
					row.Notes = openNotes(im)
					if err := im.Close(); err != nil {
						return err
					}
				}
				out = append(out, row)
			}
			if e.json {
				return e.printJSON(out)
			}
			return e.printList(out)
		},
	}
}

// printList prints the table, and below it, in full, what is wrong with which image.
func (e *env) printList(list []imageRow) error {
	rows := [][]string{{"NAME", "DIGEST", "DISK", "SENT", "FIRMWARE", "CREATED", "NOTES"}}
	for _, r := range list {
		created, notes := "-", "-"
		if !r.Created.IsZero() {
			created = r.Created.Local().Format(time.DateTime)
		}
		switch n := len(r.Notes); {
		case r.Problem != "":
			notes = "PROBLEM, see below"
		case n == 1:
			notes = "1 note"
		case n > 1:
			notes = fmt.Sprintf("%d notes", n)
		}
		rows = append(rows, []string{dash(r.Name), short(r.Digest), bytesWords(r.Disk), bytesWords(r.Object), dash(r.Firmware), created, notes})
	}
	if err := table(e.out, rows); err != nil {
		return err
	}
	for _, r := range list {
		if r.Problem == "" {
			continue
		}
		if _, err := fmt.Fprintf(e.out, "problem: %s\n", plain.Line(r.Problem, 0)); err != nil {
			return err
		}
	}
	return nil
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
