package convert

import (
	"io"

	"github.com/diskcast/diskcast/internal/volume/table"
)

// tableEnd is where the partition table of a disk says that it ends, at least: 0 without a table. What r does not have reads as zeros, so
// that the table of a disk that was cut is read too.
func tableEnd(r io.ReaderAt, limit int64) int64 {
	t, err := table.Read(endless{r}, limit, 512)
	if err != nil {
		return 0
	}
	end := int64(0)
	for _, p := range t.Partitions {
		end = max(end, p.End())
	}
	if t.Extended != nil {
		end = max(end, t.Extended.End())
	}
	if t.GPT != nil { // behind the usable space are the backup's entries and its header
		entries := int64(t.GPT.EntryCount) * int64(t.GPT.EntrySize)
		sector := int64(t.SectorSize)
		end = max(end, t.GPT.UsableEnd+(entries+sector-1)/sector*sector+sector)
	}
	return end
}

// endless reads zeros behind the end.
type endless struct{ r io.ReaderAt }

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	n, err := e.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		return n, err
	}
	clear(p[n:])
	return len(p), nil
}
