package convert

import (
	"os"

	"github.com/diskcast/diskcast/internal/volume"
	"golang.org/x/sys/unix"
)

// dataRuns lists the runs of a file that are not holes. Where the file system cannot tell, all of it is data.
func dataRuns(f *os.File, size int64) []volume.Extent {
	runs := volume.NewRuns(size)
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return []volume.Extent{{Offset: 0, Length: size}}
		}
		hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil || hole <= data {
			return []volume.Extent{{Offset: 0, Length: size}}
		}
		runs.Add(data, hole-data)
		at = hole
	}
	return runs.Extents()
}
