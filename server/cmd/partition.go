package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

func imageCut(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cut IMAGE:NUMBER NAME",
		Short: "Make an image of one partition of an image of a disk",
		Long: `Make an image of one partition of an image of a disk, as a session puts into a partition. What it has ` +
			`in common with
the other image is not stored again, where the partition begins on the grid of that one; a note says so where it does
not.`,
		Example: "  diskcast image cut debian:3 debian-root",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, a []string) error {
			base, number := cutRef(a[0])
			if number == 0 {
				return usage("say which partition of the image: %s:2", a[0])
			}
			r, err := e.do(cmd.Context(), "cutting "+a[0], doc.JobSpec{Kind: doc.JobCut, Image: base,
				Partition: number, Name: a[1]})
			if err != nil {
				return err
			}
			if e.JSON {
				return e.Doc(r.Cut)
			}
			_, err = fmt.Fprintf(e.Out, "%s  %s\ncompressed %s, of it new in the store %s\n", r.Cut.Name, r.Cut.Digest,
				units.Bytes(r.Cut.Object), units.Bytes(r.Cut.Added))
			return err
		},
	}
	return cmd
}

// cutRef takes IMAGE:NUMBER apart; the number is 0 where there is none.
func cutRef(ref string) (base string, number int) {
	at := strings.LastIndexByte(ref, ':')
	if at <= 0 {
		return ref, 0
	}
	n, err := strconv.Atoi(ref[at+1:])
	if err != nil || n <= 0 {
		return ref, 0
	}
	return ref[:at], n
}

// parseBy reads which partition of a disk is meant.
func parseBy(s string) (*partition.By, error) {
	by, err := session.ParsePartition(s)
	if err != nil {
		return nil, usage("--partition: %w", err)
	}
	p := partition.By(by)
	return &p, nil
}

// setPartition makes the spec one of a session on one partition: PARTITION=IMAGE, or of a capture PARTITION.
func setPartition(spec *doc.Spec, flag string) error {
	which := flag
	spec.Kind = session.CapturePartition
	if spec.Capture == "" {
		at := strings.LastIndexByte(flag, '=')
		if at <= 0 || flag[:at] == "name" || flag[:at] == "uuid" {
			return usage("--partition %s: say which image goes to it: --partition 2=IMAGE", flag)
		}
		which, spec.Image = flag[:at], flag[at+1:]
		spec.Kind = session.RestorePartition
	}
	by, err := session.ParsePartition(which)
	if err != nil {
		return usage("--partition: %w", err)
	}
	spec.Job, err = json.Marshal(session.PartitionJob{V: session.PartitionVersion, PartitionBy: by})
	return err
}

// partitionImage finds the image that a restore of a partition names, and makes one where it is a partition of an image
// of a disk, if it may cut one out.
func (e *env) partitionImage(ctx context.Context, l library.Library, ref string, cut bool) (string, error) {
	im, err := l.Show(ctx, ref, 0)
	base, number := ref, 0
	if errors.Is(err, image.ErrNotFound) || kind(err) == doc.KindNotFound {
		if base, number = cutRef(ref); number == 0 {
			return "", err
		}
		im, err = l.Show(ctx, base, 0)
	}
	if err != nil {
		return "", err
	}
	parts := im.Config.Table.Partitions
	switch {
	case number == 0 && len(parts) == 0:
		return ref, nil
	case number == 0 && len(parts) > 1:
		return "", usage("image %s is of a disk with %d partitions: say which one is meant, as in %s:%d", ref,
			len(parts), ref, parts[0].Number)
	case number == 0:
		number = parts[0].Number
	}
	// The name has the digest, so that it is found again and never means another disk.
	digest := strings.TrimPrefix(im.Digest, "sha256:")
	name := fmt.Sprintf("%s-p%d-%s", strings.TrimPrefix(base, "sha256:"), number, digest[:12])
	if have, err := l.Show(ctx, name, 0); err == nil {
		if o := have.Config.Origin; o == nil || o.Number != number || o.Image != im.Digest {
			return "", fmt.Errorf("the name %s is that of another image: rename it (`diskcast image tag`), or cut the "+
				"partition yourself (`diskcast image cut %s:%d NAME`)", name, base, number)
		}
		return name, nil
	}
	if !cut {
		return "", fmt.Errorf("a plan cuts nothing: make an image of partition %d first (`diskcast image cut %s:%d "+
			"NAME`), and plan with that", number, base, number)
	}
	bar := e.Progress(fmt.Sprintf("cutting %s:%d", base, number))
	_, err = l.Do(ctx, doc.JobSpec{V: session.Version, Kind: doc.JobCut, Image: base, Partition: number, Name: name},
		library.Watch{Progress: bar.Update, Note: e.Note})
	bar.Close()
	return name, err
}
