// Package packtest makes packages for tests: RPMs by rpmbuild, those of Arch and Alpine by their formats' documents.
package packtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
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

// Unsummed is the format of an Arch package whose compression has no checksum, as bsdtar's.
const Unsummed = "arch without a checksum"

// PkgInfo makes a package of Arch ("arch", Unsummed) or Alpine ("apk") with a file .PKGINFO, and the sums that makepkg
// and abuild put into one.
func PkgInfo(t testing.TB, format, info string, files ...File) []byte {
	t.Helper()
	if format != "apk" {
		return Listed(t, format, info, files, files...)
	}
	data := compressed(t, format, archive(t, true, files))
	info += fmt.Sprintf("datahash = %x\n", sha256.Sum256(data))
	return bytes.Join([][]byte{
		compressed(t, format, archive(t, false, []File{{Name: ".SIGN.RSA.x.rsa.pub", Text: "signature"}})),
		compressed(t, format, archive(t, false, []File{{Name: ".PKGINFO", Text: info}})), data}, nil)
}

// Listed is PkgInfo of Arch with a list that is of other files.
func Listed(t testing.TB, format, info string, listed []File, files ...File) []byte {
	t.Helper()
	list := "#mtree\n/set type=file uid=0 gid=0 mode=644\n"
	for _, f := range listed {
		if f.Link == "" && f.Hard == "" {
			list += fmt.Sprintf("./%s time=0.0 size=%d sha256digest=%x\n", strings.ReplaceAll(f.Name, " ", `\040`),
				len(f.Text), sha256.Sum256([]byte(f.Text)))
		}
	}
	control := []File{{Name: ".MTREE", Text: string(compressed(t, "apk", []byte(list)))},
		{Name: ".PKGINFO", Text: info}}
	return compressed(t, format, archive(t, true, append(control, files...)))
}

// Unlisted is PkgInfo of Arch without a list.
func Unlisted(t testing.TB, info string, files ...File) []byte {
	t.Helper()
	return compressed(t, "arch", archive(t, true, append([]File{{Name: ".PKGINFO", Text: info}}, files...)))
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
	if format != "apk" {
		z, err := zstd.NewWriter(&b, zstd.WithEncoderCRC(format != Unsummed))
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
