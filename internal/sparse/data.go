package sparse

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/volume"
)

// Data lists the runs of a file's first size bytes that are not holes, by SEEK_DATA and SEEK_HOLE of lseek(2): in
// order, merged. Where nobody can tell, as on a block device or on a file system without these calls, all of it counts
// as data. It moves the file's offset.
func Data(f *os.File, size int64) []volume.Extent {
	whole := []volume.Extent{{Offset: 0, Length: size}}
	runs := volume.NewRuns(size)
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			// No data from here to the end: of the file, which may have become shorter. What is cut off then is for a
			// read to find.
			if end, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_END); err != nil || end < size {
				return whole
			}
			break
		}
		if err != nil || data < at {
			return whole
		}
		hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil || hole <= data {
			return whole
		}
		runs.Add(data, hole-data)
		at = hole
	}
	return runs.Extents()
}
