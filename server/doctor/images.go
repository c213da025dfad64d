package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

// lookImages looks whether the store's images can be found, and whether some are known to be damaged.
func lookImages(ctx context.Context, s *Subject, l *Look) {
	st, err := image.FindStore(s.Store)
	if errors.Is(err, image.ErrNoStore) {
		l.well("there are no images in %s yet", s.Store)
		return
	}
	var all []doc.ImageRow
	if err == nil {
		all, err = library.NewLocal(st).List(ctx)
	}
	if damage, ok := errors.AsType[*image.DamageError](err); ok {
		l.find(ImagesLost, fmt.Sprintf("%s is damaged", damage.File), "no image can be used, and the server does not "+
			"start again: "+damage.Reason, "diskcast image list --store "+s.Store)
		return
	}
	if err != nil {
		l.not("the images in %s: %v", s.Store, err)
		return
	}
	var bad []string
	for _, x := range all {
		if x.Problem != "" {
			bad = append(bad, cmp.Or(x.Name, x.Digest))
		}
	}
	if len(bad) > 0 {
		l.find(ImagesDamaged, fmt.Sprintf("images in %s are damaged: %s", s.Store, strings.Join(bad, ", ")),
			"a machine that restores one ends in the middle",
			"import them again from what they were made of, or `diskcast image rm`")
		return
	}
	l.well("images in %s: %d, none of which was found damaged", s.Store, len(all))
}
