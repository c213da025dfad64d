package ntfs

import "bytes"

const (
	restartClean = 0x0002
	noClient     = 0xffff
	maxLogPage   = 64 << 10
)

// journalOpen tells whether $LogFile may hold changes that are not in place. A journal full of 0xff bytes is how mkntfs
// and ntfs-3g leave it: empty. Otherwise it begins with two restart pages, of which the one with the higher LSN counts.
func (fs *FS) journalOpen() (bool, error) {
	runs, size, err := fs.data(fileLogFile)
	if err != nil {
		return false, err
	}
	const first = 4096
	if size < 2*first {
		return true, nil
	}
	page := make([]byte, first)
	if err := fs.readRuns(runs, 0, page); err != nil {
		return false, err
	}
	if len(bytes.Trim(page, "\xff")) == 0 {
		return false, nil
	}
	step := int64(le.Uint32(page[16:]))
	if string(page[:4]) != "RSTR" || step < 512 || step > maxLogPage || step&(step-1) != 0 || 2*step > size {
		return true, nil
	}
	open, newest := true, uint64(0)
	for i := range int64(2) {
		page = make([]byte, step)
		if err := fs.readRuns(runs, i*step, page); err != nil {
			return false, err
		}
		if string(page[:4]) != "RSTR" || fixup(page) != nil {
			continue
		}
		at := int(le.Uint16(page[24:]))
		if at+16 > len(page) {
			continue
		}
		area := page[at:]
		if lsn := le.Uint64(area); lsn >= newest {
			newest = lsn
			open = le.Uint16(area[12:]) != noClient && le.Uint16(area[14:])&restartClean == 0
		}
	}
	return open, nil
}
