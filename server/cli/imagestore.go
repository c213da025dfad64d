package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
)

func imageTag(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "tag IMAGE NAME",
		Short: "Give an image another name",
		Long: `Give an image another name; those that it has stay. An image that had the name before stays in the store and is found by its
digest, until ` + "`diskcast image gc --unnamed`" + `. Sessions that run keep the image that they began with.`,
		Example: "  diskcast image tag debian-2024-06 debian",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := image.CheckName(a[1]); err != nil {
				return usage("%w", err)
			}
			st, err := e.openStore()
			if err != nil {
				return err
			}
			digest, err := st.Resolve(a[0])
			if err != nil {
				return err
			}
			if err := st.Tag(digest, a[1]); err != nil {
				return err
			}
			if e.json {
				return e.printJSON(map[string]any{"name": a[1], "digest": digest})
			}
			_, err = fmt.Fprintf(e.out, "%s  %s\n", a[1], digest)
			return err
		},
	}
}

func imageRemove(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME|DIGEST...", Aliases: []string{"remove"},
		Short: "Take images out of the store",
		Long: `Take images out of the store. A name is taken from its image; the image is gone when that was its last one. A digest removes
the image with all its names. The space is free after ` + "`diskcast image gc`" + `, as far as no other image needs it.`,
		Example: "  diskcast image rm debian-2023\n  diskcast image gc",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			st, err := e.openStore()
			if err != nil {
				return err
			}
			out := []map[string]any{}
			for _, ref := range a {
				digest, err := st.Resolve(ref)
				if err != nil {
					return err
				}
				if err := st.Remove(ref); err != nil {
					return err
				}
				left, err := namesOf(st, digest)
				if err != nil {
					return err
				}
				out = append(out, map[string]any{"removed": ref, "digest": digest, "names_left": left})
				if !e.json {
					words := "the image is out of the store; `diskcast image gc` frees its space"
					if len(left) > 0 {
						words = fmt.Sprintf("the image still has the name %s", left[0])
					}
					fmt.Fprintf(e.out, "%s removed: %s\n", ref, words)
				}
			}
			if e.json {
				return e.printJSON(out)
			}
			return nil
		},
	}
}

// namesOf are the names that an image has.
func namesOf(st *image.Store, digest string) ([]string, error) {
	list, err := st.List()
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, x := range list {
		if x.Digest == digest && x.Name != "" {
			out = append(out, x.Name)
		}
	}
	return out, nil
}

func imageGC(e *env) *cobra.Command {
	var o image.GCOptions
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Free the space of what no image needs",
		Long: `Free the space of what no image needs: blobs of removed images, and what killed programs left. Images that are open, as by a
session, keep what is theirs. While something is captured or imported, it fails and changes nothing.`,
		Example: `  diskcast image gc --dry-run
  diskcast image gc --unnamed --partial`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := e.openStore()
			if err != nil {
				return err
			}
			r, err := st.GC(cmd.Context(), o)
			if err != nil {
				return err
			}
			if e.json {
				return e.printJSON(map[string]any{"images": r.Images, "blobs": r.Blobs, "files": r.Files, "bytes": r.Bytes, "dry_run": o.Dry})
			}
			did := "freed"
			if o.Dry {
				did = "would free"
			}
			_, err = fmt.Fprintf(e.out, "%s %s: %d blobs, %d unfinished files, %d images without a name\n", did, bytesWords(r.Bytes), r.Blobs, r.Files, r.Images)
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Unnamed, "unnamed", false, "also give up images that have lost their name")
	f.BoolVar(&o.Partial, "partial", false, "also give up what is half fetched or half captured, and would be taken up again")
	f.BoolVar(&o.Dry, "dry-run", false, "only say what would go")
	return cmd
}

func imageDiff(e *env) *cobra.Command {
	var extents bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Compare two images chunk by chunk",
		Long: `Compare two images chunk by chunk: how much of NEW is the same at the same place, what has changed, and how many bytes a
delta restore of NEW has to send to a disk that has OLD.`,
		Example: "  diskcast image diff debian-2024-05 debian-2024-06",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			was, err := e.openImage(a[0])
			if err != nil {
				return err
			}
			defer was.Close()
			is, err := e.openImage(a[1])
			if err != nil {
				return err
			}
			defer is.Close()
			d := image.Diff(was.Index(), is.Index())
			equal := was.Config().Content == is.Config().Content
			if e.json {
				out := map[string]any{"same_disk": equal, "same": d.Same, "moved": d.Moved, "changed": d.Changed, "added": d.Added, "removed": d.Removed, "new": d.New}
				if extents {
					rows := []map[string]int64{}
					for _, x := range d.Cells {
						rows = append(rows, map[string]int64{"offset": x.Offset, "length": x.Length})
					}
					out["extents"] = rows
				}
				return e.printJSON(out)
			}
			if equal {
				fmt.Fprintln(e.out, "both hold the same disk")
			}
			rows := [][]string{
				{"same", bytesWords(d.Same), "at the same place"},
				{"moved", bytesWords(d.Moved), a[0] + " has them at another place"},
				{"changed", bytesWords(d.Changed), "other bytes"},
				{"added", bytesWords(d.Added), "where " + a[0] + " has nothing"},
				{"removed", bytesWords(d.Removed), "of " + a[0] + ", where " + a[1] + " has nothing"},
				{"to send", bytesWords(d.New), fmt.Sprintf("compressed, %s of %s", percentWords(d.New, is.ObjectSize()), a[1])},
			}
			if extents {
				for _, x := range d.Cells {
					rows = append(rows, []string{"differs", bytesWords(x.Length), fmt.Sprintf("from byte %d", x.Offset)})
				}
			}
			return table(e.out, rows)
		},
	}
	cmd.Flags().BoolVar(&extents, "extents", false, "list where on the disk they differ")
	return cmd
}
