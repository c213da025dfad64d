// Package library is what can be done with images, through one interface with two ends: Local works on a store's
// directory, and the client of package web on the store of a server that runs elsewhere, which has a Local itself.
// Nothing is printed here.
package library

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// Library is a store of images. An image is named by its name, or by its digest, of which 12 digits are enough.
type Library interface {
	// List lists all images, also those that cannot be opened.
	List(ctx context.Context) ([]doc.ImageRow, error)
	// Show shows an image; parts above 0 cuts its disk into so many for a map.
	Show(ctx context.Context, ref string, parts int) (*doc.Image, error)
	// Diff compares two images; extents says where they differ.
	Diff(ctx context.Context, was, is string, extents bool) (*doc.ImageDiff, error)
	// Tag gives an image one more name.
	Tag(ctx context.Context, ref, name string) (*doc.ImageName, error)
	// Remove takes away a name, or by its digest an image with all its names.
	Remove(ctx context.Context, ref string) (*doc.ImageRemoved, error)
	// Do does what takes long. What was broken off and can go on where it was does so when it is asked for again.
	Do(ctx context.Context, spec doc.JobSpec, w Watch) (*doc.JobResult, error)
}

// Watch is told how long work goes on. Its functions may be nil.
type Watch struct {
	Progress image.Progress
	// Note is told in words what is odd on the way, such as a connection that broke and is taken up again.
	Note func(words string)
}

func (w *Watch) note(format string, args ...any) {
	if w.Note != nil {
		w.Note(fmt.Sprintf(format, args...))
	}
}

// Notes are what the operator should know of an open image: what its capture found, and what an image of an older
// version lacks.
func Notes(im *image.Image) []string {
	out := ConfigNotes(im.Config())
	for _, n := range im.AgeNotes() {
		out = append(out, "image: "+n)
	}
	return out
}

// ConfigNotes are what a capture found.
func ConfigNotes(c *image.Config) []string {
	var out []string
	for _, n := range c.Table.Notes {
		out = append(out, "disk: "+plain.Line(n, 0))
	}
	for _, n := range c.StartNotes() {
		out = append(out, plain.Line(n, 0))
	}
	for i := range c.Partitions {
		for _, n := range c.Partitions[i].Notes {
			out = append(out, fmt.Sprintf("partition %d: %s", c.Partitions[i].Number, plain.Line(n, 0)))
		}
	}
	return out
}

// Advised adds to an error about a damaged image of the store what can be done.
func Advised(err error) error {
	var damage *image.DamageError
	var done *advice
	if !errors.As(err, &damage) || damage.Image == "" || errors.As(err, &done) {
		return err
	}
	name := damage.Image
	if image.CheckName(name) != nil {
		name = "NAME" // it was asked for by its digest
	}
	where := ""
	if damage.Server != "" {
		where = " --server " + damage.Server
	}
	return &advice{fmt.Errorf("%w; import or capture the same disk again (`diskcast image import FILE --name %s%s`), "+
		"or fetch the image again from a sound copy "+
		"(`diskcast image import DIR --image %s --name %s%s`, `diskcast image pull`): what is damaged is then stored "+
		"anew", err, name, where, damage.Image, name, where)}
}

// advice is an error with what can be done about it.
type advice struct{ err error }

func (a *advice) Error() string { return a.err.Error() }
func (a *advice) Unwrap() error { return a.err }

// Kind is a word for programs of what went wrong; empty if there is none for it.
func Kind(err error) string {
	var damage *image.DamageError
	switch {
	case errors.As(err, &damage):
		return doc.KindDamaged
	case errors.Is(err, image.ErrNotFound):
		return doc.KindNotFound
	case errors.Is(err, image.ErrBusy):
		return doc.KindBusy
	}
	return ""
}
