package convert

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// smallDisk is a disk of 2 MiB with a partition table and some data.
func smallDisk(t *testing.T) (path string, data []byte) {
	t.Helper()
	need.Tools(t, "sfdisk")
	path = volumetest.Sparse(t, 2*mib)
	volumetest.RunIn(t, "label: gpt\nstart=128, size=2048\n", "sfdisk", "-q", path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := int64(128 * 512); at < mib; at += 16 << 10 {
		if _, err := f.WriteAt(bytes.Repeat([]byte("some data"), 900), at); err != nil {
			t.Fatal(err)
		}
	}
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, data
}

// TestWayOut makes what users take for disks with the programs that do, and follows what the refusal says: the disk
// must come out.
func TestWayOut(t *testing.T) {
	t.Parallel()
	disk, data := smallDisk(t)
	qemu := func(format string) string { return "qemu-img convert -O " + format + " IN OUT" }
	for name, make := range map[string]string{
		"zip":                             "zip -q -j OUT IN && mv OUT.zip OUT",
		"7z":                              "7z a -bd OUT IN >/dev/null && mv OUT.7z OUT",
		"lzma":                            "xz -0 --format=lzma -c IN >OUT",
		"lzip":                            "lzip -0 -c IN >OUT",
		"compress":                        "printf '\\037\\235\\220' >OUT",
		"simg":                            "img2simg IN OUT",
		"vmdk":                            qemu("vmdk"),
		"vmdk streamOptimized":            qemu("vmdk -o subformat=streamOptimized"),
		"vmdk monolithicFlat":             qemu("vmdk -o subformat=monolithicFlat"),
		"vmdk twoGbMaxExtentSparse":       qemu("vmdk -o subformat=twoGbMaxExtentSparse"),
		"vdi":                             qemu("vdi"),
		"vhdx":                            qemu("vhdx"),
		"vhd":                             qemu("vpc -o force_size=on"),
		"parallels":                       qemu("parallels"),
		"qed":                             qemu("qed"),
		"qcow":                            qemu("qcow"),
		"qcow2 with extended L2 entries":  qemu("qcow2 -o extended_l2=on"),
		"qcow2 with data in another file": qemu("qcow2 -o data_file=OUT.data"),
		"qcow2 with a backing file":       "cp IN OUT.base && qemu-img create -q -f qcow2 -b OUT.base -F raw OUT",
		"qcow2 in xz":                     qemu("qcow2") + " && xz -0 OUT && mv OUT.xz OUT",
		"gzip in gzip":                    "gzip -1c IN | gzip -1 >OUT",
		"several in a tar": "cp IN OUT.raw && echo text >OUT.txt && tar -cf OUT -C $(dirname OUT) " +
			"$(basename OUT).raw $(basename OUT).txt",
		"cpio": "cd $(dirname IN) && basename IN | cpio -o -H newc --quiet >OUT",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tool, _, _ := strings.Cut(make, " ")
			if strings.HasPrefix(tool, "qemu") || tool == "zip" || tool == "7z" || tool == "lzip" ||
				tool == "img2simg" {
				need.Tool(t, tool)
			}
			dir := volumetest.Dir(t)
			in, out := filepath.Join(dir, "given"), filepath.Join(dir, "disk.raw")
			run := func(command, in, out string) {
				t.Helper()
				volumetest.Run(t, "sh", "-ec", strings.NewReplacer("IN", in, "OUT", out).Replace(command))
			}
			run(make, disk, in)
			_, err := OpenContext(t.Context(), in, Options{Scratch: dir})
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("it was not refused: %v", err)
			}
			_, way, found := strings.Cut(err.Error(), "`")
			way, _, closed := strings.Cut(way, "`")
			switch name {
			case "compress": // no disk in it
				return
			case "several in a tar":
				if !strings.Contains(err.Error(), "given.raw, given.txt") {
					t.Errorf("its members are not named: %v", err)
				}
				run("cd "+dir+" && "+way+" && mv given.raw OUT", in, out)
			case "cpio":
				run("cd "+dir+" && "+way+" && mv "+filepath.Base(disk)+" OUT", in, out)
			default:
				if !found || !closed {
					t.Fatalf("no command: %v", err)
				}
				run(way, in, out)
			}
			same(t, data, content(t, openDisk(t, out)))
		})
	}
}

// TestFixedVHD reads a VHD whose only mark is a footer behind the disk, alone and packed.
func TestFixedVHD(t *testing.T) {
	need.Tools(t, "qemu-img", "gzip")
	disk, data := smallDisk(t)
	vhd := filepath.Join(volumetest.Dir(t), "disk.vhd")
	volumetest.Run(t, "qemu-img", "convert", "-O", "vpc", "-o", "subformat=fixed,force_size=on", disk, vhd)
	volumetest.Run(t, "gzip", "-1k", vhd)
	for _, path := range []string{vhd, vhd + ".gz"} {
		d := openDisk(t, path)
		same(t, data, content(t, d))
		if notes := strings.Join(d.Notes(), " "); !strings.Contains(notes, "footer") {
			t.Errorf("notes %q", notes)
		}
	}
	whole, err := os.ReadFile(vhd)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(volumetest.Dir(t), "cut")
	if err := os.WriteFile(cut, whole[mib:], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cut); err == nil || !strings.Contains(err.Error(), "fixed VHD") {
		t.Errorf("without its first half: %v", err)
	}
}

func TestSquashfs(t *testing.T) {
	need.Tools(t, "mksquashfs")
	tree, out := volumetest.Dir(t), filepath.Join(volumetest.Dir(t), "fs")
	volumetest.Fill(t, tree, 1)
	volumetest.Run(t, "mksquashfs", tree, out, "-quiet")
	if notes := openDisk(t, out).Notes(); len(notes) != 1 || !strings.Contains(notes[0], "squashfs") {
		t.Errorf("notes %q", notes)
	}
}

// TestTar reads a tar file with one disk, as Debian ships its cloud images.
func TestTar(t *testing.T) {
	t.Parallel()
	need.Tools(t, "tar", "xz", "gzip", "zstd", "partclone.extfs")
	disk, data := smallDisk(t)
	dir := volumetest.Dir(t)
	sh := func(script string) {
		t.Helper()
		volumetest.Run(t, "sh", "-ec", "cd "+dir+"; "+script)
	}
	sh("cp --sparse=always " + disk + " disk.raw; mkdir sub; cp disk.raw sub")
	for name, c := range map[string]struct{ options, format string }{
		"tar": {"", "raw+tar"}, "xz": {"-J", "raw+tar+xz"}, "gz": {"-z", "raw+tar+gz"},
		"zst":        {"--zstd", "raw+tar+zst"},
		"gnu sparse": {"-S --format=gnu", "raw+tar"}, "pax sparse": {"-S --format=pax", "raw+tar"},
		"ustar": {"--format=ustar", "raw+tar"}, "v7": {"--format=v7", "raw+tar"},
	} {
		sh("tar " + c.options + " -cf one.tar disk.raw")
		d := openDisk(t, filepath.Join(dir, "one.tar"))
		same(t, data, content(t, d))
		if d.Format() != c.format {
			t.Errorf("%s: format %s", name, d.Format())
		}
	}
	sh("tar -cf one.tar sub")
	same(t, data, content(t, openDisk(t, filepath.Join(dir, "one.tar"))))

	path, ext := sample(t)
	sh("partclone.extfs -c -s " + path + " -o fs.img -L log; tar -cJf one.tar fs.img")
	same(t, ext[:sampleSize], content(t, openDisk(t, filepath.Join(dir, "one.tar"))))

	for script, want := range map[string]string{
		"tar -cJf bad disk.raw sub log":                      "disk.raw, disk.raw, log",
		"mkdir -p none; tar -cf bad none":                    "without a regular file",
		"tar -cf whole disk.raw; head -c 1000000 whole >bad": "truncated",
		"tar -cJf whole disk.raw; head -c 1000 whole >bad":   "truncated",
		"gzip -1kc disk.raw >g.gz; tar -cf bad g.gz":         "g.gz, whose format is gzip",
	} {
		sh(script)
		d, err := OpenContext(t.Context(), filepath.Join(dir, "bad"), Options{Scratch: dir})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", script, d, err)
		}
	}
}

// TestEveryCut unpacks every beginning of compressed files, and files with something behind them: neither may pass for
// the whole.
func TestEveryCut(t *testing.T) {
	t.Parallel()
	data := append(bytes.Repeat([]byte("sector"), 400), make([]byte, 4096-2400)...)
	dir := volumetest.Dir(t)
	raw := filepath.Join(dir, "raw")
	if err := os.WriteFile(raw, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ pack string }{
		"gzip": {"gzip -1"}, "pigz": {"pigz -1"}, "xz": {"xz -0"}, "xz in blocks": {"xz -0 -T2 --block-size=1000"},
		"zstd": {"zstd -q -1"}, "zstd without a checksum": {"zstd -q -1 --no-check"},
		"lz4": {"lz4 -q -1"}, "lz4 without a checksum": {"lz4 -q -1 --no-frame-crc"}, "bzip2": {"bzip2 -1"},
	} {
		t.Run(name, func(t *testing.T) {
			tool, _, _ := strings.Cut(c.pack, " ")
			need.Tool(t, tool)
			out := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			volumetest.Run(t, "sh", "-ec", c.pack+" <"+raw+" >"+out)
			p, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			for _, twice := range []bool{false, true} { // a file of two streams is read whole
				want := data
				in := p
				if twice {
					want, in = append(bytes.Clone(data), data...), append(bytes.Clone(p), p...)
				}
				d := testScratch(t)
				if _, err := unpackTo(bytes.NewReader(in), d); err != nil {
					t.Fatal(err)
				}
				d.done()
				same(t, want, content(t, d))
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			for n := 1; n < len(p); n++ {
				d := testScratch(t)
				format, err := unpackTo(bytes.NewReader(p[:n]), d)
				if err == nil && strings.Contains(format, "+") {
					t.Errorf("the first %d bytes of %d gave %d bytes as %s", n, len(p), d.size, format)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			d := testScratch(t)
			_, err = unpackTo(bytes.NewReader(append(bytes.Clone(p), "garbage behind it"...)), d)
			if err == nil || (tool == "gzip" || tool == "zstd") && !strings.Contains(err.Error(), tool+" -dc") {
				t.Errorf("garbage behind it: %d bytes, %v", d.size, err)
			}
		})
	}
}

// TestWindows: what needs more memory than is given is refused, and the memory named.
func TestWindows(t *testing.T) {
	need.Tools(t, "zstd", "lz4", "pzstd")
	dir := volumetest.Dir(t)
	// From a pipe, so that the frame does not say how little is in it.
	volumetest.Run(t, "sh", "-ec", "cd "+dir+
		"; head -c 3M /dev/zero | zstd -q --long=31 --ultra -20 -c >long; head -c 20M /dev/zero >z; lz4 -q -l -1 z "+
		"legacy; pzstd -q -p 2 z -o pz")
	if _, err := Open(filepath.Join(dir, "long")); !errors.Is(err, ErrFormat) ||
		!strings.Contains(err.Error(), "256 MiB of memory") || !strings.Contains(err.Error(), "zstd -dc --long=31") {
		t.Errorf("a long window: %v", err)
	}
	for name, format := range map[string]string{"legacy": "raw+lz4", "pz": "raw+zst"} {
		if d := openDisk(t, filepath.Join(dir, name)); d.Size() != 20*mib || d.Format() != format {
			t.Errorf("%s: %d bytes of %s", name, d.Size(), d.Format())
		}
	}
}

func TestMagic(t *testing.T) {
	dir := volumetest.Dir(t)
	for _, k := range kinds {
		if k.way == "" {
			continue
		}
		p := make([]byte, 4096)
		copy(p[k.at:], k.magic)
		if k.name == "fsdump" {
			p[0] = 1
		}
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), k.what) ||
			!strings.Contains(err.Error(), k.way) {
			t.Errorf("%s: %v", k.what, err)
		}
	}
	for name, end := range map[string]string{"Apple disk image (DMG)": "koly\x00\x00\x00\x04\x00\x00\x02\x00",
		"encrypted Apple": "cdsaencr"} {
		p := make([]byte, 4096)
		copy(p[4096-512:], end)
		if _, _, err := footer(bytes.NewReader(p), 4096); !errors.Is(err, ErrFormat) ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A raw disk may begin with anything: boot code that is close to some magic bytes is no archive.
	for _, head := range []string{"\xeb\x63\x90", "\x5d\x00\x00", "BZ", "\x1f\x8b\x00",
		"\x50\x2a\x4d\x18\xff\xff\xff\xff"} {
		if k := sniff(append([]byte(head), make([]byte, 600)...)); k.name != "" {
			t.Errorf("%q is taken for %s", head, k.what)
		}
	}
}
