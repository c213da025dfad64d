package convert

import (
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/volume/table"
)

// tableEnd is where the partition table of a disk says that it ends, at least: 0 without a table. What r does not have
// reads as zeros, so that the table of a disk that was cut is read too.
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

// CutError says that a raw disk ends before its own partition table does.
type CutError struct{ Have, Want int64 } // bytes

func (e *CutError) Error() string {
	return fmt.Sprintf("its partition table is of a disk of %d bytes at least, and it has %d: it was cut, and %d "+
		"bytes are missing at its end",
		e.Want, e.Have, e.Want-e.Have)
}

// notCut refuses a raw disk that was cut, or says in a note what is missing when that is taken all the same.
func notCut(d Disk, note func(string), o Options) error {
	if !strings.HasPrefix(d.Format(), "raw") {
		return nil
	}
	want := tableEnd(d, o.MaxSize)
	if want <= d.Size() {
		return nil
	}
	err := &CutError{d.Size(), want}
	if !o.Cut {
		return err
	}
	note(fmt.Sprintf("It is a part of a disk: %v. It was taken all the same, as was asked for.", err))
	return nil
}
