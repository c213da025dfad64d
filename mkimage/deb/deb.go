// Package deb reads Debian binary packages: an ar archive of a version, a control tar and a data tar (deb(5)).
//
// It needs no dpkg, so that mkimage can take a kernel out of a package on any system, and it does not install anything.
package deb

import (
	"bufio"
	"compress/gzip"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/diskcast/diskcast/mkimage/records"
)

// Magic is how a package starts: the magic of an ar archive.
const Magic = "!<arch>\n"

// Read calls do for every record of the package's data, in the order of the package, and reads the package to its end:
// what do got of a damaged one is an error then, at the latest. It returns the control file, empty where there is none.
func Read(r io.Reader, do records.Do) (control string, err error) {
	a, err := newArReader(r)
	if err != nil {
		return "", err
	}
	sums := &records.Sums{Name: sumsFile, New: md5.New}
	controls, data := false, false
	for {
		name, content, err := a.next()
		switch {
		case errors.Is(err, io.EOF) && !data:
			return "", errors.New("no data.tar: not a Debian package")
		case errors.Is(err, io.EOF):
			return control, nil
		case err != nil:
			return "", err
		case strings.HasPrefix(name, controlMember) && !controls && data:
			return "", fmt.Errorf("%s is behind data.tar: not a Debian package", name)
		case strings.HasPrefix(name, controlMember) && !controls:
			controls = true
			control, err = readControl(name, content, sums)
		case strings.HasPrefix(name, "data.tar") && !data:
			data = true
			err = walk(name, content, sums.Hold(do))
		}
		if err != nil {
			return "", err
		}
	}
}

// walk goes through one of the archives in the package, to the end of its member.
func walk(name string, content io.Reader, do records.Do) error {
	plain, done, err := decompress(name, content)
	if err == nil {
		defer done()
		err = records.Whole(plain, do)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// decompress opens a member of the package by the suffix of its name; deb(5) has these and no others since lzma was
// dropped.
func decompress(name string, r io.Reader) (io.Reader, func(), error) {
	nothing := func() {}
	switch path.Ext(name) {
	case ".tar":
		return r, nothing, nil
	case ".gz":
		z, err := gzip.NewReader(r)
		return z, nothing, err
	case ".xz":
		// dpkg-deb's highest level has a dictionary of 64 MiB. The header of a stream may claim up to 4 GiB.
		z, err := xz.NewReader(bufio.NewReaderSize(r, 1<<16), 128<<20)
		return z, nothing, err
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	}
	return nil, nothing, fmt.Errorf("compression %q is not known", path.Ext(name))
}
