package page

import (
	"fmt"
	"net/http"

	"github.com/diskcast/diskcast/server/doc"
)

// Columns and lines of the picture of a disk.
const (
	mapColumns, mapLines = 96, 12
	mapCell              = 10 // units of the picture
)

// imagesView is the list.
type imagesView struct {
	Rows  []doc.ImageRow
	Bytes int64
	Pages pager
	Jobs  []jobView // that go on
}

func (v *visit) images() error {
	all, err := get[[]doc.ImageRow](v, "/v1/images")
	if err != nil {
		return err
	}
	d := &imagesView{Pages: v.cut(len(all))}
	for i := range all {
		d.Bytes += all[i].Object
	}
	d.Rows = all[d.Pages.From:d.Pages.To]
	if d.Jobs, err = v.going(); err != nil {
		return err
	}
	return v.show(http.StatusOK, "images", "Images", d)
}

// piece is a filled part of the picture.
type piece struct {
	Class            string
	X, Y, W, H       float64
	Label, Title     string
	TextX, TextWidth float64
}

// imageView is one image.
type imageView struct {
	*doc.Image
	Names         []string // of this digest
	Width, Height int      // of the picture
	Partitions    []piece
	Cells         []piece
	Part          int64 // bytes of a cell
	Used          int64 // of the disk, that only this image has
	Common        int64 // that another has too
	Zero          int64
}

func (v *visit) image() error {
	ref := v.r.PathValue("image")
	im, err := get[*doc.Image](v, fmt.Sprintf("/v1/images/%%s?map=%d", mapColumns*mapLines), ref)
	if err != nil {
		return err
	}
	rows, err := get[[]doc.ImageRow](v, "/v1/images")
	if err != nil {
		return err
	}
	d := &imageView{Image: im, Width: mapColumns * mapCell, Height: 48}
	for i := range rows {
		if rows[i].Digest == im.Digest && rows[i].Name != "" {
			d.Names = append(d.Names, rows[i].Name)
		}
	}
	size := im.Config.DiskSize
	scale := func(n int64) float64 {
		if size <= 0 {
			return 0
		}
		return float64(n) / float64(size) * float64(d.Width)
	}
	for i := range im.Config.Partitions {
		p := &im.Config.Partitions[i]
		label, title := fmt.Sprintf("%d %s", p.Number, p.FS), fmt.Sprintf("partition %d, %s", p.Number, p.FS)
		if p.Number == 0 { // a disk without a table
			label, title = p.FS, "the whole disk, "+p.FS
		}
		x := piece{X: scale(p.Start), Y: 4, W: scale(p.Size), H: 32, Label: label,
			Title: title}
		if x.TextX = x.X + 6; x.W < float64(9*len(label)) {
			x.Label = ""
		}
		d.Partitions = append(d.Partitions, x)
	}
	for i := range im.Map {
		c := &im.Map[i]
		d.Part = max(d.Part, c.Size)
		d.Used, d.Common, d.Zero = d.Used+c.Used, d.Common+c.Shared, d.Zero+c.Zero
		x, y := float64(i%mapColumns*mapCell), float64(44+i/mapColumns*mapCell)
		d.Cells = append(d.Cells, piece{Class: "none", X: x, Y: y, W: mapCell - 1, H: mapCell - 1})
		bottom := y + mapCell - 1
		for _, k := range []struct {
			class string
			n     int64
		}{{"used", c.Used}, {"shared", c.Shared}, {"zero", c.Zero}} {
			if k.n > 0 && c.Size > 0 {
				h := float64(k.n) / float64(c.Size) * (mapCell - 1)
				bottom -= h
				d.Cells = append(d.Cells, piece{Class: k.class, X: x, Y: bottom, W: mapCell - 1, H: h})
			}
		}
	}
	d.Height = 44 + (len(im.Map)+mapColumns-1)/mapColumns*mapCell
	return v.show(http.StatusOK, "image", im.Name, d)
}
