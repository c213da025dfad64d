package deb_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/mkimage/deb"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/google/go-cmp/cmp"
)

func list(data []byte) (records []string, err error) {
	_, err = deb.Read(bytes.NewReader(data), func(h *tar.Header, r io.Reader) error {
		text, err := io.ReadAll(r)
		records = append(records, fmt.Sprintf("%c %s %s%s", h.Typeflag, h.Name, text, h.Linkname))
		return err
	})
	return records, err
}

func TestWalk(t *testing.T) {
	want := []string{"5 boot ", "0 boot/vmlinuz-1 kernel", "2 lib usr/lib"}
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		got, err := list(debtest.Package(t, suffix, debtest.File{Name: "boot/"},
			debtest.File{Name: "boot/vmlinuz-1", Text: "kernel"}, debtest.File{Name: "lib", Link: "usr/lib"}))
		if err != nil {
			t.Errorf("%s: %v", suffix, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", suffix, d)
		}
	}
}

func TestWalkRefuses(t *testing.T) {
	good := debtest.Package(t, ".gz", debtest.File{Name: "a", Text: strings.Repeat("text", 100)})
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":   {nil, "not a Debian package"},
		"text":    {[]byte("hello, this is no package at all"), "not a Debian package"},
		"no data": {debtest.Ar(nil, "debian-binary"), "no data.tar"},
		"order": {debtest.Ar(map[string][]byte{"data.tar": make([]byte, 1024)}, "data.tar", "control.tar"),
			"behind"},
		"no control": {debtest.Ar(nil, "debian-binary", "control.tar.xz", "data.tar"), "control.tar.xz: "},
		"cut":        {good[:len(good)-30], "data.tar.gz"},
		"other sum": {debtest.Listed(t, ".xz", []debtest.File{{Name: "a", Text: "this"}},
			debtest.File{Name: "a", Text: "that"}), "a: it is not the file of the package's md5sums ("},
		"cut header":  {good[:100], "ends early"},
		"bad header":  {append([]byte("!<arch>\n"), bytes.Repeat([]byte("x"), 60)...), "damaged ar header"},
		"bad size":    {bytes.Replace(good, []byte("1         `"), []byte("-1        `"), 1), "size"},
		"compression": {debtest.Ar(nil, "data.tar.lzma"), "not known"},
		"upwards":     {debtest.Package(t, "", debtest.File{Name: "../../etc/passwd", Text: "x"}), "leads out"},
	} {
		if _, err := list(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// TestDamaged has packages cut, longer, and with a bit of each byte flipped: what is read without an error is what was
// packed.
func TestDamaged(t *testing.T) {
	files := []debtest.File{{Name: "boot/"}, {Name: "boot/vmlinuz-1", Text: strings.Repeat("kernel", 50)},
		{Name: "lib", Link: "usr/lib"}, {Name: "odd", Text: "odd"}}
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		whole := debtest.WithControl(t, suffix, "Package: x\nVersion: 1\n", files...)
		want, err := list(whole)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(whole); n++ {
			if n < len(whole)-100 { // a dictionary of xz takes its time
				n += 30
			}
			if _, err := list(whole[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are taken", suffix, n, len(whole))
			}
		}
		for _, more := range []string{"\n", "\x00", "something", strings.Repeat("garbage", 20), string(whole)} {
			if _, err := list(append(bytes.Clone(whole), more...)); err == nil {
				t.Errorf("%s: %q behind the end is taken", suffix, more)
			}
		}
		for at := range whole {
			damaged := bytes.Clone(whole)
			damaged[at] ^= 1 << (at % 8)
			got, err := list(damaged)
			if err == nil && !slices.Equal(got, want) {
				t.Errorf("%s: with a bit of byte %d of %d flipped it is %q", suffix, at, len(whole), got)
			}
			if err == nil && slices.Contains([]string{".xz", ".zst"}, suffix) && at >= len(whole)-20 {
				t.Errorf("%s: a flipped bit of byte %d of %d is taken", suffix, at, len(whole))
			}
		}
	}
}

// A package that dpkg-deb made is the judge of the format.
func TestDpkgDeb(t *testing.T) {
	tool := need.Tool(t, "dpkg-deb")
	for _, compression := range []string{"none", "gzip", "xz", "zstd"} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"DEBIAN/control": "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x " +
				"<x@example.com>\nDescription: x\n",
			"boot/vmlinuz-1":      "kernel",
			"lib/modules/1/a.txt": "module",
		} {
			file := filepath.Join(dir, "tree", name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, "x.deb")
		if out, err := exec.Command(tool, "--root-owner-group", "-Z"+compression, "--build", filepath.Join(dir, "tree"),
			file).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", compression, err, out)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := list(data)
		if err != nil {
			t.Errorf("%s: %v", compression, err)
		}
		want := []string{"5 . ", "5 boot ", "0 boot/vmlinuz-1 kernel", "5 lib ", "5 lib/modules ", "5 lib/modules/1 ",
			"0 lib/modules/1/a.txt module"}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", compression, d)
		}
	}
}

func TestControl(t *testing.T) {
	control, err := deb.Control(bytes.NewReader(debtest.WithControl(t, ".xz",
		"Package: linux-image-amd64\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2),\n firmware | other,\n b:any "+
			"(>= 1)\nPre-Depends: dpkg\nDescription: x\n Depends: none\n")))
	if err != nil {
		t.Fatal(err)
	}
	if got := deb.Field(control, "package"); got != "linux-image-amd64" {
		t.Errorf("Package is %q", got)
	}
	if d := cmp.Diff([]string{"linux-image-6.1.0-56-amd64", "firmware", "b", "dpkg"}, deb.Depends(control)); d != "" {
		t.Error(d)
	}
	if _, err := deb.Control(bytes.NewReader(debtest.Package(t, ".xz"))); err == nil {
		t.Error("a control archive without a control file was read")
	}
}

func FuzzWalk(f *testing.F) {
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		f.Add(debtest.Package(f, suffix, debtest.File{Name: "a/"}, debtest.File{Name: "a/b", Text: "text"}))
	}
	f.Add(debtest.WithControl(f, ".xz", "Package: a\nDepends: b, c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if control, err := deb.Control(bytes.NewReader(data)); err == nil {
			deb.Depends(control)
		}
		_, _ = deb.Read(bytes.NewReader(data), func(h *tar.Header, r io.Reader) error {
			if strings.HasPrefix(h.Name, "/") || strings.HasPrefix(h.Name, "../") {
				t.Errorf("name %q", h.Name)
			}
			// A small package may hold a large file: not more than this is read of it here.
			_, err := io.CopyN(io.Discard, r, min(h.Size, 1<<20))
			return err
		})
	})
}
