package capture

import (
	"bytes"
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// maxCounted bounds what is read of gaps only to say what is left out.
const maxCounted = 1 << 30

// drop takes from a table the gaps that no boot loader needs, and notes how many bytes of them are not zero: those are
// what an image is without. Zeros and holes are no loss.
func (s *survey) drop(t *volume.Table) error {
	dropped := table.DropGaps(t)
	data := volume.Subtract(dropped, holesOf(s.src, s.size))
	lost, left := int64(0), int64(maxCounted)
	b := make([]byte, 1<<20)
	for _, e := range data {
		for at := e.Offset; at < e.End() && left > 0; {
			n := min(int64(len(b)), e.End()-at, left)
			if err := volume.ReadAt(s.src, s.size, at, b[:n]); err != nil {
				return fmt.Errorf("counting what lies in no partition: %w", err)
			}
			lost += n - int64(bytes.Count(b[:n], []byte{0}))
			at, left = at+n, left-n
		}
	}
	all := volume.Bytes(data)
	switch {
	case all > maxCounted:
		t.Notes = append(t.Notes,
			fmt.Sprintf("%d bytes that lie in no partition are not in the image, as was asked for (%s). "+
				"Of the first %d, %d are not zero; the rest was not looked at.", all, image.GapsDropped,
				int64(maxCounted), lost))
	case lost > 0:
		t.Notes = append(t.Notes,
			fmt.Sprintf("%d bytes that lie in no partition and are not zero are not in the image, as was asked for "+
				"(%s).", lost, image.GapsDropped))
	case len(dropped) > 0:
		t.Notes = append(t.Notes,
			fmt.Sprintf("What lies in no partition is not in the image, and is nothing but zeros, as was asked for "+
				"(%s).", image.GapsDropped))
	}
	return nil
}
