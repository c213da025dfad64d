package convert

import (
	"io"

	"github.com/diskcast/diskcast/internal/volume/table"
)

// tableEnd is where the partition table of a disk says that it ends, at least: 0 without a table. What r does not have reads as zeros, so
// that the table of a disk that was cut is read too.
func tableEnd(r io.ReaderAt, limit int64) int64 {
	end, err := table.Claims(endless{r}, limit, 512)
	if err != nil {
		return 0
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
