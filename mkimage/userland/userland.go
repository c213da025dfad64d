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
)

//go:embed all:*
var files embed.FS

// ErrMissing is the error of a mkimage that was compiled before the userland.
var ErrMissing = errors.New("this mkimage was built without a userland: run `make` (or `go run ./initramfs/build` " +
	"and then `go build ./mkimage`)")

// Archive returns the compressed archive.
func Archive() ([]byte, error) {
	data, err := files.ReadFile("userland.cpio.gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, fmt.Errorf("embedded userland: %w", err)
	}
	return data, nil
}
