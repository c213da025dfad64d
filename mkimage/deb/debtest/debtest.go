// Package debtest makes Debian packages for tests.
package debtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// File is a record of a package: a directory if the name ends with a slash, a link if Link is set.
type File struct {
	Name, Text, Link string
}

// Package makes a package whose data is compressed as the suffix says: "", ".gz", ".xz" or ".zst". It has no control
// file, but the list of its files' MD5.
func Package(t testing.TB, suffix string, files ...File) []byte {
	t.Helper()
	return pack(t, suffix, []File{sums(files)}, files)
}

// WithControl is Package with the text of a control file.
func WithControl(t testing.TB, suffix, control string, files ...File) []byte {
	t.Helper()
	return pack(t, suffix, []File{{Name: "control", Text: control}, sums(files)}, files)
}

// Listed is Package with a list that is of other files.
func Listed(t testing.TB, suffix string, listed []File, files ...File) []byte {
	t.Helper()
	return pack(t, suffix, []File{sums(listed)}, files)
}

func pack(t testing.TB, suffix string, control, files []File) []byte {
	t.Helper()
	return Ar(map[string][]byte{"control.tar" + suffix: archive(t, suffix, control),
		"data.tar" + suffix: archive(t, suffix, files)}, "debian-binary", "control.tar"+suffix, "data.tar"+suffix)
}

// sums is the list md5sums.
func sums(files []File) File {
	var b strings.Builder
	for _, f := range files {
		if f.Link == "" && !strings.HasSuffix(f.Name, "/") {
			fmt.Fprintf(&b, "%x  %s\n", md5.Sum([]byte(f.Text)), f.Name)
		}
	}
	return File{Name: "md5sums", Text: b.String()}
}

func archive(t testing.TB, suffix string, files []File) []byte {
	t.Helper()
	var data bytes.Buffer
	z, err := compressor(&data, suffix)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: "./" + f.Name, Mode: 0o644, Size: int64(len(f.Text)), Typeflag: tar.TypeReg}
		switch {
		case f.Link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		case f.Name[len(f.Name)-1] == '/':
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.Text); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{w, z} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return data.Bytes()
}

// Ar makes an ar archive of members in the given order; a member without content is one byte long, so that padding is
// needed.
func Ar(content map[string][]byte, order ...string) []byte {
	b := []byte("!<arch>\n")
	for _, name := range order {
		data, ok := content[name]
		if !ok {
			data = []byte("x")
		}
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(data))
		b = append(b, data...)
		if len(data)%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func compressor(w io.Writer, suffix string) (io.WriteCloser, error) {
	switch suffix {
	case "":
		return nopCloser{w}, nil
	case ".gz":
		return gzip.NewWriter(w), nil
	case ".xz":
		return xz.NewWriter(w)
	case ".zst":
		return zstd.NewWriter(w)
	}
	return nil, fmt.Errorf("no compressor for %q", suffix)
}
