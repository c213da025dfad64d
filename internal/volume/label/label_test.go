package label

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

// TestLabels makes a label of each kind, by a foreign tool where there is one, and asks blkid for its name too.
func TestLabels(t *testing.T) {
	parted := func(commands ...string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			volumetest.Run(t, "parted", append([]string{"-s", "-a", "none", image}, commands...)...)
		}
	}
	sfdisk := func(script string) func(*testing.T, string) {
		return func(t *testing.T, image string) { volumetest.RunIn(t, script, "sfdisk", "-q", image) }
	}
	put := func(at int64, s string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			f, _ := volumetest.Open(t, image)
			if _, err := f.WriteAt([]byte(s), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, typ, note string
		make            func(t *testing.T, image string)
		// PTTYPE as blkid prints it, "" for nothing; partx: it prints nothing, and partx lists the parts
		judge string
	}{
		{"sfdisk sun", "sun", "2 slices", sfdisk("label: sun\nsize=16065\nsize=16065\n"), "sun"},
		{"parted sun", "sun", "a Sun disk label", parted("mklabel", "sun", "mkpart", "0", "20MiB"), "sun"},
		{"sfdisk sgi", "sgi", "slices", sfdisk("label: sgi\nsize=16065\nsize=16065\n"), "sgi"},
		{"parted dvh", "sgi", "slices", parted("mklabel", "dvh", "mkpart", "primary", "4096s", "8191s"), "sgi"},
		{"parted mac", "mac", "4 entries", parted("mklabel", "mac", "mkpart", "x", "4096s", "8191s"), "mac"},
		{"parted amiga", "amiga", "Amiga", parted("mklabel", "amiga"), ""},
		{"parted bsd", "bsd", "disklabel (a)", parted("mklabel", "bsd", "mkpart", "4096s", "8191s"), "partx"},
		{"parted atari", "atari", "(RAW)", parted("mklabel", "atari", "mkpart", "primary", "4097s", "8191s"), "atari"},
		{"AIX", "aix", "AIX", put(0, "\xc9\xc2\xd4\xc1"), "aix"},
		{"parted pc98", "pc98", "PC-98", parted("mklabel", "pc98"), "dos"},
		{"parted gpt", "gpt", "of its own", parted("mklabel", "gpt"), "gpt"},
		{"sfdisk dos", "dos", "(2 entries)",
			sfdisk("label: dos\nstart=64, size=1000\nstart=2048, size=1000, type=81\n"), "dos"},
		{"FreeBSD slice", "bsd", "(a, b, c, d, e)", put(512, bsdLabel(le, 5)), "partx"},
		{"OSF/1, byte 64", "bsd", "(a, b)", put(64, bsdLabel(le, 2)), "partx"},
		{"NetBSD sparc64, byte 128", "bsd", "(a, b)", put(128, bsdLabel(le, 2)), "partx"},
		{"4096-byte sectors", "bsd", "(a, b)", put(4096, bsdLabel(le, 2)), ""},
		{"big-endian", "bsd", "(a, b)", put(512, bsdLabel(be, 2)), ""},
		{"Solaris VTOC", "solaris", "Solaris", put(512+12, "\xee\xde\x0d\x60\x01\x00\x00\x00"), "solaris"},
		{"UnixWare", "unixware", "UnixWare", put(29*512+12, "\xee\xde\x0d\x60"), ""},
		{"Ultrix", "ultrix", "Ultrix", put(16<<10-72, "\x57\x29\x03\x00\x01\x00\x00\x00"), "ultrix"},
		{"DASD", "dasd", "DASD", put(8192, "\xe5\xd6\xd3\xf1"), ""},
		{"SYSV68", "sysv68", "SYSV68", put(0xf8, "MOTOROLA"), ""},
		{"Karma", "karma", "Rio Karma",
			put(270, "\x00\x00\x00\x00\x4d\x00\x00\x00\x02\x00\x00\x00\x10\x00\x00\x00"+strings.Repeat("\x00", 510-286)+
				"\x56\xab"), ""},
		{"LDM metadata partition", "ldm", "dynamic disk", put(64*mib-512, "PRIVHEAD"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := volumetest.Sparse(t, 64*mib)
			c.make(t, image)
			fs, extents := volumetest.Load(t, image, Open)
			note := strings.Join(fs.Info().Notes, " ")
			if fs.Type() != c.typ || volume.Bytes(extents) != 64*mib || !strings.Contains(note, c.note) ||
				!strings.Contains(note, "captured whole") {
				t.Errorf("%s %v %q", fs.Type(), extents, note)
			}
			says, err := volumetest.Try(t, "blkid", "-p", "-o", "value", "-s", "PTTYPE", image)
			if c.judge == "partx" {
				if says, err = volumetest.Try(t, "partx", "--list", image); strings.HasPrefix(says, "# 1:") {
					says = "partx"
				}
			}
			if says = strings.TrimSpace(says); says != c.judge {
				t.Errorf("the judge says %q, %v", says, err)
			}
		})
	}
}

// bsdLabel is a label of 4.4BSD with n parts, as case 03 has it.
func bsdLabel(order binary.ByteOrder, n int) string {
	p := make([]byte, bsdParts+16*n)
	order.PutUint32(p, bsdMagic)
	order.PutUint32(p[132:], bsdMagic)
	order.PutUint16(p[138:], uint16(n))
	for i := range n {
		order.PutUint32(p[bsdParts+16*i:], 1000)
		order.PutUint32(p[bsdParts+16*i+4:], uint32(1000*i))
		p[bsdParts+16*i+12] = 7
	}
	var sum uint16
	for i := 0; i < len(p); i += 2 {
		sum ^= order.Uint16(p[i:])
	}
	order.PutUint16(p[136:], sum)
	return string(p)
}

// TestNoLabel has what boot sectors of file systems, and nothing at all, look like.
func TestNoLabel(t *testing.T) {
	for name, make := range map[string]func(image string){
		"empty": func(string) {},
		"vfat":  func(image string) { volumetest.Run(t, "mkfs.fat", image) },
		"fat32": func(image string) { volumetest.Run(t, "mkfs.fat", "-F", "32", image) },
		"ntfs":  func(image string) { volumetest.Run(t, "mkntfs", "-q", "-F", image) },
		"exfat": func(image string) { volumetest.Run(t, "mkfs.exfat", image) },
		"swap":  func(image string) { volumetest.Run(t, "mkswap", image) },
		"ext4":  func(image string) { volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", image) },
	} {
		t.Run(name, func(t *testing.T) {
			image := volumetest.Sparse(t, 64*mib)
			make(image)
			f, size := volumetest.Open(t, image)
			if fs, err := Open(f, size); !errors.Is(err, volume.ErrNotThis) {
				t.Errorf("%v, %v", fs, err)
			}
		})
	}
	for _, p := range [][]byte{nil, make([]byte, 100), make([]byte, 513), bytes.Repeat([]byte{0xff}, 1<<20)} {
		if _, err := Open(bytes.NewReader(p), int64(len(p))); !errors.Is(err, volume.ErrNotThis) {
			t.Errorf("%d bytes: %v", len(p), err)
		}
	}
}

func TestOfType(t *testing.T) {
	need.Tools(t, "sfdisk")
	image := volumetest.Sparse(t, 64*mib)
	volumetest.RunIn(t, "label: gpt\nsize=2MiB, type=5808C8AA-7E8F-42E0-85D2-E1E90434CFB3\n", "sfdisk", "-q", image)
	if out := volumetest.Run(t, "sfdisk", "-l", image); !strings.Contains(out, "Microsoft LDM metadata") {
		t.Errorf("sfdisk calls it something else: %s", out)
	}
	for typ, want := range map[string]string{
		"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "the database of a Windows dynamic disk",
		"af9b60a0-1431-4f62-bc68-3311714a69ad": "the volumes of a Windows dynamic disk",
		"e75caf8f-f680-4cee-afa3-b001e56efc2d": "Storage Spaces",
		"0x42":                                 "dynamic disk",
	} {
		if note := OfType(typ); !strings.Contains(note, want) || !strings.Contains(note, "captured whole") {
			t.Errorf("%s: %q", typ, note)
		}
	}
	for _, typ := range []string{"", "0x07", "0x83", "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
		"c12a7328-f81f-11d2-ba4b-00a0c93ec93b"} {
		if note := OfType(typ); note != "" {
			t.Errorf("%s: %q", typ, note)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for at, s := range map[int]string{
		0: "\xc9\xc2\xd4\xc1", 64: bsdLabel(le, 64), 512: bsdLabel(be, 5), 508: "\xda\xbe",
		0x1c6: "\x01GEM\x00\x00\x00\x01\x00\x00\x00\x01",
		513:   "EFI PART", 1024: "RDSK\x00\x00\x00\x02",
		446: "\x80\x01\x01\x00\x83\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00",
	} {
		f.Add([]byte(s), at, 1<<20)
	}
	f.Fuzz(func(t *testing.T, p []byte, at, size int) {
		size = min(max(size, 0), 1<<20)
		disk := make([]byte, 1<<20)
		copy(disk[min(max(at, 0), len(disk)):], p)
		fs, err := Open(io.NewSectionReader(bytes.NewReader(disk), 0, int64(size)), int64(size))
		if err == nil {
			extents, _ := fs.Extents()
			volumetest.Check(t, extents, int64(size))
		} else if !errors.Is(err, volume.ErrNotThis) {
			t.Error(err)
		}
	})
}
