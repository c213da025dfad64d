// Package debtest makes Debian packages for tests.
package debtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// File is a record of a package: a directory if the name ends with a slash, a link if Link is set.
type File struct {
	Name, Text, Link string
}

// Package makes a package whose data is compressed as the suffix says: "", ".gz", ".xz" or ".zst".
func Package(t testing.TB, suffix string, files ...File) []byte {
	t.Helper()
	return Ar(map[string][]byte{"data.tar" + suffix: archive(t, suffix, files)}, "debian-binary", "control.tar.xz",
		"data.tar"+suffix)
}

// WithControl is Package with the text of a control file.
func WithControl(t testing.TB, suffix, control string, files ...File) []byte {
	t.Helper()
	return Ar(map[string][]byte{"control.tar.xz": archive(t, ".xz", []File{{Name: "control", Text: control}}),
		"data.tar" + suffix: archive(t, suffix, files)},
		"debian-binary", "control.tar.xz", "data.tar"+suffix)
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
