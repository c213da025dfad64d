package pack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/pack"
	"github.com/diskcast/diskcast/mkimage/pack/packtest"
)

// tree is what is in each package.
var tree = []packtest.File{
	{Name: "usr/lib/modules/6.1.0-1/vmlinuz", Text: "kernel"},
	{Name: "usr/lib/modules/6.1.0-1/kernel/a.ko", Text: "module"},
	{Name: "usr/lib/modules/6.1.0-1/empty"},
	{Name: "usr/lib/modules/6.1.0-1/build", Link: "/usr/src"},
}

var want = []string{"0 usr/lib/modules/6.1.0-1/empty ", "0 usr/lib/modules/6.1.0-1/kernel/a.ko module",
	"0 usr/lib/modules/6.1.0-1/vmlinuz kernel", "2 usr/lib/modules/6.1.0-1/build /usr/src"}

func read(data []byte) (list []string, info *pack.Info, err error) {
	info, err = pack.Read(bytes.NewReader(data), func(h *tar.Header, r io.Reader) error {
		if h.Typeflag == tar.TypeDir {
			return nil
		}
		text, err := io.ReadAll(r)
		list = append(list, fmt.Sprintf("%c %s %s%s", h.Typeflag, h.Name, text, h.Linkname))
		return err
	})
	slices.Sort(list)
	return list, info, err
}

func check(t *testing.T, data []byte, wantInfo pack.Info) {
	t.Helper()
	got, info, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(&wantInfo, info); d != "" {
		t.Error(d)
	}
	if only, err := pack.Read(bytes.NewReader(data), nil); err != nil || only.Name != wantInfo.Name {
		t.Errorf("without its files it is %+v: %v", only, err)
	}
}

// Packages by the formats' documents.
func TestRead(t *testing.T) {
	const name, version = "linux-lts", "6.1.0-r1"
	info := pack.Info{Name: name, Version: version, Arch: "x86_64",
		Depends: []string{"kmod", "so:libc.musl-x86_64.so.1"}}
	for _, format := range []string{pack.Arch, pack.APK} {
		t.Run(format, func(t *testing.T) {
			info.Format = format
			check(t, packtest.PkgInfo(t, format, "# made\npkgname = "+name+"\npkgver = "+version+
				"\narch = x86_64\ndepend = kmod>=29\ndepend = so:libc.musl-x86_64.so.1\n", tree...), info)
		})
	}
	t.Run("deb", func(t *testing.T) {
		files := []debtest.File{}
		for _, f := range tree {
			files = append(files, debtest.File{Name: f.Name, Text: f.Text, Link: f.Link})
		}
		check(t, debtest.WithControl(t, ".xz",
			"Package: linux-image-1\nVersion: 1-1\nArchitecture: amd64\nDepends: kmod\n",
			files...), pack.Info{Format: "deb", Name: "linux-image-1", Version: "1-1", Arch: "amd64",
			Depends: []string{"kmod"}})
	})
}

// rpmbuild is the judge of the RPM format, with each compression that distributions use.
func TestRPM(t *testing.T) {
	need.Tool(t, "rpmbuild")
	for _, payload := range []string{"w3.zstdio", "w9.gzdio", "w6.xzdio", "w.ufdio"} {
		t.Run(payload, func(t *testing.T) {
			data := packtest.RPM(t, "kernel-core", payload, []string{"kernel-modules-core-uname-r = 6.1.0-1"}, tree...)
			_, info, err := read(data)
			if err != nil {
				t.Fatal(err)
			}
			if i := slices.Index(info.Depends, "kernel-modules-core-uname-r"); i < 0 {
				t.Errorf("depends %v", info.Depends)
			}
			check(t, data, pack.Info{Format: "rpm", Name: "kernel-core", Version: "6.1.0-1", Arch: "x86_64",
				Depends: info.Depends})
		})
	}
}

// retag gives entries of an RPM's headers other numbers, by which they are what nobody looks for.
func retag(t testing.TB, rpm []byte, tags ...uint32) []byte {
	t.Helper()
	rpm = bytes.Clone(rpm)
	entries := func(at int) (n, end int) {
		n = int(binary.BigEndian.Uint32(rpm[at+8:]))
		return n, at + 16 + 16*n + int(binary.BigEndian.Uint32(rpm[at+12:]))
	}
	first := 96
	_, second := entries(first)
	for _, at := range []int{first, (second + 7) / 8 * 8} {
		n, _ := entries(at)
		for i := range n {
			if e := rpm[at+16+16*i:]; slices.Contains(tags, binary.BigEndian.Uint32(e)) {
				binary.BigEndian.PutUint32(e, 9999)
			}
		}
	}
	return rpm
}

// Tags of an RPM's headers: digests of the header alone, of both, and of the payload.
const (
	tagSHA1, tagSHA256, tagMD5, tagPayload, tagKind = 269, 273, 1004, 5092, 5093
)

// TestDamagedRPM has RPMs with one bit flipped in what no checksum of the compression covers, and with bytes behind
// their end. What is asked for is who notices.
func TestDamagedRPM(t *testing.T) {
	need.Tool(t, "rpmbuild")
	whole := packtest.RPM(t, "kernel-core", "w.ufdio", nil, tree...)
	// The MD5 of a header that was changed is another, which is written in its place.
	old := retag(t, whole, tagSHA1, tagSHA256, tagPayload)
	n, data := binary.BigEndian.Uint32(old[96+8:]), binary.BigEndian.Uint32(old[96+12:])
	from := 96 + (16+16*n+data+7)/8*8
	for i := range n {
		if e := old[96+16+16*i:]; binary.BigEndian.Uint32(e) == tagMD5 {
			sum := md5.Sum(old[from:])
			copy(old[96+16+16*n+binary.BigEndian.Uint32(e[8:]):], sum[:])
		}
	}
	for name, c := range map[string]struct {
		rpm  []byte
		want string // of the error for a damaged one
	}{
		"SHA-256":       {whole, "the payload is not what the header says (SHA-256 "},
		"kind not said": {retag(t, whole, tagSHA1, tagSHA256, tagKind), "(SHA-256 "},
		"before 4.14":   {old, "the payload is not what the header says (MD5 "},
	} {
		if list, _, err := read(c.rpm); err != nil || !slices.Equal(list, want) {
			t.Errorf("%s: as it was made: %q, %v", name, list, err)
		}
		flipped := bytes.Clone(c.rpm)
		flipped[bytes.Index(flipped, []byte("module\x00"))] ^= 1
		for what, damaged := range map[string][]byte{"flipped": flipped, "longer": append(bytes.Clone(c.rpm), 0)} {
			list, _, err := read(damaged)
			if err == nil || len(list) > 0 || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "fetch it again") {
				t.Errorf("%s, %s: %d files and error %v, want %q", name, what, len(list), err, c.want)
			}
		}
	}
	for name, c := range map[string]struct {
		rpm  []byte
		want string
	}{
		"no digest": {retag(t, whole, tagSHA1, tagSHA256, tagMD5, tagPayload), "nothing in it says what its payload"},
		"header": {bytes.Replace(whole, []byte("6.1.0\x00"), []byte("6.1.9\x00"), 1),
			"SHA-256 mismatch in signature header"},
		"old header": {bytes.Replace(retag(t, whole, tagSHA256), []byte("6.1.0\x00"), []byte("6.1.9\x00"), 1),
			"SHA-1 mismatch in signature header"},
	} {
		if list, _, err := read(c.rpm); err == nil || len(list) > 0 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d files and error %v, want %q", name, len(list), err, c.want)
		}
	}
	zstd := packtest.RPM(t, "kernel-core", "w3.zstdio", nil, tree...)
	for at := len(zstd) - 8; at < len(zstd); at++ {
		damaged := bytes.Clone(zstd)
		damaged[at] ^= 1
		if _, _, err := read(damaged); err == nil || !strings.Contains(err.Error(), "fetch it again") {
			t.Errorf("zstd, byte %d flipped: error %v", at, err)
		}
	}
}

// TestDamaged has packages cut, longer, and with a bit of each byte flipped: what is read without an error is what was
// packed.
func TestDamaged(t *testing.T) {
	for _, format := range []string{pack.Arch, packtest.Unsummed, pack.APK} {
		whole := packtest.PkgInfo(t, format, "pkgname = x\npkgver = 1\n", append(tree,
			packtest.File{Name: "usr/a b", Text: "space"})...)
		want, _, err := read(whole)
		if err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			if _, _, err := read(whole[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are taken", format, n, len(whole))
			}
		}
		for _, more := range []string{"\n", "\x00", strings.Repeat("garbage", 20)} {
			if _, _, err := read(append(bytes.Clone(whole), more...)); err == nil {
				t.Errorf("%s: %q behind the end is taken", format, more)
			}
		}
		for at := range whole {
			damaged := bytes.Clone(whole)
			damaged[at] ^= 1 << (at % 8)
			got, _, err := read(damaged)
			if err == nil && !slices.Equal(got, want) {
				t.Errorf("%s: with a bit of byte %d of %d flipped it is %q", format, at, len(whole), got)
			}
			if err == nil && format == pack.APK && at >= len(whole)-20 {
				t.Errorf("%s: a flipped bit of byte %d of %d is taken", format, at, len(whole))
			}
		}
	}
}

// TestHardLinks has one file under three names: each is told, behind the one that has the content.
func TestHardLinks(t *testing.T) {
	need.Tool(t, "rpmbuild")
	files := []packtest.File{{Name: "lib/a.ko", Text: "module"}, {Name: "lib/b.ko", Hard: "lib/a.ko"},
		{Name: "lib/c.ko", Hard: "lib/a.ko"}}
	for format, data := range map[string][]byte{
		"arch": packtest.PkgInfo(t, "arch", "pkgname = linux\n", files...),
		"apk":  packtest.PkgInfo(t, "apk", "pkgname = linux\n", files...),
		"rpm":  packtest.RPM(t, "kernel-core", "w3.zstdio", nil, files...),
	} {
		var names []string
		content := map[string]string{}
		_, err := pack.Read(bytes.NewReader(data), func(h *tar.Header, r io.Reader) error {
			text, err := io.ReadAll(r)
			if h.Typeflag == tar.TypeLink {
				text = []byte(content[h.Linkname])
			}
			if h.Typeflag != tar.TypeDir {
				names, content[h.Name] = append(names, h.Name), string(text)
			}
			return err
		})
		slices.Sort(names)
		if err != nil || fmt.Sprint(names) != "[lib/a.ko lib/b.ko lib/c.ko]" || content["lib/a.ko"] != "module" ||
			content["lib/b.ko"] != "module" || content["lib/c.ko"] != "module" {
			t.Errorf("%s: %v, %q: %v", format, names, content, err)
		}
	}
	out := packtest.PkgInfo(t, "arch", "pkgname = linux\n", packtest.File{Name: "lib/a.ko", Hard: "../etc/passwd"})
	if _, _, err := read(out); err == nil || !strings.Contains(err.Error(), "leads out") {
		t.Errorf("a hard link out of the package: %v", err)
	}
}

// bsdtar makes an archive as Arch's makepkg does.
func TestBsdtar(t *testing.T) {
	tool := need.Tool(t, "bsdtar")
	dir := t.TempDir()
	packtest.Write(t, dir, append(tree, packtest.File{Name: ".PKGINFO",
		Text: "pkgname = linux\npkgver = 6.1.arch1-1\narch = x86_64\n"})...)
	file := filepath.Join(t.TempDir(), "linux.pkg.tar.zst")
	for _, args := range [][]string{
		{"-cf", ".MTREE", "--gzip", "--format=mtree", "--options=!all,use-set,type,uid,gid,mode,time,size,sha256,link",
			".PKGINFO", "usr"},
		{"-cf", file, "--zstd", "--uid", "0", ".MTREE", ".PKGINFO", "usr"},
	} {
		cmd := exec.Command(tool, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check(t, data, pack.Info{Format: "arch", Name: "linux", Version: "6.1.arch1-1", Arch: "x86_64"})
}

func TestRefuses(t *testing.T) {
	apk := packtest.PkgInfo(t, pack.APK, "pkgname = x\n", tree...)
	zipped := func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := io.WriteString(w, text)
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":   {nil, "EOF"},
		"text":    {[]byte("this is no package"), "not a package"},
		"no name": {packtest.PkgInfo(t, pack.Arch, "pkgver = 1\n", tree...), "no .PKGINFO"},
		"no tar":  {zipped("text"), "EOF"},
		"cut":     {apk[:len(apk)-30], "the data is not what .PKGINFO says (SHA-256 "},
		"other sum": {packtest.Listed(t, pack.Arch, "pkgname = x\n", []packtest.File{{Name: "a", Text: "this"}},
			packtest.File{Name: "a", Text: "that"}), "a: it is not the file of the package's .MTREE ("},
		"no list": {packtest.Unlisted(t, "pkgname = x\n", tree...), "no .MTREE, which makepkg always makes"},
		"upwards": {packtest.PkgInfo(t, pack.Arch, "pkgname = x\n", packtest.File{Name: "../x", Text: "x"}),
			"leads out"},
		"RPM alone": {[]byte("\xed\xab\xee\xdb\x03\x00"), "RPM"},
		"RPM of 4 GiB": {append([]byte("\xed\xab\xee\xdb\x03\x00"), append(make([]byte, 90), append(
			[]byte("\x8e\xad\xe8\x01\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff"), make([]byte, 100)...)...)...),
			"more than 65535 and 67108864"},
		"RPM cut": {append([]byte("\xed\xab\xee\xdb\x03\x00"), make([]byte, 200)...), "RPM"},
	} {
		if _, _, err := read(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(packtest.PkgInfo(f, pack.APK, "pkgname = x\n", tree...))
	f.Add(packtest.PkgInfo(f, pack.Arch, "pkgname = x\n", tree...))
	f.Add(debtest.WithControl(f, ".gz", "Package: x\n"))
	if _, err := exec.LookPath("rpmbuild"); err == nil {
		f.Add(packtest.RPM(f, "x", "w.ufdio", nil, tree...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = pack.Read(bytes.NewReader(data), func(h *tar.Header, r io.Reader) error {
			if strings.HasPrefix(h.Name, "/") || strings.HasPrefix(h.Name, "../") {
				t.Errorf("name %q", h.Name)
			}
			// A small package may hold a large file: not more than this is read of it here.
			_, err := io.CopyN(io.Discard, r, min(h.Size, 1<<20))
			return err
		})
	})
}
