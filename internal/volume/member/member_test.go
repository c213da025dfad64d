package member

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 64<<20 + 512*77

func TestMembers(t *testing.T) {
	luks := func(kind string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			key := t.TempDir() + "/key"
			if err := os.WriteFile(key, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			volumetest.Run(t, "cryptsetup", "luksFormat", "-q", "--type", kind, "--pbkdf", "pbkdf2",
				"--pbkdf-force-iterations", "1000", image, key)
		}
	}
	md := func(version string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			need.Tools(t, "mdadm")
			raidImage(t, image, version)
		}
	}
	for _, c := range []struct {
		name, typ, note string
		make            func(t *testing.T, image string)
	}{
		{"LUKS1", "crypto_LUKS", "LUKS1", luks("luks1")},
		{"LUKS2", "crypto_LUKS", "LUKS2", luks("luks2")},
		{"md 0.90", "linux_raid_member", "metadata 0.90", md("0.90")},
		{"md 1.0", "linux_raid_member", "metadata 1.0", md("1.0")},
		{"md 1.1", "linux_raid_member", "metadata 1.1", md("1.1")},
		{"md 1.2", "linux_raid_member", "metadata 1.2", md("1.2")},
		{"BitLocker", "BitLocker", "BitLocker", put(3, "-FVE-FS-")},
		{"BitLocker To Go", "BitLocker", "BitLocker", func(t *testing.T, image string) {
			put(3, "MSWIN4.1")(t, image)
			put(424, goGUID)(t, image)
		}},
		{"ZFS", "zfs_member", "ZFS", put(256<<10+128<<10+5<<10, "\x0c\xb1\xba\x00\x00\x00\x00\x00")},
		{"bcache", "bcache", "bcache",
			put(4096+24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81")},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := volumetest.Sparse(t, size)
			c.make(t, image)
			f, n := volumetest.Open(t, image)
			fs, err := Open(f, n)
			if err != nil {
				t.Fatal(err)
			}
			info := fs.Info()
			extents, err := fs.Extents()
			if err != nil || volume.Bytes(extents) != n || fs.Type() != c.typ ||
				!strings.Contains(info.Notes[0], c.note) {
				t.Errorf("%s %+v %v", fs.Type(), info, err)
			}
			if strings.HasPrefix(c.name, "LUKS") || strings.HasPrefix(c.name, "md 1") {
				blkid := volumetest.Run(t, "blkid", "-p", image)
				if !strings.Contains(blkid, `TYPE="`+c.typ+`"`) || info.UUID == "" ||
					!strings.Contains(blkid, `UUID="`+info.UUID+`"`) {
					t.Errorf("UUID %s, blkid says %s", info.UUID, blkid)
				}
			}
		})
	}
}

func put(at int64, s string) func(*testing.T, string) {
	return func(t *testing.T, image string) {
		f, err := os.OpenFile(image, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte(s), at); err != nil {
			t.Fatal(err)
		}
	}
}

// raidImage writes a superblock of an md set as mdadm would, because mdadm does so only where the kernel has md. That
// it is one is judged by mdadm --examine and by blkid.
func raidImage(t *testing.T, image, version string) {
	const id = "0123456789abcdef"
	at := int64(map[string]int64{"0.90": size&^(64<<10-1) - 64<<10, "1.0": (size/512 - 16) &^ 7 * 512, "1.1": 0,
		"1.2": 4096}[version])
	var p []byte
	sum := func(at int) {
		var n uint64
		for i := 0; i < len(p); i += 4 {
			n += uint64(le.Uint32(p[i:]))
		}
		le.PutUint32(p[at:], uint32(n)+uint32(n>>32))
	}
	if version == "0.90" {
		p = make([]byte, 4096)
		le.PutUint32(p[8:], 90)
		copy(p[20:], id[:4])
		copy(p[52:], id[4:])
		le.PutUint32(p[28:], 1)
		le.PutUint32(p[32:], size/1024)
		le.PutUint32(p[36:], 1)
		le.PutUint32(p[40:], 2)
	} else {
		p = make([]byte, 256+4)
		le.PutUint32(p[4:], 1)
		copy(p[16:], id)
		copy(p[32:], "host:name")
		le.PutUint32(p[72:], 1)
		le.PutUint64(p[80:], 1000)
		le.PutUint32(p[92:], 2)
		le.PutUint64(p[128:], 2048)
		le.PutUint64(p[136:], 1000)
		le.PutUint64(p[144:], uint64(at/512))
		le.PutUint32(p[220:], 2)
	}
	le.PutUint32(p, raidMagic)
	if version == "0.90" {
		sum(152)
	} else {
		sum(216)
	}
	put(at, string(p))(t, image)
	device, detach := volumetest.Loop(t, image, 512)
	out := volumetest.Run(t, "mdadm", "--examine", device)
	detach()
	if !strings.Contains(out, "Version : "+version[:3]) || !strings.Contains(out, "Raid Level : raid1") {
		t.Fatalf("mdadm --examine: %s", out)
	}
}

func TestNothing(t *testing.T) {
	for _, p := range [][]byte{nil, make([]byte, 100), make([]byte, 1<<20), bytes.Repeat([]byte{0xff}, 1<<20)} {
		if _, err := Open(bytes.NewReader(p), int64(len(p))); !errors.Is(err, volume.ErrNotThis) {
			t.Errorf("%d bytes: %v", len(p), err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"LUKS\xba\xbe\x00\x01", "   -FVE-FS-", strings.Repeat("\x00", 4096) +
		"\xfc\x4e\x2b\xa9\x01\x00\x00\x00", strings.Repeat("\x00", 4096) + "MSWIN"} {
		f.Add([]byte(s), int64(1<<20))
	}
	f.Fuzz(func(t *testing.T, p []byte, size int64) {
		size = min(max(size, 0), 1<<20)
		r := io.NewSectionReader(bytes.NewReader(append(p, make([]byte, 1<<20)...)), 0, size)
		if fs, err := Open(r, size); err == nil {
			_ = fs.Info()
		}
	})
}
