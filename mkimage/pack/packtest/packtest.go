// Package packtest makes packages for tests: RPMs by rpmbuild, those of Arch and Alpine by their formats' documents.
package packtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// File is a record of a package: a link if Link is set, another name of the file Hard if that is.
type File struct {
	Name, Text, Link, Hard string
}

// Write writes the files below a folder.
func Write(t testing.TB, dir string, files ...File) {
	t.Helper()
	for _, f := range files {
		name := filepath.Join(dir, f.Name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil && f.Link != "" {
			err = os.Symlink(f.Link, name)
		} else if err == nil && f.Hard != "" {
			err = os.Link(filepath.Join(dir, f.Hard), name)
		} else if err == nil {
			err = os.WriteFile(name, []byte(f.Text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// RPM has rpmbuild make a package of version 6.1.0-1; payload is its setting _binary_payload, as w9.gzdio.
func RPM(t testing.TB, name, payload string, requires []string, files ...File) []byte {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	Write(t, tree, files...)
	var spec strings.Builder
	fmt.Fprintf(&spec, "Name: %s\nVersion: 6.1.0\nRelease: 1\nSummary: x\nLicense: GPL\nAutoReqProv: no\n", name)
	for _, r := range requires {
		fmt.Fprintf(&spec, "Requires: %s\n", r)
	}
	fmt.Fprintf(&spec, "%%description\nx\n%%install\ncp -a %s/. %%{buildroot}/\n%%files\n%%defattr(-,root,root)\n",
		tree)
	for _, f := range files {
		fmt.Fprintf(&spec, "/%s\n", f.Name)
	}
	file := filepath.Join(dir, "x.spec")
	if err := os.WriteFile(file, []byte(spec.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rpmbuild", "-bb", "--target", "x86_64", "--define", "_topdir "+dir, "--define",
		"_binary_payload "+payload, "--define", "__os_install_post %{nil}", "--define", "debug_package %{nil}",
		"--define", "_build_id_links none", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rpmbuild: %v\n%s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "RPMS", "*", "*.rpm"))
	if err != nil || len(made) != 1 {
		t.Fatalf("rpmbuild made %v: %v", made, err)
	}
	data, err := os.ReadFile(made[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// PkgInfo makes a package of Arch ("arch") or Alpine ("apk") with a file .PKGINFO.
func PkgInfo(t testing.TB, format, info string, files ...File) []byte {
	t.Helper()
	control := []File{{Name: ".PKGINFO", Text: info}}
	if format == "arch" {
		return compressed(t, format, archive(t, true, append(control, files...)))
	}
	return bytes.Join([][]byte{
		compressed(t, format, archive(t, false, []File{{Name: ".SIGN.RSA.x.rsa.pub", Text: "signature"}})),
		compressed(t, format, archive(t, false, control)),
		compressed(t, format, archive(t, true, files)),
	}, nil)
}

// archive is a tar archive; without an end, another may follow it.
func archive(t testing.TB, end bool, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Text)), Typeflag: tar.TypeReg}
		if f.Link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		}
		if f.Hard != "" {
			h.Typeflag, h.Linkname = tar.TypeLink, f.Hard
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.Text); err != nil {
			t.Fatal(err)
		}
	}
	finish := w.Flush
	if end {
		finish = w.Close
	}
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compressed(t testing.TB, format string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if format == "arch" {
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
