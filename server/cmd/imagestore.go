package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func imageTag(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "tag IMAGE NAME",
		Short: "Give an image another name",
		Long: `Give an image another name; those that it has stay. An image that had the name before stays in the ` +
			`store and is found by its
digest, until ` + "`diskcast image gc --unnamed`" + `. Sessions that run keep the image that they began with.`,
		Example: "  diskcast image tag debian-2024-06 debian",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := image.CheckName(a[1]); err != nil {
				return usage("%w", err)
			}
			l, err := e.library()
			if err != nil {
				return err
			}
			was := e.named(cmd.Context(), l, a[1])
			r, err := l.Tag(cmd.Context(), a[0], a[1])
			if err != nil {
				return err
			}
			e.nameMoved(r.Name, was, r.Digest)
			if e.JSON {
				return e.Doc(r)
			}
			_, err = fmt.Fprintf(e.Out, "%s  %s\n", r.Name, r.Digest)
			return err
		},
	}
}

func imageRemove(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME|DIGEST...", Aliases: []string{"remove"},
		Short: "Take images out of the store",
		Long: `Take images out of the store. A name is taken from its image; the image is gone when that was its last
one. A digest removes the image with all its names. The space is free after ` + "`diskcast image gc`" + `, as far as
no other image needs it. While a server works with the store it is the server that is asked (--server): it refuses for
an image that one of its sessions or jobs uses, and names them.`,
		Example: "  diskcast image rm debian-2023\n  diskcast image gc",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := e.unserved("image rm"); err != nil {
				return err
			}
			l, err := e.library()
			if err != nil {
				return err
			}
			out := []*doc.ImageRemoved{}
			for _, ref := range a {
				r, err := l.Remove(cmd.Context(), ref)
				if err != nil {
					return err
				}
				out = append(out, r)
				if !e.JSON {
					words := "the image is out of the store; `diskcast image gc` frees its space"
					if len(r.NamesLeft) > 0 {
						words = fmt.Sprintf("the image still has the name %s", r.NamesLeft[0])
					}
					fmt.Fprintf(e.Out, "%s removed: %s\n", ref, words)
				}
			}
			if e.JSON {
				return e.Doc(out)
			}
			return nil
		},
	}
}

func imageGC(e *env) *cobra.Command {
	spec := doc.JobSpec{Kind: doc.JobGC}
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Free the space of what no image needs",
		Long: `Free the space of what no image needs: blobs of removed images, and what killed programs left. Images ` +
			`that are open,
as by a session, keep what is theirs. While something is captured or imported, it fails and changes nothing.`,
		Example: `  diskcast image gc --dry-run
  diskcast image gc --unnamed --partial`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if spec.Unnamed && !spec.DryRun {
				if err := e.unserved("image gc --unnamed"); err != nil {
					return err
				}
			}
			result, err := e.do(cmd.Context(), "freeing", spec)
			if err != nil {
				return err
			}
			r := result.GC
			if e.JSON {
				return e.Doc(r)
			}
			did := "freed"
			if r.DryRun {
				did = "would free"
			}
			_, err = fmt.Fprintf(e.Out, "%s %s: %d blobs, %d unfinished files, %d images without a name\n", did,
				units.Bytes(r.Bytes), r.Blobs, r.Files, r.Images)
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&spec.Unnamed, "unnamed", false, "also give up images that have lost their name")
	f.BoolVar(&spec.Partial, "partial", false,
		"also give up what is half fetched or half captured, and would be taken up again")
	f.BoolVar(&spec.DryRun, "dry-run", false, "only say what would go")
	return cmd
}

func imageDiff(e *env) *cobra.Command {
	var extents bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Compare two images chunk by chunk",
		Long: `Compare two images chunk by chunk: how much of NEW is the same at the same place, what has changed, ` +
			`and how many bytes
a delta restore of NEW has to send to a disk that has OLD.`,
		Example: "  diskcast image diff debian-2024-05 debian-2024-06",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			l, err := e.library()
			if err != nil {
				return err
			}
			d, err := l.Diff(cmd.Context(), a[0], a[1], extents)
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(d)
			}
			return e.printDiff(a[0], a[1], d)
		},
	}
	cmd.Flags().BoolVar(&extents, "extents", false, "list where on the disk they differ")
	return cmd
}

func (e *env) printDiff(was, is string, d *doc.ImageDiff) error {
	if d.SameDisk {
		fmt.Fprintln(e.Out, "both hold the same disk")
	}
	rows := [][]string{
		{"same", units.Bytes(d.Same), "at the same place"},
		{"moved", units.Bytes(d.Moved), was + " has them at another place"},
		{"changed", units.Bytes(d.Changed), "other bytes"},
		{"added", units.Bytes(d.Added), "where " + was + " has nothing"},
		{"removed", units.Bytes(d.Removed), "of " + was + ", where " + is + " has nothing"},
		{"to send", units.Bytes(d.New), fmt.Sprintf("compressed, %s of %s", units.Percent(d.New, d.Object), is)},
	}
	for _, x := range d.Extents {
		rows = append(rows, []string{"differs", units.Bytes(x.Length), fmt.Sprintf("from byte %d", x.Offset)})
	}
	return ui.Table(e.Out, rows)
}
