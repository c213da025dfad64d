// Package records goes through the files of a package, whatever its format, within limits: a package is from outside.
package records

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// MaxFile bounds one file of a package, in bytes. The largest in a kernel package is about 100 MB (an uncompressed
// vmlinux).
const MaxFile = 1 << 30

// Do is called for each record. Its name is clean and relative: "boot/vmlinuz-6.1.0". The reader is valid during the
// call and gives exactly header.Size bytes.
type Do func(header *tar.Header, content io.Reader) error

// Tar goes through a tar archive, in its order.
func Tar(r io.Reader, do Do) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if err := One(h, t, do); err != nil {
			return err
		}
	}
}

// One checks a record, makes its name clean, and calls do.
func One(h *tar.Header, content io.Reader, do Do) error {
	name, err := clean(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink { // another name of a file before it
		if h.Linkname, err = clean(h.Linkname); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if h.Size < 0 || h.Size > MaxFile {
		return fmt.Errorf("%s: %d bytes, more than %d", name, h.Size, MaxFile)
	}
	h.Name = name
	if err := do(h, content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// clean makes a name clean and relative.
func clean(name string) (string, error) {
	short := path.Clean(strings.TrimPrefix(name, "./"))
	if path.IsAbs(short) || short == ".." || strings.HasPrefix(short, "../") {
		return "", fmt.Errorf("%q leads out of the package", name)
	}
	return short, nil
}
