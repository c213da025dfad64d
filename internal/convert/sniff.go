package convert

import (
	"bytes"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// sniffSize is how much of a file's beginning tells its format: a tar header is the longest.
const sniffSize = 512

// kind is a format that is told by its first bytes.
type kind struct {
	name  string
	what  string // for the operator
	way   string // how the operator gets at the disk in it; empty for what this package reads
	at    int    // where the magic bytes are
	magic string
}

const (
	unpackFirst  = "unpack it with `%s`, and take OUT"
	convertFirst = "convert it with `%s`, and take OUT"
	captureFirst = "%s, and capture that disk"
)

func unpackBy(command string) string  { return fmt.Sprintf(unpackFirst, command) }
func convertBy(command string) string { return fmt.Sprintf(convertFirst, command) }
func restoreBy(program string) string {
	return fmt.Sprintf(captureFirst, "restore it to a disk with "+program)
}

var qemuImg = convertBy("qemu-img convert -O raw IN OUT")

// kinds are the formats that are told by magic bytes. Those without a way out are read. The order matters where one is
// the beginning of another.
var kinds = []kind{
	{"gz", "gzip", "", 0, "\x1f\x8b"},
	{"zst", "zstd", "", 0, "\x28\xb5\x2f\xfd"},
	{"xz", "xz", "", 0, "\xfd7zXZ\x00"},
	{"lz4", "lz4", "", 0, "\x04\x22\x4d\x18"},
	{"lz4", "lz4 (legacy)", "", 0, "\x02\x21\x4c\x18"},
	{"bz2", "bzip2", "", 0, "BZh"},
	{"qcow2", "qcow2", "", 0, "QFI\xfb"},
	{"partclone", "partclone", "", 0, "partclone-image"},
	{"ntfsclone", "ntfsclone", "", 0, "\x00ntfsclone-image"},
	{"imagezip", "imagezip", "", 0, "\x69\x69\x69\x69"}, {"imagezip", "imagezip", "", 0, "\x6a\x69\x69\x69"},
	{"imagezip", "imagezip", "", 0, "\x6b\x69\x69\x69"}, {"imagezip", "imagezip", "", 0, "\x6c\x69\x69\x69"},
	{"imagezip 5", "imagezip (version 5)", unpackBy("imageunzip IN OUT"), 0, "\x6d\x69\x69\x69"},
	{"imagezip 6", "imagezip (version 6)", unpackBy("imageunzip IN OUT"), 0, "\x6e\x69\x69\x69"},
	// A file system without a partition table is a disk too; but who gives this one may think of the system in it.
	{"squashfs", "squashfs", "", 0, "hsqs"},

	{"lzip", "lzip", unpackBy("lzip -dc IN > OUT"), 0, "LZIP"},
	{"lzo", "lzop", unpackBy("lzop -dc IN > OUT"), 0, "\x89LZO\x00"},
	{"lrz", "lrzip", unpackBy("lrzip -d -o OUT IN"), 0, "LRZI"},
	{"Z", "compress (.Z)", unpackBy("gzip -dc IN > OUT"), 0, "\x1f\x9d"},
	{"snappy", "snappy", unpackBy("snzip -dc IN > OUT"), 0, "\xff\x06\x00\x00sNaPpY"},
	{"bz3", "bzip3", unpackBy("bzip3 -dc IN > OUT"), 0, "BZ3v1"},
	{"zip", "zip", unpackBy("unzip -p IN > OUT"), 0, "PK\x03\x04"},
	{"zip", "zip (empty)", unpackBy("unzip -p IN > OUT"), 0, "PK\x05\x06"},
	{"zip", "zip (in several parts)", unpackBy("7z e -so IN > OUT"), 0, "PK\x07\x08"},
	{"7z", "7z", unpackBy("7z e -so IN > OUT"), 0, "7z\xbc\xaf\x27\x1c"},
	{"rar", "rar", unpackBy("unrar p -inul IN > OUT"), 0, "Rar!\x1a\x07"},
	{"cab", "cabinet", unpackBy("cabextract -p IN > OUT"), 0, "MSCF\x00\x00\x00\x00"},
	{"ar", "ar or Debian package", unpackBy("ar p IN > OUT"), 0, "!<arch>\n"},
	{"rpm", "RPM package", "take the disk image out of it with `rpm2cpio IN | cpio -id`", 0, "\xed\xab\xee\xdb"},
	{"cpio", "cpio", "take the disk image out of it with `cpio -id < IN`", 0, "070701"},
	{"cpio", "cpio", "take the disk image out of it with `cpio -id < IN`", 0, "070702"},
	{"cpio", "cpio", "take the disk image out of it with `cpio -id < IN`", 0, "070707"},

	{"vmdk", "VMDK", qemuImg, 0, "KDMV"},
	{"vmdk", "VMDK (ESX)", qemuImg, 0, "COWD"},
	{"vmdk", "VMDK (SE sparse)", qemuImg, 0, "\xbe\xba\xfe\xca\x00\x00\x00\x00"},
	{"vmdk", "VMDK descriptor", qemuImg, 0, "# Disk DescriptorFile"},
	{"vhdx", "VHDX", qemuImg, 0, "vhdxfile"},
	{"vhd", "VHD", convertBy("qemu-img convert -f vpc -O raw IN OUT"), 0, "conectix"},
	{"vdi", "VDI", qemuImg, 64, "\x7f\x10\xda\xbe"},
	{"parallels", "Parallels disk", convertBy("qemu-img convert -f parallels -O raw IN OUT"), 0, "WithoutFreeSpace"},
	{"parallels", "Parallels disk", convertBy("qemu-img convert -f parallels -O raw IN OUT"), 0, "WithouFreSpacExt"},
	{"qed", "QED", qemuImg, 0, "QED\x00"},
	{"cloop", "cloop", convertBy("qemu-img convert -f cloop -O raw IN OUT"), 0, "#!/bin/sh\n#V2.0 Format\n"},
	{"simg", "Android sparse", convertBy("simg2img IN OUT"), 0, "\x3a\xff\x26\xed"},
	{"dmg", "encrypted Apple disk image", convertBy("hdiutil convert IN -format UDTO -o OUT"), 0, "encrcdsa"},
	{"ewf", "EnCase (EWF)", convertBy("ewfexport -f raw -t OUT IN"), 0, "EVF\x09\x0d\x0a\xff\x00"},
	{"aff", "AFF", convertBy("affconvert -r IN"), 0, "AFF10\x0d\x0a\x00"},

	{"wim", "WIM or ESD", "it holds files and no disk; apply it to a partition with `wimapply IN 1 DEVICE`, and " +
		"capture that disk", 0, "MSWIM\x00\x00\x00"},
	{"wim", "WIM (pipable)",
		"it holds files and no disk; apply it to a partition with `wimapply IN 1 DEVICE`, and capture that disk", 0,
		"WLPWM\x00\x00\x00"},
	{"ffu", "Windows FFU", restoreBy("`DISM /Apply-FFU`"), 4, "SignedImage "},
	{"gho", "Norton Ghost", restoreBy("Ghost"), 0, "\xfe\xef\x01"},
	{"tib", "Acronis True Image", restoreBy("Acronis"), 0, "\xb4\x6e\x68\x44"},
	{"tib", "Acronis True Image", restoreBy("Acronis"), 0, "\xce\x24\xb9\xa2\x20\x00\x00\x00"},
	{"tib", "Acronis True Image", restoreBy("Acronis"), 0, "\xcd\x20\xaa\xaa\x02\x00\x00\x00"},
	{"fsa", "fsarchiver", restoreBy("`fsarchiver restfs IN id=0,dest=PARTITION`"), 0, "FsA0"},
	{"partimage", "partimage", restoreBy("`partimage restore PARTITION IN`"), 0, "PaRtImAgE-VoLuMe"},
	{"fsdump", "dump", restoreBy("`restore -rf IN` in a file system of its own"), 24, "\x6c\xea\x00\x00"},
}

// Formats that are told by a rule.
var (
	kindTar  = kind{name: "tar", what: "tar"}
	kindLzma = kind{name: "lzma", what: "lzma (not xz)", way: unpackBy("xz -dc --format=lzma IN > OUT")}
)

// sniff tells the format of a file that begins with head. The name of a raw disk, which may begin with anything, is
// empty.
func sniff(head []byte) kind {
	for _, k := range kinds {
		if len(head) >= k.at+len(k.magic) && string(head[k.at:k.at+len(k.magic)]) == k.magic && k.plausible(head) {
			return k
		}
	}
	switch {
	case isTar(head):
		return kindTar
	case isLzma(head):
		return kindLzma
	case isPacked(head):
		return sniff(head[8+le.Uint32(head[4:]):])
	}
	return kind{}
}

// plausible looks further where the magic bytes are few.
func (k kind) plausible(head []byte) bool {
	switch k.name {
	case "bz2": // a digit, and the first block's mark or that of the end
		return len(head) < 10 || head[3] >= '1' && head[3] <= '9' &&
			(string(head[4:10]) == "1AY&SY" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90")
	case "gz":
		return len(head) < 4 || head[2] == 8 && head[3]&0xe0 == 0
	case "squashfs":
		return len(head) < 32 || le.Uint16(head[28:]) == 4 // its major version
	case "fsdump":
		return le.Uint32(head) >= 1 && le.Uint32(head) <= 6 // the type of the record
	}
	return true
}

// isTar tells a tar header by its checksum: the sum of its bytes, with blanks for the sum itself.
func isTar(head []byte) bool {
	if len(head) < 512 || head[0] == 0 {
		return false
	}
	want, err := strconv.ParseUint(strings.Trim(string(head[148:156]), " \x00"), 8, 32)
	if err != nil {
		return false
	}
	sum := uint64(8 * ' ')
	for i, c := range head[:512] {
		if i < 148 || i >= 156 {
			sum += uint64(c)
		}
	}
	return sum == want
}

// isLzma tells the older format of lzma, which has no magic bytes: properties, the size of the dictionary (2^n or
// 3*2^n), the size of the data (or all ones), and a zero with which the coder begins.
func isLzma(head []byte) bool {
	if len(head) < 14 || head[0] != 0x5d || head[13] != 0 {
		return false
	}
	dict, size := le.Uint32(head[1:]), le.Uint64(head[5:])
	round := bits.OnesCount32(dict) == 1 || bits.OnesCount32(dict) == 2 && bits.OnesCount32(dict&(dict>>1)) == 1
	return round && dict >= 4096 && (size == 1<<64-1 || size > 0 && size < 1<<48)
}

// isPacked tells a skippable frame, with which zstd and lz4 files may begin (pzstd's do), if another frame follows in
// head.
func isPacked(head []byte) bool {
	if len(head) < 16 || head[0]&0xf0 != 0x50 || !bytes.Equal(head[1:4], []byte("\x2a\x4d\x18")) {
		return false
	}
	n := le.Uint32(head[4:])
	if n > uint32(len(head)-12) {
		return false
	}
	next := sniff(head[8+n:]).name
	return next == "zst" || next == "lz4"
}

// stream says that the format is read from a stream.
func (k kind) stream() bool {
	return k.way == "" && k.name != "" && k.name != "qcow2" && k.name != "squashfs"
}

// refuse is the error for a format that is not read.
func (k kind) refuse() error { return fmt.Errorf("%w: its format is %s; %s", ErrFormat, k.what, k.way) }
