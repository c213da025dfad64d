package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/plain"
)

func imageShow(e *env) *cobra.Command {
	var picture string
	cmd := &cobra.Command{
		Use:   "show IMAGE",
		Short: "Show an image's disk, partitions and file systems, and what it shares with others",
		Long: `Show an image's disk, its partitions and file systems, how much of them is in the image, and which other images of the
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
			return e.show(a[0], picture)
		},
	}
	cmd.Flags().StringVar(&picture, "map", "", "draw the disk: blocks or svg")
	cmd.Flags().Lookup("map").NoOptDefVal = "blocks"
	return cmd
}

// sharedRow is another image with chunks of this one.
type sharedRow struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Frames int    `json:"frames"`
	Bytes  int64  `json:"bytes"` // as stored
}

// mapRow is one of the equal parts of the disk.
type mapRow struct {
	Size   int64 `json:"size"`
	Used   int64 `json:"used"`
	Shared int64 `json:"shared"`
	Zero   int64 `json:"zero"`
}

type blobRow struct {
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	MediaType string `json:"media_type"`
}

func blobRows(im *image.Image) []blobRow {
	var out []blobRow
	for _, b := range im.Blobs() {
		out = append(out, blobRow(b))
	}
	return out
}

func (e *env) show(ref, picture string) error {
	st, err := e.openStore()
	if err != nil {
		return err
	}
	im, err := st.Open(ref)
	if err != nil {
		return err
	}
	defer im.Close()
	frames := map[int]bool{}
	list, err := st.Shared(im, func(n int) { frames[n] = true })
	if err != nil {
		return err
	}
	shared, both := []sharedRow{}, int64(0)
	for _, s := range list {
		shared = append(shared, sharedRow{s.Name, s.Digest, s.Frames, s.Bytes})
	}
	for n := range frames {
		both += im.Index().Frames[n].Length
	}
	cells := func(n int) []image.MapCell { return im.Index().Map(n, func(f int) bool { return frames[f] }) }
	switch {
	case e.json:
		out := map[string]any{"name": ref, "digest": im.Manifest(), "object": im.ObjectSize(), "chunks": len(im.Index().Chunks), "frames": len(im.Index().Frames),
			"grid": im.Index().Grid, "blobs": blobRows(im), "shared": shared, "shared_bytes": both, "config": im.Config(), "notes": append([]string{}, openNotes(im)...)}
		if picture != "" {
			rows := []mapRow{}
			for _, c := range cells(mapColumns * mapLines) {
				rows = append(rows, mapRow(c))
			}
			out["map"] = rows
		}
		return e.printJSON(out)
	case picture == "svg":
		return drawSVG(e.out, im, cells(svgColumns*svgLines))
	}
	if err := e.showImage(ref, im, shared, both); err != nil {
		return err
	}
	if picture == "blocks" {
		fmt.Fprintln(e.out)
		return drawBlocks(e.out, im.Config().DiskSize, cells(mapColumns*mapLines))
	}
	return nil
}

func (e *env) showImage(ref string, im *image.Image, shared []sharedRow, both int64) error {
	c := im.Config()
	rows := [][]string{
		{"image", ref}, {"digest", im.Manifest()},
		{"disk", fmt.Sprintf("%s (%d bytes, %d-byte sectors), %s table", bytesWords(c.DiskSize), c.DiskSize, c.SectorSize, c.Table.Kind)},
		{"firmware", dash(c.Firmware)},
		{"for UEFI", efiWords(c.EFI)},
		{"in image", fmt.Sprintf("%s of the disk, and %s of zeros that are only noted", bytesWords(c.Stored), bytesWords(c.Zeros))},
		{"compressed", fmt.Sprintf("%s (%s), level %s", bytesWords(im.ObjectSize()), percentWords(im.ObjectSize(), c.Stored), c.Level)},
		{"chunks", fmt.Sprintf("%d of up to %s, in %d frames, in %d data blobs", len(im.Index().Chunks), bytesWords(im.Index().Grid), len(im.Index().Frames), im.Index().Blobs)},
	}
	if len(shared) == 0 {
		rows = append(rows, []string{"shared", "with no other image of this store"})
	} else {
		rows = append(rows, []string{"shared", fmt.Sprintf("%s (%s) with:", bytesWords(both), percentWords(both, im.ObjectSize()))})
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
		rows = append(rows, []string{"", fmt.Sprintf("%s: %s in %d frames", name, bytesWords(s.Bytes), s.Frames)})
	}
	if err := table(e.out, rows); err != nil {
		return err
	}
	fmt.Fprintln(e.out)
	rows = [][]string{{"PART", "START", "SIZE", "FS", "USED", "OF", "IN IMAGE", "LABEL", "NAME"}}
	for _, p := range c.Partitions {
		of := "-"
		if p.FSSize > 0 {
			of = percentWords(p.Used, p.FSSize)
		}
		rows = append(rows, []string{strconv.Itoa(p.Number), strconv.FormatInt(p.Start, 10), bytesWords(p.Size), p.FS, bytesWords(p.Used), of, bytesWords(p.Allocated), dash(plain.Line(p.Label, 0)), dash(plain.Line(partName(c, p.Number), 0))})
	}
	if err := table(e.out, rows); err != nil {
		return err
	}
	return printNotes(e.out, openNotes(im))
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
	return dash(plain.Line(words, 0))
}

func percentWords(n, of int64) string {
	if of <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(n)/float64(of))
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
