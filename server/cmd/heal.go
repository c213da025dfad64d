package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
)

// isSound is what is said of a blob that was damaged.
const isSound = "blob %s of the store was damaged, and is sound again."

// soundAgain says which blobs of those that the store knew as damaged were stored anew.
func soundAgain(st *image.Store, marked map[string]bool) (notes []string) {
	if len(marked) == 0 {
		return nil
	}
	still := st.Damaged()
	for _, blob := range slices.Sorted(maps.Keys(marked)) {
		if !still[blob] {
			notes = append(notes, fmt.Sprintf(isSound, blob))
		}
	}
	return notes
}

// healing stores a disk again whose bytes the store seemed to have already, in blobs that are damaged.
type healing struct {
	*env
	st    *image.Store
	o     capture.Options
	notes []string // for the operator
}

// again captures without what is damaged in the image of the digest; found is the damage. A blob that comes out with
// the same bytes as it once had takes the place of the damaged one, and heals every image that has it.
func (h *healing) again(ctx context.Context, src io.ReaderAt, size int64, sector int, digest string,
	found error) (*capture.Result, error) {
	bad, err := h.damaged(ctx, digest)
	if err != nil {
		return nil, err
	}
	if len(bad) == 0 {
		return nil, found
	}
	h.Warn(fmt.Sprintf("the store has some of these bytes in damaged blobs (%s): they are stored anew",
		strings.Join(bad, ", ")))
	h.o.Without = bad
	bar := h.Progress("reading again")
	h.o.Progress = bar.Update
	r, err := capture.Capture(ctx, src, size, sector, h.o)
	bar.Close()
	if err != nil {
		return nil, fmt.Errorf("storing anew what is damaged in the store: %w", err)
	}
	for _, b := range bad {
		note, err := h.outcome(ctx, b)
		if err != nil {
			return nil, err
		}
		h.notes = append(h.notes, note)
	}
	return r, nil
}

func (h *healing) damaged(ctx context.Context, digest string) ([]string, error) {
	im, err := h.st.Open(digest)
	if err != nil {
		return nil, err
	}
	defer im.Close()
	bad, err := h.st.MarkDamaged(ctx, im)
	if err != nil && len(bad) > 0 {
		h.Note(err.Error())
		return bad, nil
	}
	return bad, err
}

// outcome says what became of a blob that was damaged, and which images still need it.
func (h *healing) outcome(ctx context.Context, blob string) (string, error) {
	list, err := h.st.List()
	if err != nil {
		return "", err
	}
	var still []string
	for _, x := range list {
		im, err := h.st.Open(x.Digest)
		if err != nil {
			continue // damaged in another way
		}
		has := slices.ContainsFunc(im.Blobs(), func(b image.Blob) bool { return b.Digest == blob })
		var bad []string
		if has {
			bad, err = im.DamagedBlobs(ctx)
		}
		if err := errors.Join(err, im.Close()); err != nil {
			return "", err
		}
		if slices.Contains(bad, blob) {
			still = append(still, cmp.Or(x.Name, short(x.Digest)))
		} else if has {
			break // it is sound again, for whoever has it
		}
	}
	if len(still) == 0 {
		return fmt.Sprintf(isSound, blob), nil
	}
	return fmt.Sprintf("blob %s of the store is damaged. What this image needs of it was stored anew; these still "+
		"have it: %s. Import their disks again too, "+
		"and free the rest with `diskcast image gc --unnamed`.", blob, strings.Join(still, ", ")), nil
}
