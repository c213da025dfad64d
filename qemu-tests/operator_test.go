package qemutests

import (
	"context"

	"github.com/diskcast/diskcast/qemu-tests/box"
)

// boxed is a server's machine that is a box.
type boxed struct{ *box.Box }

func (b *boxed) types(ctx context.Context, command string) (string, error) {
	return b.Run(ctx, command)
}
