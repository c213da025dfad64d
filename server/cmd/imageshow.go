package cmd

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

func imageShow(e *env) *cobra.Command {
	var picture string
	cmd := &cobra.Command{
		Use:   "show IMAGE",
		Short: "Show an image's disk, partitions and file systems, and what it shares with others",
		Long: `Show an image's disk, its partitions and file systems, how much of them is in the image, and which ` +
			`other images of the
store have some of its chunks.

--map draws the disk as a picture of what is used, shared with another image, zero, or not in the image: blocks for a
terminal, or svg.`,
		Example: `  diskcast image show debian
  diskcast image show debian --map
  diskcast image show debian --map=svg > debian.svg`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			switch picture {
			case "", "blocks", "svg":
			default:
				return usage("--map=%s is neither blocks nor svg", picture)
			}
			return e.show(cmd.Context(), a[0], picture)
		},
	}
	cmd.Flags().StringVar(&picture, "map", "", "draw the disk: blocks or svg")
	cmd.Flags().Lookup("map").NoOptDefVal = "blocks"
	return cmd
}

func (e *env) show(ctx context.Context, ref, picture string) error {
	l, err := e.library()
	if err != nil {
		return err
	}
	parts := 0
	switch {
	case picture == "svg" && !e.JSON:
		parts = svgColumns * svgLines
	case picture != "":
		parts = mapColumns * mapLines
	}
	im, err := l.Show(ctx, ref, parts)
	switch {
	case err != nil:
		return err
	case e.JSON:
		return e.Doc(im)
	case picture == "svg":
		return drawSVG(e.Out, im)
	}
	if err := e.showImage(im); err != nil {
		return err
	}
	if picture == "blocks" {
		fmt.Fprintln(e.Out)
		return drawBlocks(e.Out, im.Config.DiskSize, im.Map)
	}
	return nil
}

func (e *env) showImage(im *doc.Image) error {
	c, shared, both := im.Config, im.Shared, im.SharedBytes
	rows := [][]string{
		{"image", im.Name}, {"digest", im.Digest},
		{"disk", fmt.Sprintf("%s (%d bytes, %d-byte sectors), %s table", units.Bytes(c.DiskSize), c.DiskSize,
			c.SectorSize, c.Table.Kind)},
		{"firmware", ui.Dash(c.Firmware)},
		{"for UEFI", efiWords(c.EFI)},
		{"in image", fmt.Sprintf("%s of the disk, and %s of zeros that are only noted", units.Bytes(c.Stored),
			units.Bytes(c.Zeros))},
		{"compressed", fmt.Sprintf("%s (%s), level %s", units.Bytes(im.Object), units.Percent(im.Object, c.Stored),
			c.Level)},
		{"chunks", fmt.Sprintf("%d of up to %s, in %d frames, in %d data blobs", im.Chunks, units.Bytes(im.Grid),
			im.Frames, im.DataBlobs())},
	}
	if of := capture.Words(c); of != "" {
		rows = append(rows, []string{"made of", of})
	}
	if len(shared) == 0 {
		rows = append(rows, []string{"shared", "with no other image of this store"})
	} else {
		rows = append(rows, []string{"shared", fmt.Sprintf("%s (%s) with:", units.Bytes(both),
			units.Percent(both, im.Object))})
	}
	for i, s := range shared {
		if i == 10 {
			rows = append(rows, []string{"", fmt.Sprintf("and %d more", len(shared)-i)})
			break
		}
		name := s.Name
		if name == "" {
			name = short(s.Digest)
		}
		rows = append(rows, []string{"", fmt.Sprintf("%s: %s in %d frames", name, units.Bytes(s.Bytes), s.Frames)})
	}
	if err := ui.Table(e.Out, rows); err != nil {
		return err
	}
	fmt.Fprintln(e.Out)
	rows = [][]string{{"PART", "START", "SIZE", "FS", "USED", "OF", "IN IMAGE", "LABEL", "NAME"}}
	for _, p := range c.Partitions {
		of := "-"
		if p.FSSize > 0 {
			of = units.Percent(p.Used, p.FSSize)
		}
		rows = append(rows, []string{strconv.Itoa(p.Number), strconv.FormatInt(p.Start, 10), units.Bytes(p.Size), p.FS,
			units.Bytes(p.Used), of, units.Bytes(p.Allocated), ui.Dash(plain.Line(p.Label, 0)),
			ui.Dash(plain.Line(partName(c, p.Number), 0))})
	}
	if err := ui.Table(e.Out, rows); err != nil {
		return err
	}
	return printNotes(e.Out, im.Notes)
}

// efiWords lists what UEFI firmware can start.
func efiWords(e *image.EFI) string {
	if e == nil {
		return "-"
	}
	paths := append(slices.Clone(e.Fallbacks), e.Loaders...)
	words := strings.Join(paths[:min(len(paths), 6)], ", ")
	if more := len(paths) - 6; more > 0 {
		words += fmt.Sprintf(" and %d more", more)
	}
	return ui.Dash(plain.Line(words, 0))
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
