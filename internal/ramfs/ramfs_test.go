package ramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pierrec/lz4/v4"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// entry is a record as a test writes it down.
type entry struct {
	Name string
	Kind Kind
	Perm uint32
	Text string // content, or target
}

func entries(t *testing.T, a *Archive) []entry {
	t.Helper()
	var list []entry
	for _, r := range a.Records() {
		e := entry{r.Name, r.Kind, r.Perm, r.Target}
		if r.Kind == File {
			data, err := r.Data()
			if err != nil {
				t.Fatal(err)
			}
			e.Text = string(data)
		}
		list = append(list, e)
	}
	return list
}

func sample(t *testing.T) *Archive {
	t.Helper()
	a := &Archive{}
	err := a.Add(
		NewSymlink("init", "bbin/init"),
		NewFile("usr/share/doc", 0o644, []byte("text")),
		NewFile("bbin/bb", 0o4755, []byte("\x7fELF\x00\x01")),
		NewFile("empty", 0o600, nil),
		NewDir("tmp", 0o1777),
	)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var sampleEntries = []entry{
	{"bbin", Dir, 0o755, ""},
	{"bbin/bb", File, 0o4755, "\x7fELF\x00\x01"},
	{"empty", File, 0o600, ""},
	{"init", Symlink, 0o777, "bbin/init"},
	{"tmp", Dir, 0o1777, ""},
	{"usr", Dir, 0o755, ""},
	{"usr/share", Dir, 0o755, ""},
	{"usr/share/doc", File, 0o644, "text"},
}

func TestRoundTrip(t *testing.T) {
	a := sample(t)
	if d := cmp.Diff(sampleEntries, entries(t, a)); d != "" {
		t.Error(d)
	}
	var plain, packed bytes.Buffer
	if err := a.Write(&plain, time.Time{}); err != nil {
		t.Fatal(err)
	}
	b, err := Read(bytes.NewReader(plain.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sampleEntries, entries(t, b)); d != "" {
		t.Error(d)
	}
	n, err := b.Pack(&packed, time.Time{})
	if err != nil || n != int64(plain.Len()) {
		t.Errorf("packed %d bytes, %v, want %d", n, err, plain.Len())
	}
	c, err := Unpack(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sampleEntries, entries(t, c)); d != "" {
		t.Error(d)
	}
	for _, p := range []Packing{Gzip, Zstd, LZ4} {
		packed.Reset()
		if n, err = b.PackBy(p, &packed, time.Time{}); err != nil || n != int64(plain.Len()) {
			t.Errorf("packing %d: packed %d bytes, %v, want %d", p, n, err, plain.Len())
		}
		if c, err = Unpack(&packed); err != nil {
			t.Fatalf("packing %d: %v", p, err)
		}
		if d := cmp.Diff(sampleEntries, entries(t, c)); d != "" {
			t.Errorf("packing %d: %s", p, d)
		}
	}
}

// TestLZ4 has the tool read what kernels do: the legacy format, in blocks of 8 MiB, among them some that do not become
// smaller.
func TestLZ4(t *testing.T) {
	tool := need.Tool(t, "lz4")
	a := sample(t)
	if err := a.Add(NewFile("large", 0o644, bytes.Repeat([]byte("0123456789abcdef"), 1<<20))); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	if err := a.Add(NewFile("noise", 0o644, noise)); err != nil {
		t.Fatal(err)
	}
	var plain, packed, again bytes.Buffer
	if err := a.Write(&plain, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*bytes.Buffer{&packed, &again} {
		if _, err := a.PackLZ4(w, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packed.Bytes(), again.Bytes()) {
		t.Error("the same records gave different bytes")
	}
	if !bytes.HasPrefix(packed.Bytes(), lz4Magic) {
		t.Errorf("the archive begins with %x", packed.Bytes()[:4])
	}
	cmd := exec.Command(tool, "-dc")
	cmd.Stdin = bytes.NewReader(packed.Bytes())
	out, err := cmd.Output()
	if err != nil || !bytes.Equal(out, plain.Bytes()) {
		t.Errorf("lz4 unpacks %d bytes, %v; want the archive of %d", len(out), err, plain.Len())
	}
	first := binary.LittleEndian.Uint32(packed.Bytes()[4:])
	block := make([]byte, 8<<20)
	if n, err := lz4.UncompressBlock(packed.Bytes()[8:8+first], block); err != nil || n != len(block) {
		t.Errorf("the first block has %d bytes, %v; want 8 MiB", n, err)
	}
	read, err := Unpack(bytes.NewReader(append(bytes.Clone(packed.Bytes()), make([]byte, 512)...)))
	if err != nil {
		t.Fatalf("with a boot loader's zeros behind it: %v", err)
	}
	if d := cmp.Diff(entries(t, a), entries(t, read)); d != "" {
		t.Error(d)
	}
	for _, n := range []int{packed.Len() - 1, 8 + int(first), 6} {
		if _, err := Unpack(bytes.NewReader(packed.Bytes()[:n])); err == nil {
			t.Errorf("the first %d bytes of an archive pass for all of it", n)
		}
	}
}

// TestZstd has the program zstd for a judge: what it unpacks is the archive, one frame and nothing behind it, as the
// kernel's decompressor wants it (lib/decompress_unzstd.c).
func TestZstd(t *testing.T) {
	tool := need.Tool(t, "zstd")
	a := sample(t)
	if err := a.Add(NewFile("large", 0o644, bytes.Repeat([]byte("0123456789abcdef"), 1<<20))); err != nil {
		t.Fatal(err)
	}
	var plain, packed, again bytes.Buffer
	if err := a.Write(&plain, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*bytes.Buffer{&packed, &again} {
		if _, err := a.PackZstd(w, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packed.Bytes(), again.Bytes()) {
		t.Error("the same records gave different bytes")
	}
	file := filepath.Join(t.TempDir(), "a.zst")
	if err := os.WriteFile(file, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-dc", file).Output()
	if err != nil || !bytes.Equal(out, plain.Bytes()) {
		t.Errorf("zstd unpacks %d bytes, %v; want the archive of %d", len(out), err, plain.Len())
	}
	if out, err = exec.Command(tool, "-lv", file).CombinedOutput(); err != nil ||
		!regexp.MustCompile(`(?m)Frames: 1$`).Match(out) || !regexp.MustCompile(`Window Size: 8.00 MiB`).Match(out) {
		t.Errorf("zstd says of the file: %v\n%s", err, out)
	}
}

// The order in which records are added is nowhere in the bytes; the time is.
func TestReproducible(t *testing.T) {
	pack := func(a *Archive, at time.Time) []byte {
		var b bytes.Buffer
		if _, err := a.Pack(&b, at); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	other := &Archive{}
	records := sample(t).Records()
	for i := len(records) - 1; i >= 0; i-- {
		if err := other.Add(records[i]); err != nil {
			t.Fatal(err)
		}
	}
	first := pack(sample(t), time.Time{})
	if !bytes.Equal(first, pack(other, time.Time{})) || !bytes.Equal(first, pack(sample(t), time.Unix(0, 0))) {
		t.Error("the same records gave different bytes")
	}
	if bytes.Equal(first, pack(other, time.Unix(1e9, 0))) {
		t.Error("the time is not in the archive")
	}
}

func TestAddRefuses(t *testing.T) {
	for name, r := range map[string]Record{
		"empty name":   NewDir("", 0o755),
		"absolute":     NewDir("/etc", 0o755),
		"upwards":      NewDir("../etc", 0o755),
		"not clean":    NewDir("a//b", 0o755),
		"slash at end": NewDir("a/", 0o755),
		"dot":          NewDir(".", 0o755),
		"zero byte":    NewFile("a\x00b", 0o644, nil),
		"trailer":      NewFile("TRAILER!!!", 0o644, nil),
		"type in mode": NewFile("a", 0o100644, nil),
		"no target":    NewSymlink("a", ""),
		"long":         NewFile(strings.Repeat("a", 4096), 0o644, nil),
		"there":        NewFile("init", 0o644, nil),
		"below a link": NewFile("init/x", 0o644, nil),
		"dir for file": NewDir("bbin/bb", 0o755),
		"too large": {Name: "x", Size: MaxFile + 1,
			Open: func() (io.ReadCloser, error) { return nil, errors.New("opened") }},
	} {
		if err := sample(t).Add(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSet(t *testing.T) {
	a := sample(t)
	if err := a.Set(NewFile("init", 0o700, []byte("new"))); err != nil {
		t.Fatal(err)
	}
	if r, ok := a.Lookup("init"); !ok || r.Kind != File || r.Size != 3 {
		t.Errorf("%+v", r)
	}
	if err := a.Set(NewFile("usr", 0o700, nil)); err == nil {
		t.Error("a directory was replaced by a file")
	}
}

func TestWrongSize(t *testing.T) {
	for name, content := range map[string]string{"short": "ab", "long": "abcd"} {
		a := &Archive{}
		r := NewFile("x", 0o644, []byte("abc"))
		r.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
		if err := a.Add(r); err != nil {
			t.Fatal(err)
		}
		if err := a.Write(io.Discard, time.Time{}); err == nil || !strings.Contains(err.Error(), "x: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// GNU cpio is the judge of the format.
func TestCpio(t *testing.T) {
	tool := need.Tool(t, "cpio")
	var archive bytes.Buffer
	if err := sample(t).Write(&archive, time.Unix(86400, 0)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, "-itv", "--numeric-uid-gid", "--quiet")
	cmd.Stdin = &archive
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		got = append(got, fmt.Sprint(f[0], " ", f[2], f[3], " ", f[4], " ", strings.Join(f[5:], " ")))
	}
	want := []string{
		"drwxr-xr-x 00 0 Jan 2 1970 bbin",
		"-rwsr-xr-x 00 6 Jan 2 1970 bbin/bb",
		"-rw------- 00 0 Jan 2 1970 empty",
		"lrwxrwxrwx 00 9 Jan 2 1970 init -> bbin/init",
		"drwxrwxrwt 00 0 Jan 2 1970 tmp",
		"drwxr-xr-x 00 0 Jan 2 1970 usr",
		"drwxr-xr-x 00 0 Jan 2 1970 usr/share",
		"-rw-r--r-- 00 4 Jan 2 1970 usr/share/doc",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReadRefuses(t *testing.T) {
	var good bytes.Buffer
	if err := sample(t).Write(&good, time.Time{}); err != nil {
		t.Fatal(err)
	}
	device := bytes.Replace(good.Bytes(), []byte("000043FF"), []byte("000021A4"), 1)
	for name, data := range map[string][]byte{
		"text":    []byte(strings.Repeat("no archive", 20)),
		"cut":     good.Bytes()[:good.Len()/2],
		"device":  device,
		"twice":   append(good.Bytes()[:240:240], good.Bytes()...),
		"minus":   bytes.Replace(good.Bytes(), []byte("00000006"), []byte("-0000006"), 1),
		"claimed": bytes.Replace(good.Bytes(), []byte("00000006"), []byte("FFFFFFFF"), 1),
	} {
		if _, err := Read(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Unpack(strings.NewReader("not gzip")); err == nil {
		t.Error("not gzip: no error")
	}
}

func FuzzRead(f *testing.F) {
	a := &Archive{}
	if err := a.Add(NewSymlink("init", "bbin/init"), NewFile("bbin/bb", 0o755, []byte("content")),
		NewDir("tmp", 0o1777)); err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := a.Write(&b, time.Time{}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("070701"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := a.Write(&out, time.Time{}); err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		if _, err := Read(&out); err != nil {
			t.Fatalf("written, but not read again: %v", err)
		}
	})
}

// FuzzUnpack has what is compressed, by each.
func FuzzUnpack(f *testing.F) {
	a := &Archive{}
	if err := a.Add(NewFile("bbin/bb", 0o755, []byte("content"))); err != nil {
		f.Fatal(err)
	}
	for _, p := range []Packing{Gzip, Zstd, LZ4} {
		var b bytes.Buffer
		if _, err := a.PackBy(p, &b, time.Time{}); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add(zstdMagic)
	f.Add(lz4Magic)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Unpack(bytes.NewReader(data))
		if err == nil && a == nil {
			t.Fatal("neither an archive nor an error")
		}
	})
}
