package member

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume/field"
)

// What the operator can do, for each sort of holder.
const (
	wholeSet = "Capture and restore all its members together, or capture the set's own device instead. " +
		"If the set is long gone, wipefs shows what is left of it and can remove it."
	ownDevice = "Capture the device that is made of it instead. If that is long gone, wipefs shows what is left of " +
		"it and can remove it."
	geomDone = "Capture the GEOM device instead, or all its providers together. If that is long gone, `gmirror " +
		"clear` and its like remove it."
)

const (
	sector = 512
	geom   = "GEOM"

	bcachefsMagic = "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"
)

// magic is a signature in a fixed place: sig at off in the block that begins at base bytes, counted from the end of the
// last whole sector where it is negative. check looks at the block's first 512 bytes where the signature alone is too
// short to be beyond doubt.
type magic struct {
	typ       string
	base, off int64
	sig       string
	what, do  string
	mirror    bool
	check     func(block []byte) bool
}

var signatures = append([]magic{
	// Cached, layered, encrypted.
	{typ: "bcache", base: 4096, off: 24, sig: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
		what: "a bcache device",
		do:   "Detach the cache before the capture."},
	{typ: "bcachefs", base: 4096, off: 24, sig: bcachefsMagic, what: "a device of a bcachefs", do: wholeSet},
	{typ: "DM_snapshot_cow", sig: "SnAp", what: "the exception store of a device-mapper snapshot", do: ownDevice},
	{typ: "DM_verity_hash", sig: "verity\x00\x00", what: "a dm-verity hash tree",
		do: "What it vouches for is captured whole too, where it is on the same disk; an image of another disk holds " +
			"all of it only if it was captured whole."},
	{typ: "DM_integrity", sig: "integrt\x00", what: "a dm-integrity device", do: ownDevice},
	{typ: "crypto_LUKS", base: 16 << 10, sig: "SKUL\xba\xbe", what: "a LUKS2 volume whose first header is gone",
		do: "`cryptsetup repair` may bring it back."},
	{typ: "cs_fvault2", off: 88, sig: "CS\x01\x00\x00\x00", what: "an Apple Core Storage volume", do: wholeSet},
	{typ: "vdo", sig: "dmvdo001", what: "a VDO volume", do: ownDevice},
	{typ: "ubi", sig: "UBI#", what: "a UBI volume", do: ownDevice},
	// Pools and volume managers.
	{typ: "LVM1_member", sig: "HM", what: "a physical volume of LVM1", do: wholeSet, check: func(p []byte) bool {
		return le.Uint16(p[2:]) == 1 || le.Uint16(p[2:]) == 2
	}},
	{typ: "stratis", base: sector, off: 4, sig: "!Stra0tis\x86\xff\x02^\x41rh", what: "a member of a Stratis pool",
		do: wholeSet},
	{typ: "stratis", base: 9 * sector, off: 4, sig: "!Stra0tis\x86\xff\x02^\x41rh", what: "a member of a Stratis pool",
		do: wholeSet},
	{typ: "VMFS_volume_member", base: 1 << 20, sig: "\x0d\xd0\x01\xc0", what: "a member of a VMFS datastore",
		do: wholeSet},
	{typ: "ceph_bluestore", sig: "bluestore block device", what: "an OSD of a Ceph cluster (BlueStore)",
		do: "It cannot be used by two OSDs at once."},
	{typ: "oracleasm", off: 32, sig: "ORCLDISK", what: "a disk of an Oracle ASM group", do: wholeSet},
	{typ: "mpool", off: 8, sig: "mpoolDev", what: "a device of an mpool", do: wholeSet},
	// Replicated over the network: the data comes first, the metadata lies in the last 4 KiB. The magic numbers are of
	// versions 8 and 9.
	{typ: "drbd", base: -4096, off: 60, sig: "\x83\x74\x02\x6b", what: "a DRBD device", do: drbdDo, mirror: true},
	{typ: "drbd", base: -4096, off: 60, sig: "\x83\x74\x02\x6c", what: "a DRBD device that was not shut down",
		do: drbdDo, mirror: true},
	{typ: "drbd", base: -4096, off: 60, sig: "\x83\x74\x02\x6d", what: "a DRBD device", do: drbdDo, mirror: true},
	{typ: "drbdmanage_control_volume", sig: "$DRBDmgr=q", what: "a control volume of drbdmanage", do: ownDevice},
	{typ: "drbdproxy_datalog", off: 16, sig: "DRBDdlh*", what: "a data log of the DRBD proxy", do: ownDevice},
	// RAID in the BIOS or in a controller. All of them keep their metadata near the end but one.
	{typ: "isw_raid_member", base: -2 * sector, sig: "Intel Raid ISM Cfg Sig. ",
		what: "a member of an Intel RST (Matrix) RAID set", do: wholeSet},
	{typ: "isw_raid_member", base: -2 * 4096, sig: "Intel Raid ISM Cfg Sig. ",
		what: "a member of an Intel RST (Matrix) RAID set", do: wholeSet},
	{typ: "ddf_raid_member", base: -sector, sig: "\xde\x11\xde\x11", what: "a member of a RAID set in DDF",
		do: wholeSet},
	{typ: "ddf_raid_member", base: -sector, sig: "\x11\xde\x11\xde", what: "a member of a RAID set in DDF",
		do: wholeSet},
	{typ: "ddf_raid_member", base: -4096, sig: "\xde\x11\xde\x11", what: "a member of a RAID set in DDF", do: wholeSet},
	{typ: "ddf_raid_member", base: -257 * sector, sig: "\xde\x11\xde\x11", what: "a member of a RAID set in DDF",
		do: wholeSet},
	{typ: "ddf_raid_member", base: -257 * sector, sig: "\x11\xde\x11\xde", what: "a member of a RAID set in DDF",
		do: wholeSet},
	{typ: "lsi_mega_raid_member", base: -sector, sig: "$XIDE$", what: "a member of an LSI MegaRAID set", do: wholeSet},
	{typ: "nvidia_raid_member", base: -2 * sector, sig: "NVIDIA", what: "a member of an NVIDIA RAID set", do: wholeSet},
	{typ: "via_raid_member", base: -sector, sig: "\x55\xaa", what: "a member of a VIA RAID set", do: wholeSet,
		check: via},
	{typ: "silicon_medley_raid_member", base: -sector, off: 0x60, sig: "\x00\x00\x00\x2f",
		what: "a member of a Silicon Image RAID set", do: wholeSet,
		check: silicon},
	{typ: "hpt45x_raid_member", base: -11 * sector, sig: "\xf3\x16\x78\x5a", what: "a member of a HighPoint RAID set",
		do: wholeSet},
	{typ: "hpt45x_raid_member", base: -11 * sector, sig: "\xfd\x16\x78\x5a", what: "a member of a HighPoint RAID set",
		do: wholeSet},
	{typ: "hpt37x_raid_member", base: 9 * sector, off: 32, sig: "\xf0\x16\x78\x5a",
		what: "a member of a HighPoint RAID set", do: wholeSet},
	{typ: "hpt37x_raid_member", base: 9 * sector, off: 32, sig: "\xfd\x16\x78\x5a",
		what: "a member of a HighPoint RAID set", do: wholeSet},
	{typ: "adaptec_raid_member", base: -sector, off: 256, sig: "DPTM", what: "a member of an Adaptec RAID set",
		do: wholeSet, check: func(p []byte) bool {
			return binary.BigEndian.Uint32(p) == 0x37fc4d1e
		}},
	{typ: "jmicron_raid_member", base: -sector, sig: "JM", what: "a member of a JMicron RAID set", do: wholeSet,
		check: jmicron},
	{typ: "apple_raid_member", base: -4096, sig: "AppleRAIDHeader\x00", what: "a member of an Apple software RAID",
		do: wholeSet},
	// FreeBSD: every GEOM class that keeps metadata keeps it in the provider's last sector.
	{typ: geom, base: -sector, sig: "GEOM::", do: geomDone},
	{typ: geom, base: -4096, sig: "GEOM::", do: geomDone},
}, promise()...)

const drbdDo = "Capture the DRBD device (/dev/drbd0) instead, or take its resource down before the capture."

// promise are the sectors, counted from the end, where a Promise FastTrak keeps its metadata: that depends on the
// disk's geometry.
func promise() (list []magic) {
	for _, s := range []int64{63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 951, 3087} {
		list = append(list, magic{typ: "promise_fasttrack_raid_member", base: -s * sector,
			sig:  "Promise Technology, Inc.",
			what: "a member of a Promise FastTrak RAID set", do: wholeSet})
	}
	return list
}

// magics looks for every signature of the table, and returns the first that is there.
func magics(r io.ReaderAt, size int64) (*Found, error) {
	for i := range signatures {
		if f, err := signatures[i].find(r, size); f != nil || err != nil {
			return f, err
		}
	}
	return nil, nil
}

// find looks for the signature where it may be.
func (m *magic) find(r io.ReaderAt, size int64) (*Found, error) {
	for _, base := range m.places(size) {
		block, err := peek(r, size, base, sector)
		if err != nil {
			return nil, err
		}
		if block != nil && string(block[m.off:m.off+int64(len(m.sig))]) == m.sig &&
			(m.check == nil || m.check(block)) {
			return m.found(base, block), nil
		}
	}
	return nil, nil
}

// places are where the signature's block may begin: counted from the end, that depends on whether sectors have 512 or
// 4096 bytes.
func (m *magic) places(size int64) []int64 {
	if m.base >= 0 {
		return []int64{m.base}
	}
	at := []int64{size&^(sector-1) + m.base}
	if large := size&^4095 + m.base; m.base%4096 == 0 && large != at[0] {
		at = append(at, large)
	}
	return at
}

func (m *magic) found(base int64, block []byte) *Found {
	f := &Found{Type: m.typ, What: m.what, At: base, Mirror: m.mirror, Advice: m.do}
	if m.typ == geom {
		class := field.Text(block[len(m.sig):16])
		f.What = fmt.Sprintf("a provider of the GEOM class %s", class)
		f.Mirror = class == "MIRROR" || class == "LABEL"
	}
	return f
}

// via checks the sum of the first 50 bytes.
func via(p []byte) bool {
	var sum byte
	for _, c := range p[:50] {
		sum += c
	}
	return p[2] <= 2 && sum == p[50]
}

// silicon checks that the 16-bit words up to the checksum's end sum up to 0.
func silicon(p []byte) bool { return p[0x116] < 8 && words(p[:0x140]) == 0 }

// jmicron checks the sum of 64 words: 0, or 1 by firmware that counts wrong.
func jmicron(p []byte) bool { return words(p[:128]) <= 1 }

func words(p []byte) (sum uint16) {
	for ; len(p) > 1; p = p[2:] {
		sum += le.Uint16(p)
	}
	return sum
}
