package osimage

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
)

// Sectors4K returns a disk whose sectors have 4096 bytes, with one ext4 of some 6 MiB of files. sfdisk of Debian 12
// takes every file for a disk with sectors of 512, so that the table is written here.
func Sectors4K(ctx context.Context, cache string, log logWriter) (*Image, error) {
	const (
		start, size = 1 * mib, 96 * mib
		uuid        = "5a11d15c-0004-4000-8000-000000004096"
	)
	name := "sectors4k-" + key("1", uuid, fmt.Sprint(size))
	return cached(ctx, cache, name, func(ctx context.Context, dir string) (meta, error) {
		root, disk, part := filepath.Join(dir, "root"), filepath.Join(dir, "disk.raw"), filepath.Join(dir, "part")
		if err := plantLittle(root); err != nil {
			return meta{}, err
		}
		tree, err := oracle.ReadTree(root)
		if err != nil {
			return meta{}, err
		}
		if err := errors.Join(tree.Save(filepath.Join(dir, "root.json")),
			oracle.Tree{}.Save(filepath.Join(dir, "esp.json")), sparse.Create(part, size),
			sparse.Create(disk, start+size+mib)); err != nil {
			return meta{}, err
		}
		if err := proc.Run(ctx, log, "mkfs.ext4", "-q", "-F", "-b", "4096", "-L", "root", "-U", uuid, "-d", root, "-E",
			"lazy_itable_init=0,nodiscard", part); err != nil {
			return meta{}, err
		}
		if err := sparse.Insert(ctx, part, disk, start); err != nil {
			return meta{}, err
		}
		if err := gpt4K(disk, start+size+mib, start, size, uuid); err != nil {
			return meta{}, err
		}
		return meta{RootUUID: uuid}, errors.Join(os.Remove(part), os.RemoveAll(root))
	})
}

// gpt4K writes a protective MBR and both copies of a GPT with one partition, in sectors of 4096 bytes (UEFI 2.10,
// 5.2.3 and 5.3).
func gpt4K(disk string, total, start, size int64, id string) error {
	const (
		sector  = 4096
		entries = 128
		table   = entries * 128 / sector // sectors of the array
	)
	last := total/sector - 1
	mbr := make([]byte, sector)
	copy(mbr[446:], []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(mbr[454:], 1)
	binary.LittleEndian.PutUint32(mbr[458:], uint32(last))
	mbr[510], mbr[511] = 0x55, 0xaa

	array := make([]byte, entries*128)
	copy(array, guid("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"))
	copy(array[16:], guid(id))
	binary.LittleEndian.PutUint64(array[32:], uint64(start/sector))
	binary.LittleEndian.PutUint64(array[40:], uint64((start+size)/sector-1))
	for i, u := range utf16.Encode([]rune("root")) {
		binary.LittleEndian.PutUint16(array[56+2*i:], u)
	}
	header := func(at, other, arrayAt int64) []byte {
		var b bytes.Buffer
		b.WriteString("EFI PART")
		for _, v := range []any{uint32(0x10000), uint32(92), uint32(0), uint32(0), uint64(at), uint64(other),
			uint64(2 + table), uint64(last - table - 1), guid(id[:len(id)-1] + "d"), uint64(arrayAt), uint32(entries),
			uint32(128), crc32.ChecksumIEEE(array)} {
			_ = binary.Write(&b, binary.LittleEndian, v) // to memory
		}
		h := b.Bytes()
		binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		return h
	}
	return errors.Join(patch(disk, mbr, 0), patch(disk, header(1, last, 2), sector), patch(disk, array, 2*sector),
		patch(disk, array, (last-table)*sector), patch(disk, header(last, 1, last-table), last*sector))
}

// guid is a GUID as it lies on a disk: its first three numbers are little-endian.
func guid(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		panic(fmt.Sprintf("%q is no GUID", text)) // a constant of this file
	}
	for _, r := range [][2]int{{0, 4}, {4, 6}, {6, 8}} {
		for i, j := r[0], r[1]-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
	return b
}
