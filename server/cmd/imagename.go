package cmd

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/server/library"
)

// named is the digest of the image that has the name before it may be given to another; empty for none.
func (e *env) named(ctx context.Context, l library.Library, name string) string {
	v, err := l.Show(ctx, name, 0)
	if err != nil {
		return "" // there is none, or one that is damaged and is healed by what comes
	}
	return v.Digest
}

// nameMoved says that a name was taken from an image, and how it is had back. That image stays.
func (e *env) nameMoved(name, was, is string) {
	if was != "" && was != is {
		e.Note(fmt.Sprintf("the name %s was moved from the image %s to %s; the one before stays in the store until "+
			"`diskcast image gc --unnamed`, and `diskcast image tag %s NAME` gives it a name", name, short(was),
			short(is), short(was)))
	}
}
