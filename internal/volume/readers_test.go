package volume_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/btrfs"
	"github.com/diskcast/diskcast/internal/volume/exfat"
	"github.com/diskcast/diskcast/internal/volume/ext"
	"github.com/diskcast/diskcast/internal/volume/f2fs"
	"github.com/diskcast/diskcast/internal/volume/fat"
	"github.com/diskcast/diskcast/internal/volume/hfsplus"
	"github.com/diskcast/diskcast/internal/volume/jfs"
	"github.com/diskcast/diskcast/internal/volume/nilfs2"
	"github.com/diskcast/diskcast/internal/volume/ntfs"
	"github.com/diskcast/diskcast/internal/volume/reiserfs"
	"github.com/diskcast/diskcast/internal/volume/swap"
	"github.com/diskcast/diskcast/internal/volume/ufs"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
	"github.com/diskcast/diskcast/internal/volume/xfs"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// readers is the table of file systems: who makes each of them and in which forms, how it is filled, by whom it is
// read, and who judges.
var readers = []reader{
	{
		name: "btrfs", open: of(btrfs.Open), size: 256 * mib, mb: 24,
		make: func(t *testing.T, v variant, size int64) string {
			if feature, ok := strings.CutPrefix(v.options, "-O "); ok {
				list, _ := volumetest.Try(t, "mkfs.btrfs", "-O", "list-all")
				if !strings.HasPrefix(feature, "^") && !strings.Contains(list, feature) {
					t.Skipf("this mkfs.btrfs cannot make it: %s", v.options)
				}
			}
			return volumetest.Mkfs(t, "btrfs", size, v.options)
		},
		medium: kernel("btrfs", "", subvolumes),
		check:  tools("btrfs check --check-data-csum"),
		counts: func(t *testing.T, m mapped) {
			if m.variant.then == "" {
				m.between(t, 1, m.size/2)
			}
		},
		super: 64 * kib,
		damage: []damage{
			{name: "checksum", at: 64*kib + 0x70, flip: 1},
			{name: "magic", at: 64*kib + 64, flip: 1, want: notThis},
		},
		variants: btrfsVariants,
		recorded: []variant{
			{seed: "single", size: 128 * mib, options: "-m single -n 4096"},
			{seed: "mixed", size: 128 * mib, options: "--mixed -n 4096"},
		},
	},
	{
		name: "exfat", open: of(exfat.Open), size: 128*mib + 512, mb: 16, make: mkfs("exfat"),
		medium:    fuse(true, largeClusters, "mount.exfat-fuse"),
		check:     tools("fsck.exfat -n"),
		partclone: &partclone{"exfat", tail},
		damage: []damage{
			{name: "checksum", at: 200, patch: "\x01", want: "checksum"},
			{name: "magic", at: 3, patch: "EXT", want: notThis},
		},
		dirty: &dirt{do: poke(106, "\x02")}, whole: true,
		variants: []variant{
			{name: "default"}, {name: "512", options: "-c 512"}, {name: "4K", options: "-c 4K"},
			{name: "128K", options: "-c 128K", partclone: true},
			{name: "1M", options: "-c 1M", then: "large clusters"}, {name: "aligned to 4M", options: "-b 4M"},
		},
		recorded: []variant{
			{seed: "small", size: 16 * mib, options: "-c 512"},
			{seed: "default", size: 16 * mib},
			{seed: "large", size: 16 * mib, options: "-c 128K"},
		},
	},
	{
		name: "ext", open: of(ext.Open), size: 64 * mib, mb: 4, make: mke2fs,
		medium: rdump(), check: tools("e2fsck -fn"), counts: likeDumpe2fs, partclone: &partclone{tool: "ext4"},
		super: 1024,
		damage: []damage{
			{name: "checksum", options: "-t ext4", at: 1024 + 8, flip: 0x40, want: "the checksum is"},
			{name: "descriptor crc32c", options: "-t ext4 -b 4096", at: 4096 + 12, flip: 0x40,
				want: "its descriptor's checksum"},
			{name: "descriptor crc16", options: "-t ext4 -b 4096 -O ^metadata_csum,uninit_bg", at: 4096 + 12,
				flip: 0x40, want: "its descriptor's checksum"},
			{name: "magic", at: 1024 + 0x38, flip: 1, want: notThis},
		},
		dirty: &dirt{options: "-t ext2", refused: "has no journal to recover from",
			do: func(t *testing.T, image string) string {
				volumetest.Run(t, "debugfs", "-w", "-R", "ssv state 0", image)
				return ""
			}},
		variants: extVariants,
		recorded: []variant{
			{seed: "ext2", size: 8 * mib, options: "-t ext2 -b 1024"},
			{seed: "ext4", size: 8 * mib, options: "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,uninit_bg -g 1024"},
			{seed: "meta-bg", size: 8 * mib,
				options: "-t ext4 -b 1024 -g 256 -N 512 " +
					"-O ^metadata_csum,^has_journal,^uninit_bg,^resize_inode,meta_bg"},
			{seed: "bigalloc", size: 8 * mib,
				options: "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^uninit_bg,bigalloc -C 4096"},
			{seed: "csum", size: 8 * mib, options: "-t ext4 -b 1024 -O ^has_journal"},
		},
	},
	{
		name: "f2fs", open: of(f2fs.Open), size: 112 * mib, mb: 12, make: mkfs("f2fs"),
		medium: guest("f2fs"), check: fsckF2fs, partclone: &partclone{tool: "f2fs"},
		super: 1024,
		damage: []damage{
			{name: "magic", at: 1024, flip: 1, want: notThis},
			{name: "blocks of 2^255 bytes", at: 1024 + 16, patch: "\xff", want: "f2fs"},
		},
		dirty: &dirt{do: crash("f2fs")}, whole: true,
		variants: []variant{
			{name: "default", partclone: true, seed: "filled"},
			{name: "checksums", options: "-O extra_attr,inode_checksum,sb_checksum,compression -i"},
		},
		recorded: []variant{
			{seed: "empty", size: 64 * mib},
		},
	},
	{
		name: "fat", open: of(fat.Open), size: 64 * mib, mb: 2, make: mkfs("fat"),
		medium: mtools(), check: tools("fsck.fat -n"), counts: likeFsckFat, notes: 1,
		partclone: &partclone{tool: "fat32"},
		damage: []damage{
			{name: "no signature", options: "-F 32", at: 510, patch: "\x00", want: notThis},
			{name: "ntfs", options: "-F 32", at: 14, patch: "\x00\x00\x00", want: notThis},
			{name: "sector size", options: "-F 32", at: 11, patch: "\x00\x03", want: notThis},
			{name: "too large", options: "-F 32", at: 32, patch: "\x00\x00\x00\x01", want: "more than its partition"},
			{name: "tables too large", options: "-F 32", at: 36, patch: "\x00\x00\x20\x00",
				want: "tables and root directory take"},
			{name: "version", options: "-F 32", at: 42, patch: "\x01", want: "version is 0.1"},
			{name: "root cluster", options: "-F 32", at: 44, patch: "\x00\x00\x00\x08",
				want: "root directory would be"},
		},
		dirty:    &dirt{options: "-F 32 -s 1", do: poke(65, "\x01")},
		variants: fatVariants,
		recorded: []variant{
			{seed: "fat12", size: 4 * mib, options: "-F 12 -s 2"},
			{seed: "fat16", size: 4 * mib, options: "-F 16 -s 1"},
			{seed: "fat32", size: 4 * mib, options: "-F 32 -s 1"},
		},
	},
	{
		name: "hfsplus", open: of(hfsplus.Open), size: 24*mib + 512, mb: 8,
		make:   func(t *testing.T, _ variant, size int64) string { return volumetest.HFSPlus(t, size) },
		medium: guest("hfsplus"),
		counts: func(t *testing.T, m mapped) {
			used := m.fs.Info().Used
			m.between(t, used, min(used+8*kib, m.size*3/4))
		},
		partclone: &partclone{"hfsp", blocks(2, 0)},
		super:     1024,
		damage: []damage{
			{name: "magic", at: 1024, flip: 1, want: notThis},
			{name: "blocks of 0 bytes", at: 1024 + 40, patch: "\x00\x00\x00\x00", want: "block size 0"},
		},
		dirty:    &dirt{do: func(t *testing.T, image string) string { crash("hfsplus")(t, image); return "" }},
		whole:    true,
		variants: []variant{{name: "default", partclone: true, seed: "filled"}},
	},
	{
		name: "jfs", open: of(jfs.Open), size: 80*mib + 512, mb: 12, make: mkfs("jfs"),
		medium: guest("jfs"), check: tools("fsck.jfs -n -f"), counts: threeQuarters,
		super:  32 * kib,
		damage: []damage{{name: "magic", at: 32 * kib, flip: 1, want: notThis}},
		dirty: &dirt{do: crash("jfs"), mend: func(t *testing.T, image string) {
			_, _ = volumetest.Try(t, "fsck.jfs", "-a", image) // it says by its exit status that it replayed the log
		}},
		whole:    true,
		variants: []variant{{name: "default", seed: "filled"}, {name: "OS/2", options: "-O"}},
	},
	{
		name: "nilfs2", open: of(nilfs2.Open), size: 128*mib + 512, mb: 12, make: mkfs("nilfs2"),
		medium: guest("nilfs2"),
		counts: func(t *testing.T, m mapped) { m.between(t, 8*mib, m.size*3/4) },
		super:  1024,
		damage: []damage{{name: "checksum", at: 1024 + 100, flip: 1, want: "checksum"}},
		dirty:  &dirt{do: crash("nilfs2")}, whole: true,
		variants: []variant{
			{name: "default", options: "-B 64", seed: "filled"}, {name: "1k", options: "-B 128 -b 1024"},
		},
	},
	{
		name: "ntfs", open: of(ntfs.Open), size: 96*mib + 512, mb: 20, make: mkfs("ntfs"),
		medium: fuse(false, largeClusters, "ntfs-3g"), check: tools("ntfsfix -n", "ntfsresize -i -f"),
		partclone: &partclone{"ntfs", blocks(1, 0)},
		damage: []damage{
			{name: "sectors of 3 bytes", at: 0x0b, patch: "\x03"},
			{name: "magic", at: 3, patch: "EXT", want: notThis},
		},
		dirty: &dirt{do: func(t *testing.T, image string) string { // for Windows to look at it
			volumetest.Run(t, "ntfsfix", image)
			return ""
		}},
		whole: true,
		variants: []variant{
			{name: "default", partclone: true},
			{name: "512", options: "-c 512"}, {name: "1024", options: "-c 1024"}, {name: "2048", options: "-c 2048"},
			{name: "16384", options: "-c 16384", then: "large clusters"},
			{name: "65536", options: "-c 65536", then: "large clusters"},
			{name: "131072", options: "-c 131072", then: "large clusters"},
			{name: "524288", options: "-c 524288", then: "large clusters"},
			{name: "2097152", options: "-c 2097152", then: "large clusters"},
			{name: "sectors of 1024", options: "-s 1024"}, {name: "sectors of 4096", options: "-s 4096"},
			{name: "compressed", options: "-C"},
		},
		recorded: []variant{
			{seed: "small", size: 16 * mib, options: "-c 512"},
			{seed: "default", size: 16 * mib},
			{seed: "large", size: 16 * mib, options: "-c 131072"},
		},
	},
	{
		name: "reiserfs", open: of(reiserfs.Open), size: 80*mib + 512, mb: 12, make: mkfs("reiserfs"),
		medium: guest("reiserfs"), check: tools("reiserfsck --check -y -q"), counts: threeQuarters,
		super:  64 * kib,
		damage: []damage{{name: "magic", at: 64*kib + 52, flip: 1, want: notThis}},
		dirty:  &dirt{do: crash("reiserfs")}, whole: true,
		variants: []variant{{name: "default", seed: "filled"}, {name: "1k", options: "-b 1024"}},
	},
	{
		name: "swap", open: of(swap.Open), size: 8 * mib,
		make: func(t *testing.T, v variant, size int64) string {
			if strings.HasPrefix(v.options, "-e") &&
				!strings.Contains(volumetest.Run(t, "mkswap", "--help"), "--endianness") {
				t.Skip("this mkswap writes its own byte order only")
			}
			if v.label != "" {
				return volumetest.Mkfs(t, "swap", size, v.options, "-L", v.label)
			}
			return volumetest.Mkfs(t, "swap", size, v.options)
		},
		counts: onlyHeader, notes: 1,
		super:  1024,
		damage: []damage{{name: "signature", at: 4096 - 10, flip: 1, want: notThis}},
		dirty:  &dirt{do: poke(4096-10, "S1SUSPEND\x00")}, whole: true,
		variants: []variant{
			{name: "default"}, {name: "label", label: "a label"}, {name: "big endian", options: "-e big"},
			{name: "8k", options: "-p 8192"}, {name: "16k", options: "-p 16384"}, {name: "64k", options: "-p 65536"},
		},
		recorded: []variant{
			{seed: "4k", size: mib, options: "-p 4096"},
			{seed: "64k", size: mib, options: "-p 65536"},
		},
	},
	{
		name: "ufs", open: of(ufs.Open), mb: 16,
		make: func(t *testing.T, v variant, _ int64) string {
			order, options, _ := strings.Cut(v.options, " ")
			return volumetest.Makefs(t, order, options, tree(t, 16, "long-soft"))
		},
		medium: makefs(),
		check:  func(t *testing.T, image string) { contains(t, image, tree(t, 16, "long-soft")) },
		counts: func(t *testing.T, m mapped) {
			used := m.fs.Info().Used
			m.between(t, used, min(used+mib, 48*mib))
		},
		super: 8 * kib,
		damage: []damage{
			{name: "magic", at: 8*kib + 1372, flip: 1, want: notThis},
			{name: "blocks of 255 bytes", at: 8*kib + 48, patch: "\xff\x00\x00\x00", want: "blocks of 255 bytes"},
		},
		dirty: &dirt{do: poke(8*kib+209, "\x00")}, whole: true,
		variants: []variant{
			{name: "UFS2", options: "le version=2", seed: "ufs2"},
			{name: "UFS1", options: "le version=1", mount: "ufstype=44bsd"},
			{name: "UFS1 big endian", options: "be version=1,bsize=8192,fsize=1024", mount: "ufstype=44bsd",
				seed: "ufs1-big-endian"},
			{name: "UFS2 large blocks", options: "le version=2,bsize=32768,fsize=4096"},
		},
	},
	{
		name: "xfs", open: of(xfs.Open), size: 160 * mib, mb: 24, make: mkfs("xfs"),
		medium: kernel("xfs", "nouuid", nil), check: tools("xfs_repair -n -f"), counts: likeXFS,
		partclone: &partclone{"xfs", blocks(64, 64)},
		damage: []damage{
			{name: "checksum", at: 300, flip: 0x55, want: "checksum"},
			{name: "free space header", at: 512 + 52, flip: 0x55, want: "checksum"},
			{name: "magic of the header", at: 512, flip: 0x55, want: "magic"},
			{name: "magic", at: 0, flip: 1, want: notThis},
		},
		variants: xfsVariants,
	},
}

// TestRows wants a row for each package with a fuzz target for file systems, so that no reader is forgotten.
func TestRows(t *testing.T) {
	seeds, err := filepath.Glob("*/testdata/*.seed")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range seeds {
		name, _, _ := strings.Cut(path, "/")
		if name != "lvm" && !slices.ContainsFunc(readers, func(r reader) bool { return r.name == name }) {
			t.Errorf("%s is in no row of readers", name)
		}
	}
	if len(seeds) < 30 {
		t.Errorf("%d seeds, want those of all readers", len(seeds))
	}
}
