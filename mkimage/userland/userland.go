// Package userland carries the node's userland inside mkimage.
//
// The archive is built from this project's sources before mkimage is compiled (go run ./initramfs/build), so that
// mkimage itself needs no Go toolchain. It is embedded as a folder that always holds a README: a fresh checkout must
// compile too.
package userland

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/diskcast/diskcast/internal/bootdir"
)

//go:embed all:*
var files embed.FS

// ErrMissing is the error of a mkimage that was compiled before the userland.
var ErrMissing = errors.New("this mkimage was built without a userland: run `make` (or `go run ./initramfs/build` " +
	"and then `go build ./mkimage`)")

// Archive returns the compressed archive for nodes of the architecture.
func Archive(arch bootdir.Arch) ([]byte, error) {
	name, how := "userland.cpio.gz", ErrMissing
	if arch != bootdir.AMD64 {
		name, how = "userland-"+string(arch)+".cpio.gz", fmt.Errorf("this mkimage was built without a userland for "+
			"machines of %s: run `make %[1]s`", arch)
	}
	data, err := files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, how
	}
	if err != nil {
		return nil, fmt.Errorf("embedded userland: %w", err)
	}
	return data, nil
}
