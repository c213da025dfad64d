package ntfs

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
)

// maxChecked is how many bytes of the master file table are read for check: the records of 64 Ki files, in a second at
// most. All of a large table would take as long as chkdsk does.
const maxChecked = 64 << 20

// check wants the bitmap to have every cluster that a file record in use names. The table's first records are those of
// the volume's own files: the table itself, the journal, the bitmap, the root directory.
func (fs *FS) check(used []volume.Extent) error {
	const batch = 1 << 20
	buf := make([]byte, batch)
	end := min(fs.mftSize, maxChecked) / fs.record * fs.record
	for at := int64(0); at < end; at += batch {
		p := buf[:min(batch, end-at)]
		if err := fs.readRuns(fs.mft, at, p); err != nil {
			return err
		}
		for i := int64(0); i < int64(len(p)); i += fs.record {
			attrs, err := fileRecord(p[i : i+fs.record])
			if err != nil {
				continue // free, or never used
			}
			for _, a := range attrs {
				if err := fs.checkRuns(a, used); err != nil {
					return fmt.Errorf("file record %d: %w", (at+i)/fs.record, err)
				}
			}
		}
	}
	return nil
}

// checkRuns reads mapping pairs as decode does, but for holes: the journal of changes ($UsnJrnl) begins with one that
// is larger than the volume.
func (fs *FS) checkRuns(a attribute, used []volume.Extent) error {
	lcn, limit := int64(0), fs.sectors*fs.sector/fs.cluster
	for p := a.runs; a.nonResident && len(p) > 0 && p[0] != 0; {
		n, m := int(p[0]&15), int(p[0]>>4)
		if n == 0 || n > 8 || m > 8 || 1+n+m > len(p) {
			return errors.New("a run is malformed")
		}
		count := signed(p[1 : 1+n])
		if m > 0 {
			lcn += signed(p[1+n : 1+n+m])
			if count <= 0 || lcn < 0 || lcn >= limit || count > limit-lcn {
				return fmt.Errorf("a run of %d clusters at %d is outside the volume", count, lcn)
			}
			if err := volume.Require(used, "a file", lcn*fs.cluster, count*fs.cluster); err != nil {
				return err
			}
		}
		p = p[1+n+m:]
	}
	return nil
}
