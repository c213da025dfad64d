package library

import (
	"cmp"
	"context"
	"slices"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/doc"
)

// Local is a store's directory.
type Local struct {
	st     *image.Store
	before func() error // of a garbage collection; nil: nothing
}

var _ Library = (*Local)(nil)

// NewLocal returns the library of a store.
func NewLocal(st *image.Store) *Local { return &Local{st: st} }

// BeforeGC has f called before each garbage collection, and returns the library.
func (l *Local) BeforeGC(f func() error) *Local {
	l.before = f
	return l
}

// Store is the store itself, for what only its own machine can do with it.
func (l *Local) Store() *image.Store { return l.st }

// List implements Library.
func (l *Local) List(ctx context.Context) ([]doc.ImageRow, error) {
	list, err := l.st.List()
	if err != nil {
		return nil, err
	}
	out := []doc.ImageRow{}
	damaged := l.st.Damaged()
	for _, x := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := doc.ImageRow{Name: x.Name, Digest: x.Digest, Created: x.Created}
		if im, err := l.st.Open(cmp.Or(x.Name, x.Digest)); err != nil {
			row.Problem = Advised(err).Error()
		} else if i := slices.IndexFunc(im.Blobs(), func(b image.Blob) bool { return damaged[b.Digest] }); i >= 0 {
			row.Problem = Advised(&image.DamageError{Image: im.Name(), Chunk: -1, Blob: im.Blobs()[i].Digest,
				Reason: "an earlier look at its bytes (`diskcast image verify`, an import) found it so"}).Error()
			if err := im.Close(); err != nil {
				return nil, err
			}
		} else {
			row.Disk, row.Object, row.Firmware = im.Config().DiskSize, im.ObjectSize(), im.Config().Firmware
			row.Notes = Notes(im)
			if err := im.Close(); err != nil {
				return nil, err
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// Show implements Library.
func (l *Local) Show(_ context.Context, ref string, parts int) (*doc.Image, error) {
	im, err := l.st.Open(ref)
	if err != nil {
		return nil, Advised(err)
	}
	defer im.Close()
	x := im.Index()
	v := &doc.Image{Name: ref, Digest: im.Manifest(), Object: im.ObjectSize(), Chunks: len(x.Chunks),
		Frames: len(x.Frames), Grid: x.Grid,
		Shared: []doc.ImageShared{}, Config: im.Config(), Notes: append([]string{}, Notes(im)...)}
	for _, b := range im.Blobs() {
		v.Blobs = append(v.Blobs, doc.ImageBlob(b))
	}
	frames := map[int]bool{}
	list, err := l.st.Shared(im, func(n int) { frames[n] = true })
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		v.Shared = append(v.Shared, doc.ImageShared(s))
	}
	for n := range frames {
		v.SharedBytes += x.Frames[n].Length
	}
	if parts > 0 {
		for _, c := range x.Map(min(parts, doc.MaxImageParts), func(f int) bool { return frames[f] }) {
			v.Map = append(v.Map, doc.ImagePart(c))
		}
	}
	return v, nil
}

// Diff implements Library.
func (l *Local) Diff(_ context.Context, was, is string, extents bool) (*doc.ImageDiff, error) {
	a, err := l.st.Open(was)
	if err != nil {
		return nil, Advised(err)
	}
	defer a.Close()
	b, err := l.st.Open(is)
	if err != nil {
		return nil, Advised(err)
	}
	defer b.Close()
	d := image.Diff(a.Index(), b.Index())
	v := &doc.ImageDiff{SameDisk: a.Config().Content == b.Config().Content, Same: d.Same, Moved: d.Moved,
		Changed: d.Changed, Added: d.Added, Removed: d.Removed,
		New: d.New, Object: b.ObjectSize()}
	if extents {
		v.Extents = []doc.ImageExtent{}
		for _, x := range d.Cells {
			v.Extents = append(v.Extents, doc.ImageExtent(x))
		}
	}
	return v, nil
}

// Tag implements Library.
func (l *Local) Tag(_ context.Context, ref, name string) (*doc.ImageName, error) {
	digest, err := l.st.Resolve(ref)
	if err != nil {
		return nil, err
	}
	return &doc.ImageName{Name: name, Digest: digest}, l.st.Tag(digest, name)
}

// Remove implements Library.
func (l *Local) Remove(_ context.Context, ref string) (*doc.ImageRemoved, error) {
	digest, err := l.st.Resolve(ref)
	if err != nil {
		return nil, err
	}
	if err := l.st.Remove(ref); err != nil {
		return nil, err
	}
	list, err := l.st.List()
	if err != nil {
		return nil, err
	}
	v := &doc.ImageRemoved{Removed: ref, Digest: digest, NamesLeft: []string{}}
	for _, x := range list {
		if x.Digest == digest && x.Name != "" {
			v.NamesLeft = append(v.NamesLeft, x.Name)
		}
	}
	return v, nil
}
