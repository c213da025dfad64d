package member

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// piece is some bytes of a device: at a byte from its start, or from its end when that is negative.
type piece struct {
	at int64
	s  string
}

// TestMagics writes the signature of every holder that blkid knows (blkid -k), and of those that it does not, over a
// sound ext4: the partition is that holder, and whole. The real tool writes where Debian has one that needs no kernel.
func TestMagics(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	via := "\x55\xaa\x00" + zeros(47)
	silicon := zeros(0x60) + "\x00\x00\x00\x2f" + zeros(0x13e-0x64) + "\x00\xd1"
	jmicron := "JM\x00\x01" + zeros(122) + "\xb6\xb1"
	adaptec := "\x37\xfc\x4d\x1e" + zeros(252) + "DPTM"
	drbd := zeros(60) + "\x83\x74\x02"
	for _, c := range []struct {
		name, typ, note string
		pieces          []piece
		blkid           string // when it is not typ; "-" for nothing
	}{
		{name: "Intel", typ: "isw_raid_member", note: "Intel RST",
			pieces: []piece{{-1024, "Intel Raid ISM Cfg Sig. 1.3.00"}}},
		{name: "Intel, 4096-byte sectors", typ: "isw_raid_member", note: "Intel RST",
			pieces: []piece{{-8192, "Intel Raid ISM Cfg Sig. 1.3.00"}}, blkid: "-"},
		{name: "DDF", typ: "ddf_raid_member", note: "in DDF", pieces: []piece{{-512, "\xde\x11\xde\x11"}}},
		{name: "DDF, little-endian", typ: "ddf_raid_member", note: "in DDF",
			pieces: []piece{{-512, "\x11\xde\x11\xde"}}},
		{name: "DDF, Adaptec's place", typ: "ddf_raid_member", note: "in DDF",
			pieces: []piece{{-257 * 512, "\xde\x11\xde\x11"}}},
		{name: "LSI", typ: "lsi_mega_raid_member", note: "LSI", pieces: []piece{{-512, "$XIDE$"}}},
		{name: "VIA", typ: "via_raid_member", note: "VIA", pieces: []piece{{-512, via + "\xff"}}},
		{name: "Silicon Image", typ: "silicon_medley_raid_member", note: "Silicon Image",
			pieces: []piece{{-512, silicon}}},
		{name: "NVIDIA", typ: "nvidia_raid_member", note: "NVIDIA", pieces: []piece{{-1024, "NVIDIA  "}}},
		{name: "Promise", typ: "promise_fasttrack_raid_member", note: "Promise",
			pieces: []piece{{-63 * 512, "Promise Technology, Inc."}}},
		{name: "Promise, far", typ: "promise_fasttrack_raid_member", note: "Promise",
			pieces: []piece{{-3087 * 512, "Promise Technology, Inc."}}},
		{name: "HighPoint 45x", typ: "hpt45x_raid_member", note: "HighPoint",
			pieces: []piece{{-11 * 512, "\xf3\x16\x78\x5a"}}},
		{name: "HighPoint 37x", typ: "hpt37x_raid_member", note: "HighPoint",
			pieces: []piece{{9*512 + 32, "\xf0\x16\x78\x5a"}}},
		{name: "Adaptec", typ: "adaptec_raid_member", note: "Adaptec", pieces: []piece{{-512, adaptec}}},
		{name: "JMicron", typ: "jmicron_raid_member", note: "JMicron", pieces: []piece{{-512, jmicron}}},
		{name: "DRBD 8", typ: "drbd", note: "DRBD", pieces: []piece{{-4096, drbd + "\x6b"}}},
		{name: "DRBD 8.4, unclean", typ: "drbd", note: "not shut down", pieces: []piece{{-4096, drbd + "\x6c"}}},
		{name: "DRBD 9", typ: "drbd", note: "DRBD", pieces: []piece{{-4096, drbd + "\x6d"}}},
		{name: "DRBD's control volume", typ: "drbdmanage_control_volume", note: "drbdmanage",
			pieces: []piece{{0, "$DRBDmgr=q\x0a\x0a\x04\x0a" + zeros(64)}}, blkid: "-"},
		{name: "DRBD's data log", typ: "drbdproxy_datalog", note: "data log", pieces: []piece{{16, "DRBDdlh*"}},
			blkid: "-"},
		{name: "gmirror", typ: "GEOM", note: "GEOM class MIRROR",
			pieces: []piece{{-512, "GEOM::MIRROR\x00\x00\x00\x00\x04"}}, blkid: "-"},
		{name: "glabel", typ: "GEOM", note: "GEOM class LABEL", pieces: []piece{{-512, "GEOM::LABEL\x00"}}, blkid: "-"},
		{name: "graid3", typ: "GEOM", note: "GEOM class RAID3", pieces: []piece{{-512, "GEOM::RAID3\x00"}}, blkid: "-"},
		{name: "geli, 4096-byte sectors", typ: "GEOM", note: "GEOM class ELI",
			pieces: []piece{{-4096, "GEOM::ELI\x00"}}, blkid: "-"},
		{name: "Apple RAID", typ: "apple_raid_member", note: "Apple software RAID",
			pieces: []piece{{-4096, "AppleRAIDHeader\x00"}}, blkid: "-"},
		{name: "bcachefs", typ: "bcachefs", note: "bcachefs",
			pieces: []piece{{4096 + 24, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"}},
			blkid:  "-"},
		{name: "snapshot store", typ: "DM_snapshot_cow", note: "snapshot", pieces: []piece{{0, "SnAp"}}},
		{name: "dm-integrity", typ: "DM_integrity", note: "dm-integrity", pieces: []piece{{0, "integrt\x00\x01"}}},
		{name: "LUKS2's second header", typ: "crypto_LUKS", note: "first header is gone",
			pieces: []piece{{16 << 10, "SKUL\xba\xbe\x00\x02"}}},
		{name: "Core Storage", typ: "cs_fvault2", note: "Core Storage", pieces: []piece{{88, "CS\x01\x00\x00\x00"}},
			blkid: "-"},
		{name: "VDO", typ: "vdo", note: "VDO", pieces: []piece{{0, "dmvdo001"}}},
		{name: "UBI", typ: "ubi", note: "UBI", pieces: []piece{{0, "UBI#\x01"}}},
		{name: "LVM1", typ: "LVM1_member", note: "LVM1", pieces: []piece{{0, "HM\x01\x00"}}},
		{name: "Stratis", typ: "stratis", note: "Stratis", pieces: []piece{{516, "!Stra0tis\x86\xff\x02^\x41rh"}},
			blkid: "-"},
		{name: "Stratis, second copy", typ: "stratis", note: "Stratis",
			pieces: []piece{{9*512 + 4, "!Stra0tis\x86\xff\x02^\x41rh"}}, blkid: "-"},
		{name: "VMFS", typ: "VMFS_volume_member", note: "VMFS", pieces: []piece{{1 << 20, "\x0d\xd0\x01\xc0"}}},
		{name: "Ceph", typ: "ceph_bluestore", note: "Ceph", pieces: []piece{{0, "bluestore block device"}}},
		{name: "Oracle ASM", typ: "oracleasm", note: "Oracle ASM", pieces: []piece{{32, "ORCLDISK"}}},
		{name: "mpool", typ: "mpool", note: "mpool", pieces: []piece{{8, "mpoolDev"}}, blkid: "-"},
		{name: "ZFS, third label", typ: "zfs_member", note: "ZFS",
			pieces: []piece{{64<<20 - 512<<10 + 128<<10, "\x0c\xb1\xba\x00\x00\x00\x00\x00"}}, blkid: "-"},
		{name: "ZFS, fourth label", typ: "zfs_member", note: "ZFS",
			pieces: []piece{{64<<20 - 256<<10 + 131<<10, "\x00\x00\x00\x00\x00\xba\xb1\x0c"}}, blkid: "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := volumetest.Sparse(t, 64<<20)
			volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum", image)
			bare := volumetest.Sparse(t, 64<<20)
			for _, p := range c.pieces {
				if p.at < 0 {
					p.at += 64 << 20
				}
				put(p.at, p.s)(t, image)
				put(p.at, p.s)(t, bare)
			}
			fs, extents := volumetest.Load(t, image, Open)
			if note := fs.Info().Notes[0]; fs.Type() != c.typ || volume.Bytes(extents) != 64<<20 ||
				!strings.Contains(note, c.note) || !strings.Contains(note, "captured whole") {
				t.Errorf("%s %v %q", fs.Type(), extents, note)
			}
			want := c.typ
			if c.blkid != "" {
				want = strings.Trim(c.blkid, "-")
			}
			says, err := volumetest.Try(t, "blkid", "-p", "-o", "value", "-s", "TYPE", bare)
			if strings.TrimSpace(says) != want {
				t.Errorf("blkid says %q, %v", says, err)
			}
		})
	}
}

// TestVerity has the hash tree in a partition of its own, as veritysetup makes it.
func TestVerity(t *testing.T) {
	data, hash := volumetest.Sparse(t, 1<<20), filepath.Join(t.TempDir(), "hash")
	volumetest.Run(t, "veritysetup", "format", data, hash)
	if err := os.Truncate(hash, 1<<20); err != nil {
		t.Fatal(err)
	}
	fs, _ := volumetest.Load(t, hash, Open)
	if got, want := fs.Type(), volumetest.Blkid(t, hash)["TYPE"]; got != want || got != "DM_verity_hash" {
		t.Errorf("%s, blkid says %s", got, want)
	}
}
