package convert

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const (
	mib        = 1 << 20
	sampleSize = 16 * mib // of the file system in the sample
)

// sample is a file with an ext4 on it, some of it filled, and its bytes.
func sample(t *testing.T) (path string, data []byte) {
	t.Helper()
	need.Tools(t, "mkfs.ext4")
	path = volumetest.Sparse(t, sampleSize+512)
	tree := volumetest.Dir(t)
	volumetest.Fill(t, tree, 4)
	volumetest.Run(t, "mkfs.ext4", "-q", "-F", "-b", "4096", "-d", tree, path, "16m")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

func openDisk(t *testing.T, path string) Disk {
	t.Helper()
	d, err := OpenContext(t.Context(), path, Options{Scratch: volumetest.Dir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	volumetest.Check(t, d.Allocated(), d.Size())
	return d
}

// content reads a disk whole, and checks that outside of what it calls allocated there is nothing.
func content(t *testing.T, d Disk) []byte {
	t.Helper()
	p := make([]byte, d.Size())
	if n, err := d.ReadAt(p, 0); int64(n) != d.Size() || err != nil && err != io.EOF {
		t.Fatalf("read %d bytes of %d: %v", n, d.Size(), err)
	}
	for _, e := range volume.Invert(d.Allocated(), d.Size()) {
		if len(bytes.Trim(p[e.Offset:e.End()], "\x00")) != 0 {
			t.Fatalf("bytes %+v are not allocated and not zero", e)
		}
	}
	return p
}

func same(t *testing.T, want, got []byte) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("byte %d is %#x, want %#x", i, got[i], want[i])
		}
	}
}

func TestRawAndCompressed(t *testing.T) {
	t.Parallel()
	path, data := sample(t)
	d := openDisk(t, path)
	same(t, data, content(t, d))
	if d.Format() != "raw" || volume.Bytes(d.Allocated()) > 12*mib {
		t.Errorf("%s, %d bytes allocated", d.Format(), volume.Bytes(d.Allocated()))
	}
	for _, c := range [][]string{{"gz", "gzip", "-1", "-k"}, {"xz", "xz", "-0", "-k"},
		{"zst", "zstd", "-q", "-1", "--long=27", "-k"}, {"lz4", "lz4", "-q", "-1", "-k"},
		{"bz2", "bzip2", "-1", "-k"}} {
		t.Run(c[0], func(t *testing.T) {
			need.Tools(t, c[1])
			out := path + "." + c[0]
			if c[0] == "lz4" {
				volumetest.Run(t, "lz4", "-q", "-1", path, out)
			} else {
				volumetest.Run(t, c[1], append(c[2:], path)...)
			}
			d := openDisk(t, out)
			same(t, data, content(t, d))
			if d.Format() != "raw+"+c[0] {
				t.Errorf("format %s", d.Format())
			}
			p, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			cut := filepath.Join(volumetest.Dir(t), "cut")
			if err := os.WriteFile(cut, p[:len(p)-len(p)/3], 0o600); err != nil {
				t.Fatal(err)
			}
			if d, err := Open(cut); err == nil {
				t.Errorf("a truncated file gave a disk of %d bytes", d.Size())
			}
			if _, err := OpenContext(t.Context(), out, Options{MaxSize: mib}); err == nil ||
				!strings.Contains(err.Error(), "limit") {
				t.Errorf("a disk beyond the limit: %v", err)
			}
		})
	}
	t.Run("split", func(t *testing.T) {
		need.Tools(t, "split")
		base := filepath.Join(volumetest.Dir(t), "disk.gz.")
		volumetest.Run(t, "split", "-b", "100k", "-a", "3", path+".gz", base)
		same(t, data, content(t, openDisk(t, base+"aaa")))
	})
}

func TestQcow2(t *testing.T) {
	t.Parallel()
	need.Tools(t, "qemu-img")
	path, data := sample(t)
	for _, c := range [][]string{
		{}, {"-o", "compat=0.10"}, {"-o", "cluster_size=512"}, {"-o", "cluster_size=2M"}, {"-c"},
		{"-c", "-o", "compression_type=zstd"}, {"-c", "-o", "cluster_size=4k"},
		{"-o", "preallocation=metadata"}, {"-o", "lazy_refcounts=on"},
	} {
		t.Run(strings.Join(c, " "), func(t *testing.T) {
			out := filepath.Join(volumetest.Dir(t), "disk.qcow2")
			args := append([]string{"convert", "-O", "qcow2"}, c...)
			volumetest.Run(t, "qemu-img", append(args, path, out)...)
			d := openDisk(t, out)
			same(t, data, content(t, d))
			if len(c) == 0 && volume.Bytes(d.Allocated()) > 12*mib {
				t.Errorf("%d bytes are allocated", volume.Bytes(d.Allocated()))
			}
		})
	}
	dir := volumetest.Dir(t)
	base, top := filepath.Join(dir, "base.qcow2"), filepath.Join(dir, "top.qcow2")
	volumetest.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", base, "10M")
	volumetest.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top)
	extended, vmdk := filepath.Join(dir, "extended.qcow2"), filepath.Join(dir, "disk.vmdk")
	volumetest.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "extended_l2=on", extended, "10M")
	volumetest.Run(t, "qemu-img", "create", "-q", "-f", "vmdk", vmdk, "10M")
	for _, refused := range []string{top, extended, vmdk} {
		if _, err := Open(refused); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "qemu-img convert") {
			t.Errorf("%s: %v", refused, err)
		}
	}
}

func testScratch(t testing.TB) *scratch {
	t.Helper()
	d, err := newScratch(Options{Scratch: volumetest.Dir(t), MaxSize: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestNtfsclone(t *testing.T) {
	t.Parallel()
	need.Tools(t, "mkntfs", "ntfsclone", "ntfs-3g")
	for i, options := range []string{"", "-c 1024", "-c 65536", ""} {
		image := volumetest.Sparse(t, 24*mib+512*int64(1+2*i))
		volumetest.Run(t, "mkntfs", append(strings.Fields("-F -Q -q "+options), image)...)
		dir, unmount := volumetest.FUSE(t, image, "ntfs-3g")
		if err := os.WriteFile(dir+"/file", bytes.Repeat([]byte("some data"), 300_000), 0o600); err != nil {
			t.Fatal(err)
		}
		unmount()
		tmp := volumetest.Dir(t)
		special, restored := filepath.Join(tmp, "special"), filepath.Join(tmp, "restored")
		volumetest.Run(t, "ntfsclone", "--save-image", "-q", "-f", "-o", special, image)
		volumetest.Run(t, "ntfsclone", "--restore-image", "-q", "-o", restored, special)
		want, err := os.ReadFile(restored)
		if err != nil {
			t.Fatal(err)
		}
		d := openDisk(t, special)
		got := content(t, d)
		if len(got) < len(want) {
			t.Fatalf("%d bytes, ntfsclone restores %d", len(got), len(want))
		}
		same(t, want, got[:len(want)])
	}
}

// ndzImage makes an imagezip file of one chunk as FORMATS describe it; no package has imagezip.
func TestExport(t *testing.T) {
	t.Parallel()
	path, data := sample(t)
	d := openDisk(t, path)
	create := func(name string) *os.File {
		f, err := os.Create(filepath.Join(volumetest.Dir(t), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	raw := create("raw")
	if err := ExportRaw(t.Context(), d, d.Size(), d.Allocated(), raw); err != nil {
		t.Fatal(err)
	}
	same(t, data, content(t, openDisk(t, raw.Name())))

	need.Tools(t, "qemu-img")
	for _, size := range []int64{d.Size(), 3 << 40} {
		q := create("disk.qcow2")
		if err := ExportQcow2(t.Context(), d, size, d.Allocated(), q); err != nil {
			t.Fatal(err)
		}
		if out := volumetest.Run(t, "qemu-img", "check", q.Name()); !strings.Contains(out, "No errors") {
			t.Errorf("qemu-img check: %s", out)
		}
		if size == d.Size() {
			volumetest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", path, q.Name())
			same(t, data, content(t, openDisk(t, q.Name())))
		}
	}

	need.Tools(t, "partclone.restore", "partclone.chkimg")
	for _, block := range []int64{512, 4096} {
		p := create("image")
		if err := ExportPartclone(t.Context(), d, d.Size(), d.Allocated(), Partition{PartcloneName("ext4"), block},
			p); err != nil {
			t.Fatal(err)
		}
		target, log := volumetest.Sparse(t, d.Size()), filepath.Join(volumetest.Dir(t), "log")
		volumetest.Run(t, "partclone.chkimg", "-s", p.Name(), "-L", log)
		volumetest.Run(t, "partclone.restore", "-C", "-O", target, "-s", p.Name(), "-L", log)
		got, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		same(t, data, got)
		same(t, data, content(t, openDisk(t, p.Name())))
	}
}

func TestRefusals(t *testing.T) {
	dir := volumetest.Dir(t)
	for name, head := range map[string]string{"lzo": "\x89LZO\x00\r\n", "lzip": "LZIP\x01", "lrz": "LRZI\x00",
		"partimage": "PaRtImAgE-VoLuMe", "vhdx": "vhdxfile"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, append([]byte(head), make([]byte, 4096)...), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open("/dev/null"); err == nil {
		t.Error("/dev/null was opened")
	}
}

// A raw disk that ends before its own table does is refused, in place, packed and in a tar file, and taken with a note
// when that is asked for. What is whole is not: an enlarged disk, whose backup GPT is not at its end, either.
func TestCutRaw(t *testing.T) {
	need.Tools(t, "sfdisk", "gzip", "tar")
	const size = 16 * mib
	scripts := map[string]string{"gpt": "label: gpt\nstart=2048, size=8192\n",
		"dos":     "label: dos\nstart=2048, size=30720, type=83\n",
		"logical": "label: dos\nstart=2048, size=30720, type=5\nstart=4096, size=2048, type=83\n"}
	for name, script := range scripts {
		for _, cut := range []int64{0, -mib, 512, 3000, 8 * mib, size - 64<<10, size - 17408, size - 4096, size - 1024,
			size - 512} {
			path := volumetest.Sparse(t, size)
			volumetest.RunIn(t, script, "sfdisk", "-q", path)
			f, _ := volumetest.Open(t, path)
			if _, err := f.WriteAt([]byte{1}, 3*mib); err != nil { // not all of the rest is a hole
				t.Fatal(err)
			}
			if err := os.Truncate(path, size-cut); err != nil {
				t.Fatal(err)
			}
			packed, tarred := path+".gz", path+".tar"
			volumetest.Run(t, "gzip", "-k", path)
			volumetest.Run(t, "tar", "-C", filepath.Dir(path), "-cf", tarred, filepath.Base(path))
			for _, given := range []string{path, packed, tarred} {
				d, err := OpenContext(t.Context(), given, Options{Scratch: volumetest.Dir(t)})
				if cut <= 0 {
					if err != nil {
						t.Errorf("%s, whole: %v", name, err)
						continue
					}
					d.Close()
					continue
				}
				want := int64(size)
				if name == "gpt" && size-cut == 512 {
					want = 34304 // no header tells more
				}
				var said *CutError
				if !errors.As(err, &said) || said.Have != size-cut || said.Want != want {
					t.Errorf("%s cut by %d: %v", given, cut, err)
					continue
				}
				if d, err = OpenContext(t.Context(), given,
					Options{Scratch: volumetest.Dir(t), Cut: true}); err != nil {
					t.Errorf("%s cut by %d: %v", given, cut, err)
					continue
				}
				if notes := strings.Join(d.Notes(), " "); d.Size() != size-cut ||
					!strings.Contains(notes, "a part of a disk") {
					t.Errorf("%s cut by %d: %d bytes, %q", given, cut, d.Size(), notes)
				}
				d.Close()
			}
		}
	}
}
