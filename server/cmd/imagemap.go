package cmd

import (
	"bufio"
	"fmt"
	"html"
	"io"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
)

// Sizes of the pictures, in parts of the disk.
const (
	mapColumns, mapLines = 64, 16
	svgColumns, svgLines = 128, 32
)

// drawBlocks draws a disk on a terminal, a character for each part of it: what most of its bytes are, of those that the
// image has.
func drawBlocks(w io.Writer, size int64, cells []doc.ImagePart) error {
	out := bufio.NewWriter(w)
	for at := 0; at < len(cells); at += mapColumns {
		for _, c := range cells[at:min(at+mapColumns, len(cells))] {
			out.WriteString(block(&c))
		}
		out.WriteByte('\n')
	}
	part := int64(0)
	if len(cells) > 0 {
		part = size / int64(len(cells))
	}
	fmt.Fprintf(out, "█ used  ▒ shared with another image  ░ zero  · not in the image; a sign is %s\n",
		units.Bytes(part))
	return out.Flush()
}

func block(c *doc.ImagePart) string {
	switch most := max(c.Used, c.Shared, c.Zero); {
	case most == 0:
		return "·"
	case c.Used == most:
		return "█"
	case c.Shared == most:
		return "▒"
	}
	return "░"
}

// svgKinds are what a part of the disk can be filled with, from the bottom.
var svgKinds = []struct {
	name, colour string
	bytes        func(*doc.ImagePart) int64
}{
	{"used", "#2b6cb0", func(c *doc.ImagePart) int64 { return c.Used }},
	{"shared with another image", "#38a169", func(c *doc.ImagePart) int64 { return c.Shared }},
	{"zero", "#a0aec0", func(c *doc.ImagePart) int64 { return c.Zero }},
}

// drawSVG draws a disk as a grid of columns, each filled as far as its part of the disk is, with the partitions above
// it.
func drawSVG(w io.Writer, im *doc.Image) error {
	const cell, top, legend = 8, 44, 24
	c, cells := im.Config, im.Map
	width := svgColumns * cell
	lines := (len(cells) + svgColumns - 1) / svgColumns
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" `+
		`font-size="11">`+"\n", width, top+lines*cell+legend)
	fmt.Fprintf(out, "<title>%s: %s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
		svgText(im.Name), units.Bytes(c.DiskSize))
	for _, p := range c.Partitions {
		x, n := scale(p.Start, c.DiskSize, width), scale(p.Size, c.DiskSize, width)
		words := fmt.Sprintf("%d %s %s", p.Number, p.FS, units.Bytes(p.Size))
		fmt.Fprintf(out, `<g><title>%s, used %s %s</title><rect x="%.1f" y="4" width="%.1f" height="32" `+
			`fill="#edf2f7" stroke="#4a5568"/>`, svgText(words), units.Bytes(p.Used), svgText(p.Label), x, n)
		if n > float64(7*len(words)) {
			fmt.Fprintf(out, `<text x="%.1f" y="24">%s</text>`, x+5, svgText(words))
		}
		out.WriteString("</g>\n")
	}
	for i := range cells {
		x, y := i%svgColumns*cell, top+i/svgColumns*cell
		fmt.Fprintf(out, `<rect x="%d" y="%d" width="%d" height="%d" fill="#f7fafc"/>`, x, y, cell-1, cell-1)
		bottom := float64(y + cell - 1)
		for _, k := range svgKinds {
			if h := scale(k.bytes(&cells[i]), cells[i].Size, cell-1); h > 0 {
				bottom -= h
				fmt.Fprintf(out, `<rect x="%d" y="%.2f" width="%d" height="%.2f" fill="%s"/>`, x, bottom, cell-1, h,
					k.colour)
			}
		}
		out.WriteByte('\n')
	}
	x := 0
	for _, k := range svgKinds {
		y := top + lines*cell + 6
		fmt.Fprintf(out, `<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", x,
			y, k.colour, x+14, y+9, k.name)
		x += 40 + 7*len(k.name)
	}
	out.WriteString("</svg>\n")
	return out.Flush()
}

func scale(n, of int64, to int) float64 {
	if of <= 0 {
		return 0
	}
	return float64(n) / float64(of) * float64(to)
}

// svgText is text that was read from a disk, without what XML cannot hold.
func svgText(s string) string { return html.EscapeString(plain.Line(s, 0)) }
