package pack

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/diskcast/diskcast/mkimage/records"
)

// maxPkgInfo bounds .PKGINFO, in bytes.
const maxPkgInfo = 1 << 20

// readPkgInfo reads a package of Arch or Alpine: a tar archive with a file .PKGINFO in it (Arch: BUILDINFO(5) and the
// wiki's "Creating packages"; Alpine: the wiki's "Apk spec"). Alpine's is several gzip streams one behind the other, of
// signature, control and data, whose archives have no end but the last: read as one stream they are one archive.
func readPkgInfo(f io.ReadSeeker, format string, do records.Do) (*Info, error) {
	if format == APK && do != nil {
		if err := checkData(f); err != nil {
			return nil, err
		}
	}
	r, done, err := plain(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return nil, err
	}
	defer done()
	info := &Info{Format: format}
	found := errors.New("found")
	sums := &records.Sums{Name: mtree, New: sha256.New}
	if do != nil {
		do = sums.Hold(do)
	}
	listed := format != Arch // the sum of Alpine's data is in .PKGINFO
	err = records.Whole(r, func(h *tar.Header, content io.Reader) error {
		switch {
		case h.Name == ".PKGINFO":
			text, err := io.ReadAll(io.LimitReader(content, maxPkgInfo))
			if err != nil {
				return err
			}
			info.parse(string(text))
			if do == nil {
				return found
			}
			return nil
		case h.Name == mtree && do != nil:
			listed = true
			return readMtree(content, sums)
		case strings.HasPrefix(h.Name, ".") && !strings.Contains(h.Name, "/") || do == nil:
			return nil // .BUILDINFO, .SIGN.RSA..., .post-install
		case !listed:
			return fmt.Errorf("nothing before it says what the package's files must be (no %s, which makepkg always "+
				"makes), so that damage would not be seen: fetch the package from its distribution, or build it anew "+
				"with makepkg", mtree)
		}
		return do(h, content)
	})
	switch {
	case errors.Is(err, tar.ErrHeader) && info.Name == "":
		return nil, errors.New("what is compressed in it is no tar archive: not a package of Arch or Alpine")
	case err != nil && !errors.Is(err, found):
		return nil, err
	case info.Name == "":
		return nil, fmt.Errorf("no .PKGINFO with a name: not a package of Arch or Alpine")
	}
	return info, nil
}

// plain decompresses by the first bytes.
func plain(r *bufio.Reader) (io.Reader, func(), error) {
	nothing := func() {}
	first, err := r.Peek(MagicSize)
	if err != nil {
		return nil, nothing, err
	}
	switch first[0] {
	case 0x1f:
		z, err := gzip.NewReader(r)
		return z, nothing, err
	case 0xfd:
		z, err := xz.NewReader(r, 128<<20)
		return z, nothing, err
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, nothing, err
	}
	return z, z.Close, nil
}

// dependency is the name in "linux-lts>=6.1" or "so:libc.musl-x86_64.so.1".
var dependency = regexp.MustCompile(`^[A-Za-z0-9@_+:/-][A-Za-z0-9@._+:/-]*`)

// parse reads "key = value" lines.
func (i *Info) parse(text string) {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		switch key {
		case "pkgname":
			i.Name = value
		case "pkgver":
			i.Version = value
		case "arch":
			i.Arch = value
		case "depend":
			if name := dependency.FindString(value); name != "" {
				i.Depends = append(i.Depends, name)
			}
		}
	}
}
