package table

import (
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

// Claims is how many bytes a disk must have, at least, by what its first sectors say: the end of the last partition,
// and of a GPT the backup's header. 0: they say nothing. It needs none of the rest, so that it tells of a file that was
// cut. limit bounds what is believed.
func Claims(r io.ReaderAt, limit int64, sectorSize int) (int64, error) {
	mbr := make([]byte, mbrSize)
	if err := volume.ReadAt(r, limit, 0, mbr); err != nil {
		return 0, err
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa || bootSector(mbr) {
		return 0, nil
	}
	if protective(mbr) {
		return claimsGPT(r, limit, sectorSize), nil
	}
	end := int64(0)
	for i := range 4 {
		e := entryAt(mbr, i)
		if e.flag()&0x7f != 0 {
			return 0, nil
		}
		if e.used() {
			end = max(end, (e.start()+e.sectors())*int64(sectorSize))
		}
	}
	return min(end, limit), nil
}

// leastGPT is the size of the smallest disk that can have a GPT, in bytes: boot sector, two headers, and two arrays of
// the 16 KiB that they take at the least (UEFI specification, 5.3.1).
const leastGPT = 512 + 2*(512+16<<10)

// claimsGPT goes by the header alone: a file that was cut may lack even the entries. Where there is no sound header,
// which a file that is short enough lacks too, it is the least that a GPT needs.
func claimsGPT(r io.ReaderAt, limit int64, sectorSize int) int64 {
	for _, ss := range sectorSizes(sectorSize) {
		h, err := bareHeader(r, limit, int64(ss), 1)
		if err != nil {
			continue
		}
		last := max(h.otherLBA, h.lastUsable)
		if last >= uint64(limit/int64(ss)) {
			return limit
		}
		return (int64(last) + 1) * int64(ss)
	}
	return min(leastGPT, limit)
}
